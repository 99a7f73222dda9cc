"""A server with one tool that does nothing: `python -m bench.team_noop ours|bare FOLDER`.

`ours` is the whole of `ih-mcp serve`: keys, guard, limits, metrics, audit. `bare` is the SDK alone.
Prints its address.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, TextContent

from ih_mcp.http_server import tenants
from ih_mcp.http_server.callers import hash_key
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.mcp_server.arguments import Arguments
from ih_mcp.mcp_server.tool import ToolCall, make_tool
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.settings import read_settings
from tests.reliability.replicas import KEY

MAX_WAIT_SECONDS = 25
_SAID = CallToolResult(content=[TextContent(type="text", text="done")])


class _Nothing(Arguments):
    stream_id: str


async def _noop(call: ToolCall[_Nothing]) -> CallToolResult:  # noqa: ARG001 - it does nothing
    """Do nothing."""
    return _SAID


def _only_noop(_: object) -> list[Tool]:
    return [make_tool(_noop, _Nothing, read_only=True, idempotent=True, open_world=False)]


@asynccontextmanager
async def _ours(folder: Path) -> AsyncIterator[str]:
    vars(tenants)["make_tools"] = _only_noop  # of this process alone
    callers = folder / "callers.toml"
    entry = f'[[tenants.acme.callers]]\nname = "ann"\nkey_sha256 = "{hash_key(KEY)}"\n'
    await anyio.Path(callers).write_text(entry)
    settings = read_settings(
        endpoint="http://127.0.0.1:9",
        api_key="ih_k",
        data_dir=folder / "data",
        listen="127.0.0.1:0",
        admin_listen="127.0.0.1:0",
        callers=callers,
        max_calls_per_minute=1_000_000,
    )
    async with open_team_server(settings) as server:
        yield server.url


@asynccontextmanager
async def bare_app() -> AsyncIterator[tuple[str, list[int]]]:
    """The SDK alone, with a tool that does nothing and one that waits as long as a poll may.

    Gives its address, and a list whose one item is how many calls wait.
    """
    server, waits = MCPServer("bare", log_level="ERROR"), [0]

    @server.tool(name="_noop", structured_output=False)
    async def noop(stream_id: str) -> str:  # noqa: ARG001 - it does nothing
        """Do nothing."""
        return "done"

    @server.tool(name="_wait", structured_output=False)
    async def wait(stream_id: str) -> str:  # noqa: ARG001 - as above
        """Wait."""
        waits[0] += 1
        await anyio.sleep(MAX_WAIT_SECONDS)
        waits[0] -= 1
        return "done"

    app = server.streamable_http_app(stateless_http=True)
    with open_listener("127.0.0.1", 0) as listener:
        async with (
            app.router.lifespan_context(app),
            serve_app(app, listener, max_message_bytes=1 << 16, max_connections=8192),
        ):
            yield url_of(listener), waits


@asynccontextmanager
async def _bare(_: Path) -> AsyncIterator[str]:
    async with bare_app() as (url, _waits):
        yield url


async def main(kind: str, folder: str) -> None:
    logging.getLogger("ih_mcp").setLevel(logging.WARNING)
    logging.getLogger("ih_mcp.audit").setLevel(logging.INFO)  # as the command has it
    async with (_ours if kind == "ours" else _bare)(Path(folder)) as url:
        print(url, flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
