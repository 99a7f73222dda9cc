"""Replicas of `ih-mcp serve` as processes of their own, and a balancer that is never sticky."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from anyio import to_thread
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ih_mcp.http_server.callers import hash_key
from ih_mcp.net.listen import open_listener, serve_app, url_of
from tests.forked import forked
from tests.plain_http import plain_http
from tests.road.host import environment
from tests.streams.test_all_or_nothing import cluster, webm_header

KEY = "ihc_of_ann"
_CALLERS = f"""
[[tenants.acme.callers]]
name = "ann"
key_sha256 = "{hash_key(KEY)}"
"""
_NOT_PASSED = {"host", "content-length", "connection", "transfer-encoding"}


def segment(number: int, size: int = 0) -> bytes:
    """The segment of this number of any stream; from 1, a second each, with so much to spare."""
    return (webm_header() if number == 1 else b"") + cluster(number - 1, size)


def _client() -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {KEY}"}
    return plain_http(headers=headers)


@asynccontextmanager
async def open_client(url: str, era: Any) -> AsyncIterator[Client]:
    """The official client, of one era of the protocol."""
    async with _client() as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Call a tool, which must succeed; gives our status and the API's messages."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    assert not result.is_error, texts
    status: dict[str, Any] = json.loads(texts[0])["ih_mcp"]
    return status, texts[1:]


async def put_segment(url: str, stream_id: str, number: int, size: int = 0) -> None:
    """Put one segment, which must be accepted."""
    async with _client() as http:
        path = f"/streams/{stream_id}/segments/{number}"
        answer = await http.put(url + path, content=segment(number, size))
    assert answer.is_success, answer.text
    assert answer.json()["ih_mcp"]["accepted"]


@dataclass(eq=False)
class Replica:
    """One `ih-mcp serve`."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    """Its standard error."""

    async def end(self) -> int:
        """Wait for its end; gives the exit code."""
        return await to_thread.run_sync(self.process.wait)


class Fleet:
    """All replicas of a test. Use `open_fleet`."""

    def __init__(self, stack: AsyncExitStack, env: dict[str, str], folder: Path) -> None:
        self._stack, self._env, self._folder = stack, env, folder
        self._started = 0

    async def start(self, program: Sequence[str] = (), **more: str) -> Replica:
        """Start one, with settings of its own; it is killed at the end of the test.

        Args:
            program: Instead of `ih-mcp`.
        """
        self._started += 1
        folder = self._folder / str(self._started)
        env = self._env | {"IH_MCP_DATA_DIR": str(folder), **more}
        command = [*(program or forked()), "serve"]
        replica = await to_thread.run_sync(_start, command, env, folder.with_suffix(".log"))
        self._stack.enter_context(replica.process)
        self._stack.callback(replica.process.kill)
        return replica


def _start(command: list[str], env: dict[str, str], log: Path) -> Replica:
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout
    address = process.stdout.readline()
    assert address, log.read_text()
    return Replica(process, address.strip().removesuffix("/mcp"), log)


@asynccontextmanager
async def open_fleet(service_url: str, database: str, folder: Path) -> AsyncIterator[Fleet]:
    callers = folder / "callers.toml"
    callers.write_text(_CALLERS)
    env = environment(
        folder,
        endpoint=service_url,
        IH_MCP_JOURNAL=database,
        IH_MCP_CALLERS=str(callers),
        IH_MCP_LISTEN="127.0.0.1:0",
        IH_MCP_CLUSTER_LISTEN="127.0.0.1:0",
        IH_MCP_CLUSTER_SECRET="s" * 32,
        IH_MCP_UPLOADS=str(folder / "uploads"),
        IH_MCP_MAX_STREAMS="200",
        IH_MCP_MAX_WAITING_POLLS="200",
        IH_MCP_MAX_CALLS_PER_MINUTE="100000",
    )
    async with AsyncExitStack() as stack:
        yield Fleet(stack, env, folder)


@dataclass(eq=False)
class Balancer:
    """Gives each request to the next replica; one that refuses the connection is passed over.

    That is what nginx does by default.
    """

    replicas: list[str]
    url: str = ""
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    """Answers that are errors of the HTTP layer."""
    adds: dict[str, str] = field(default_factory=dict)
    """Headers of each request, over those it came with."""
    passes_host: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        dropped = _NOT_PASSED - ({"host"} if self.passes_host else set())
        kept = {name: value for name, value in request.headers.items() if name not in dropped}
        kept |= self.adds
        self.requests += 1
        first = self.requests
        replicas = list(self.replicas)
        async with plain_http() as http:
            for turn in range(len(replicas)):
                url = replicas[(first + turn) % len(replicas)]
                asked = http.build_request(
                    request.method, url + request.url.path, content=body, headers=kept
                )
                try:
                    found = await http.send(asked, stream=True)
                except httpx2.ConnectError:
                    continue
                if found.status_code >= 400:
                    self.failed.append(f"{request.url.path}: {found.status_code}")
                headers = {k: v for k, v in found.headers.items() if k not in _NOT_PASSED}
                answer = StreamingResponse(
                    found.aiter_raw(),
                    found.status_code,
                    headers,
                    background=BackgroundTask(found.aclose),
                )
                await answer(scope, receive, send)
                return
        raise AssertionError("no replica takes connections")


@asynccontextmanager
async def open_balancer(replicas: list[str]) -> AsyncIterator[Balancer]:
    balancer = Balancer(replicas)
    with open_listener("127.0.0.1", 0) as listener:
        balancer.url = url_of(listener)
        async with serve_app(balancer, listener, max_message_bytes=1 << 16):
            yield balancer
