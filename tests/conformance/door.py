"""The MCP server over Streamable HTTP, for checkers that speak nothing else.

`python -m tests.conformance.door DATA_DIR` prints its address and serves until it is stopped. The
transport is the SDK's own; ih-mcp itself serves stdio.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.settings import read_settings


async def serve(data_dir: Path) -> None:
    settings = read_settings(endpoint="local", analyst="placeholder", data_dir=data_dir)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with open_runtime(settings) as runtime:
            yield runtime

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
        sys.stdout.write(f"http://127.0.0.1:{port}/mcp\n")
        sys.stdout.flush()
        app = make_server(lifespan).streamable_http_app()
        await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[door])


if __name__ == "__main__":
    anyio.run(serve, Path(sys.argv[1]))
