"""The rows of `bench_load` that drive the real server over stdio, beside a minimal one."""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from ih_mcp.journal import FILE_NAME
from ih_mcp.journal.store import Batch, Store

from .bench_load_rows import _NUMBER, cpu_seconds, peer, rss_bytes
from .flood import event
from .stdio import NOOP, OURS, Server, environment

TEXTS = """
import sys
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent
from bench.flood import event
server = MCPServer("texts", log_level="ERROR")
BLOCKS = [TextContent(type="text", text=event(n)) for n in range(100)]

@server.tool(structured_output=False)
async def noop(stream_id: str) -> CallToolResult:
    "Give a hundred."
    return CallToolResult(content=list(BLOCKS))

server.run("stdio")
"""


@contextmanager
def server(command: list[str], folder: str, **more: str) -> Iterator[Server]:
    env = environment(folder, INTERHUMAN_API_KEY="ih_test_bench", **more)
    opened = Server(command, env)
    opened.hello()
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def serving(count: int, rate: float, *, tls: bool = False, **more: str) -> Iterator[Server]:
    """The real server, with `bench_load_peer` for its service."""
    with (
        peer(count, rate, tls=tls) as url,
        tempfile.TemporaryDirectory() as folder,
        server(OURS, folder, IH_MCP_ENDPOINT=url, IH_MCP_MAX_STREAMS="100", **more) as opened,
    ):
        yield opened


def timed(call: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append((time.perf_counter() - began) * 1000)
    return found


def status(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result["content"][0]["text"])["ih_mcp"]
    return found


def long_poll_ms(times: int, *, rest_seconds: float) -> tuple[float, float]:
    """Ms from an event leaving the service to the answer of a poll that waited for it.

    By turns with a call that does nothing, after a rest: a process that slept is slower.
    """
    found, noop = list[float](), list[float]()
    with (
        serving(0, 2.0) as ours,
        tempfile.TemporaryDirectory() as folder,
        server(NOOP, folder) as floor,
    ):
        stream_id = status(ours.call("start_stream", {}))["stream_id"]
        cursor = 0
        while len(found) < times:
            asked = time.monotonic_ns()
            poll = {"stream_id": stream_id, "cursor": cursor, "wait_s": 5}
            result = ours.call("poll_events", poll)
            now = time.monotonic_ns()
            cursor = status(result)["next_cursor"]
            left = [_NUMBER.search(block["text"]) for block in result["content"][1:2]]
            if left and left[0] and int(left[0][2]) > asked:  # it waited for this one
                found.append((now - int(left[0][2])) / 1e6)
                time.sleep(rest_seconds)
                noop += timed(lambda: floor.call("noop", {"stream_id": "x"}), 1)
    return median(found), median(noop)


def fill(folder: Path, streams: int, each: int) -> list[str]:
    """A journal of so many ended streams with so many events each, as the product keeps them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(folder / FILE_NAME)
    ids = [f"st_{number:032x}" for number in range(streams)]
    body = event(1)
    for stream_id in ids:
        no = store.begin_stream(stream_id, "x", json.dumps({"state": "ended"}))
        for start in range(0, each, 20_000):
            count = min(20_000, each - start)
            rows = [((no << 32) | (start + at + 1), 0, 1, body) for at in range(count)]
            store.append([Batch(no, rows, count * len(body))])
        store.write_record(no, json.dumps({"state": "ended"}), ended=True)
    store.close()
    with sqlite3.connect(folder / FILE_NAME) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    return ids


def start_to_poll(folder: Path, stream_id: str) -> float:
    began = time.perf_counter()
    with server(OURS, str(folder)) as ours:
        ours.call("poll_events", {"stream_id": stream_id, "wait_s": 0})
        return time.perf_counter() - began


def poll_100(times: int) -> tuple[float, float, float, float]:
    """Ms of a poll of 100 events, ms of its shape alone; bytes of the answer, of its events."""
    with tempfile.TemporaryDirectory() as folder:
        (stream_id,) = fill(Path(folder), 1, 1000)
        ask = {"stream_id": stream_id, "cursor": 100, "limit": 100, "max_chars": 500_000}
        with server(OURS, folder) as ours, server([sys.executable, "-c", TEXTS], folder) as shape:
            result = ours.call("poll_events", ask)
            texts = [block["text"] for block in result["content"][1:]]
            assert len(texts) == 100
            mine, floor = [], []
            for _ in range(times):
                mine += timed(lambda: ours.call("poll_events", ask), 1)
                floor += timed(lambda: shape.call("noop", {"stream_id": "x"}), 1)
    size = len(json.dumps(result))
    return median(mine), median(floor), size, sum(map(len, texts))


def cursor_ms(folder: Path, stream_id: str, last: int, times: int) -> tuple[float, float]:
    """Ms of a poll in the middle of a long stream, and at its tail."""
    with server(OURS, str(folder), IH_MCP_JOURNAL_MAX_BYTES=str(2**40)) as ours:

        def poll(cursor: int) -> None:
            ask = {"stream_id": stream_id, "cursor": cursor, "limit": 50, "max_chars": 20_000}
            assert not ours.call("poll_events", ask).get("isError")

        middle, tail = [], []
        for _ in range(times):
            middle += timed(lambda: poll(last // 2), 1)
            tail += timed(lambda: poll(last - 60), 1)
    return median(middle), median(tail)


def resting(seconds: float, streams: int) -> tuple[float, float]:
    """CPU share in percent and resident bytes of a server with so many quiet streams."""
    with serving(1, 0) as ours:
        for _ in range(streams):
            ours.call("start_stream", {})
        time.sleep(1.0)
        cpu = cpu_seconds(ours.pid)
        time.sleep(seconds)
        return (cpu_seconds(ours.pid) - cpu) / seconds * 100, float(rss_bytes(ours.pid))


def minimal_rss() -> float:
    with tempfile.TemporaryDirectory() as folder, server(NOOP, folder) as floor:
        return float(rss_bytes(floor.pid))


def pending_polls(count: int) -> tuple[float, float, float]:
    """Bytes of each pending long poll; ms of another call without and with them."""
    with serving(1, 0) as ours:
        stream_id = status(ours.call("start_stream", {}))["stream_id"]
        empty = {"stream_id": stream_id, "cursor": 10**6, "wait_s": 0}
        for _ in range(50):
            ours.call("poll_events", empty)
        pid = ours.pid
        alone, before = (
            median(timed(lambda: ours.call("poll_events", empty), 100)),
            rss_bytes(pid),
        )
        for number in range(count):
            ask = {"name": "poll_events", "arguments": empty | {"wait_s": 20}}
            ours.write({"id": f"p{number}", "method": "tools/call", "params": ask})
        time.sleep(2.0)
        loaded = median(timed(lambda: ours.call("poll_events", empty), 100))
        return (rss_bytes(pid) - before) / count, alone, loaded
