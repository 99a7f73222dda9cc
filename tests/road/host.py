"""A host of the MCP server: the official client over real stdio, and the bare process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import rich.logging  # noqa: F401 - the SDK's log handler loads it: here, before any event loop
from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.settings import read_settings
from tests.forked import forked, kill, process_id
from tests.leaks import KEY, PLANTED, look

__all__ = [
    "ERAS",
    "KEY",
    "REPOSITORY",
    "Answer",
    "Host",
    "Process",
    "environment",
    "open_host",
    "open_memory_host",
]

ERAS: tuple[Literal["legacy", "2026-07-28"], ...] = ("legacy", "2026-07-28")
REPOSITORY = Path(__file__).parents[2]


def environment(data_dir: Path, *, endpoint: str = "local", **more: str) -> dict[str, str]:
    """A clean environment for a server process: nothing of the developer's own settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("IH_MCP_", "INTERHUMAN_", "CLAUDE_")) or name == "IH_MCP_FFMPEG"
    }
    return {
        **kept,
        "IH_MCP_ENDPOINT": endpoint,
        "IH_MCP_ANALYST": "placeholder",  # the cue engine has tests of its own
        "IH_MCP_DATA_DIR": str(data_dir),
        "INTERHUMAN_API_KEY": PLANTED,
        **more,
    }


@dataclass(frozen=True)
class Answer:
    """One answer of a tool: our status, and the API's messages as they came."""

    is_error: bool
    blocks: list[str]

    @property
    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.blocks[0])["ih_mcp"]
        return found

    @property
    def messages(self) -> list[str]:
        return self.blocks[1:]

    @property
    def error(self) -> Mapping[str, Any]:
        assert self.is_error, self.blocks
        found: Mapping[str, Any] = json.loads(self.blocks[0].splitlines()[-1])["ih_mcp"]["error"]
        return found

    @property
    def text(self) -> str:
        return self.blocks[0]


class Host:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: object) -> Answer:
        result = await self.client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        assert result.structured_content is None
        blocks = [block.text for block in result.content if isinstance(block, TextContent)]
        assert len(blocks) == len(result.content)
        look(f"the answer of {tool}", "\n".join(blocks))
        return Answer(bool(result.is_error), blocks)

    async def read_all(self, stream_id: str, **arguments: Any) -> tuple[list[str], Answer]:
        """Poll from the start until nothing follows."""
        messages: list[str] = []
        cursor = 0
        while True:
            answer = await self.call("poll_events", stream_id=stream_id, cursor=cursor, **arguments)
            assert not answer.is_error, answer.text
            messages += answer.messages
            assert answer.status["next_cursor"] == cursor + len(answer.messages)
            cursor = answer.status["next_cursor"]
            if answer.status["ended"]:
                return messages, answer


@asynccontextmanager
async def open_host(
    env: Mapping[str, str],
    mode: str = "2026-07-28",
    *,
    seconds: float = 60,
    command: Sequence[str] = (),
    cwd: Path | None = None,
) -> AsyncIterator[Host]:
    """A host with the server open.

    Args:
        env: The whole environment of the server.
        mode: The era of the protocol.
        seconds: A limit for all that is done with it.
        command: Starts the server; a fork where none is given, `REAL` where it matters.
        cwd: Where the server is started.
    """
    words = command or forked()
    server = StdioServerParameters(command=words[0], args=list(words[1:]), env=dict(env), cwd=cwd)
    with anyio.fail_after(seconds):
        async with Client(stdio_client(server), mode=mode) as client:
            yield Host(client)


@asynccontextmanager
async def open_memory_host(data_dir: Path, **settings: object) -> AsyncIterator[Host]:
    """A host joined to the server without a process; the settings are those of `Settings`.

    What still goes on at the end is ended in order: with its process it would just be gone.
    """
    chosen = read_settings(**{"analyst": "placeholder", "data_dir": data_dir, **settings})

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with open_runtime(chosen) as runtime:
            yield runtime

    async with Client(make_server(lifespan)) as client:
        host = Host(client)
        yield host
        await _end_all(host)


async def _end_all(host: Host) -> None:
    listed = (await host.call("list_streams")).status
    over = {"ended", "failed"}
    for row in listed["streams"]:
        state = row["state"]
        while state not in over:
            ended = await host.call("end_stream", stream_id=row["stream_id"], wait_s=25)
            state = ended.status["state"]
    for row in listed.get("analyses", ()):
        state = row["state"]
        while state not in over:
            read = await host.call("get_analysis", analysis_id=row["analysis_id"], wait_s=25)
            state = read.status["state"]


class Process:
    """The bare server process, started as hosts do, and a raw JSON-RPC driver on its pipes.

    Args:
        env: The whole environment of the server.
        command: Starts the server; a fork where none is given, `REAL` where it matters.
    """

    def __init__(self, env: Mapping[str, str], command: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            command or forked(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
        )
        self._id = 0
        self.request(
            "initialize",
            protocolVersion="2025-11-25",
            capabilities={},
            clientInfo={"name": "test", "version": "0"},
        )
        self._write({"method": "notifications/initialized"})
        self.pid = process_id(self.process)
        """Of the server, where that of `process` may be its launcher's."""

    def request(self, method: str, **params: object) -> dict[str, Any]:
        self._id += 1
        self._write({"id": self._id, "method": method, "params": params})
        assert self.process.stdout
        while line := self.process.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if message.get("id") == self._id:
                return message
        raise EOFError(self.process.stderr.read() if self.process.stderr else "")

    def call(self, tool: str, **arguments: object) -> Answer:
        result = self.request("tools/call", name=tool, arguments=arguments)["result"]
        blocks = [block["text"] for block in result["content"]]
        look(f"the answer of {tool}", "\n".join(blocks))
        return Answer(bool(result.get("isError")), blocks)

    def _write(self, message: Mapping[str, object]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """As `kill -9` does."""
        kill(self.process)

    def close(self) -> None:
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                with_suppressed_close(pipe)


def with_suppressed_close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return
