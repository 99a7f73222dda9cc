"""The private parts of the MCP SDK that this server uses, each with the reason; nothing else does.

An update of `mcp` may rename them; then this file is the only one to change.
"""

from __future__ import annotations

from typing import Any

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer

from ih_mcp.app.runtime import Runtime


def lowlevel_server(server: MCPServer[Runtime]) -> Server[Runtime]:
    """The server below `server`.

    `MCPServer` has no public way to serve other streams than its own stdio transport, nor to handle
    `resources/subscribe` and `subscriptions/listen` both.
    """
    return server._lowlevel_server  # noqa: SLF001 - see above


def connection_of(context: ServerRequestContext[Runtime, Any]) -> Connection:
    """The connection of the client that asks: its state, and what to close with it.

    The SDK gives request handlers no public way to it.
    """
    return context.session._connection  # noqa: SLF001 - see above
