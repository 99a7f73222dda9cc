"""A server on this machine, with two tenants, and clients of both eras of the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
import rich.console  # as the SDK loads it: before any event loop
import rich.logging
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from ih_mcp.http_server.app import TeamApp
from ih_mcp.http_server.callers import MINT_TOKENS, USE, hash_key
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import Settings, read_settings
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.plain_http import plain_http
from tests.reliability.conftest import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport", "rich"]

Era = Literal["auto", "legacy"]
KEYS = {"ann": "ihc_of_ann", "admin": "ihc_of_admin", "bob": "ihc_of_bob"}
CALLERS = f"""
[[tenants.acme.callers]]
name = "ann"
key_sha256 = "{hash_key(KEYS["ann"])}"

[[tenants.acme.callers]]
name = "admin"
key_sha256 = "{hash_key(KEYS["admin"])}"
scopes = ["{USE}", "{MINT_TOKENS}"]

[[tenants.beta.callers]]
name = "bob"
key_sha256 = "{hash_key(KEYS["bob"])}"
"""


def said(result: CallToolResult) -> dict[str, Any]:
    """Our status, or the facts of an error."""
    block = result.content[0]
    assert isinstance(block, TextContent)
    status: dict[str, Any] = json.loads(block.text.splitlines()[-1])["ih_mcp"]
    found: dict[str, Any] = status.get("error", status)
    return found


@dataclass
class Team:
    url: str
    app: TeamApp
    settings: Settings

    def http(self, caller: str | None = "ann") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {KEYS[caller]}"} if caller else {}
        return plain_http(base_url=self.url, headers=headers)

    @asynccontextmanager
    async def client(self, caller: str = "ann", era: Era = "auto") -> AsyncIterator[Client]:
        async with self.http(caller) as http:
            transport = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(transport, mode=era) as client:
                yield client


@pytest.fixture(scope="module")
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(Options(key="ih_k"), ffmpeg=ffmpeg) as running:
        yield running


def make_settings(service: RunningStandin, folder: Path, **more: Any) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    callers = folder / "callers.toml"
    callers.write_text(CALLERS)
    return read_settings(
        endpoint=service.url,
        api_key="ih_k",
        data_dir=folder / "data",
        listen="127.0.0.1:0",
        callers=callers,
        **more,
    )


@pytest.fixture
def settings(service: RunningStandin, tmp_path: Path) -> Settings:
    return make_settings(service, tmp_path)


@pytest.fixture(scope="module")
async def team(
    service: RunningStandin, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Team]:
    """One for all tests of a module, which leave it as it was but for streams and files."""
    settings = make_settings(service, tmp_path_factory.mktemp("team"))
    async with open_team_server(settings) as server:
        yield Team(server.url, server.app, settings)


@pytest.fixture
async def own_team(settings: Settings) -> AsyncIterator[Team]:
    async with open_team_server(settings) as server:
        yield Team(server.url, server.app, settings)
