"""A tenant: what belongs to its callers, and to nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from starlette.types import ASGIApp

from ih_mcp.app.runtime import Runtime

from .callers import MINT_TOKENS, Caller
from .files_room import FilesRoom
from .forward import Forwarder


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant whose runtime is open."""

    runtime: Runtime
    files: Path
    """The folder that its uploads go into, and that its tools read."""
    room: FilesRoom
    apps: Mapping[bool, ASGIApp]
    """MCP over HTTP: with the tool that mints tokens, and without it."""
    server: MCPServer[Runtime]
    """The same without HTTP, for calls that other replicas pass on."""
    forwarder: Forwarder | None = None
    """Passes calls on to other replicas, where there are any."""

    def app_for(self, caller: Caller) -> ASGIApp:
        return self.apps[MINT_TOKENS in caller.scopes]
