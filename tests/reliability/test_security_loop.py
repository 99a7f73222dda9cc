"""S21, S26-S28: no message, no flood, no declared limit and no end holds the process up.

S21: messages of 8 MiB, in any shape. S26: floods of tiny frames. S27: limits that cannot be true.
S28: the end of the process from the middle of all of these.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import rich.logging  # noqa: F401 - the SDK loads it when a server is made: before any event loop
from anyio import to_thread
from mcp_types import TextContent, TextResourceContents

from ih_mcp.capture.page_protocol import encode_server_message
from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.timeline_publisher import TimelinePublisher
from ih_mcp.journal import FILE_NAME, Journal, open_journal
from ih_mcp.journal import Entry as Kept
from ih_mcp.net.opener import open_socket
from ih_mcp.net.socket import Socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment, RandomAccessPoint
from ih_mcp.streams.registry import open_registry
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream
from ih_mcp.timeline.model import Drawing, Timeline, as_text_once, read_timeline
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.rest import UploadJob
from tests.fair_clock import seconds_until_exit
from tests.forked import REAL, forked, forked_python
from tests.mcp_server.test_resources import client
from tests.road.host import Process, environment
from tests.road.test_process_end import BOUND_SECONDS, ENDS, children
from tests.streams.service import Service

from .budget import IS_LONG, dice, often, report
from .grown import Grown, breed
from .hold import Hold, holding
from .hostile import SHAPES, Plan, hostile

pytestmark = pytest.mark.timeout(3600 if often(0, nightly=1) else 120)

LONGEST_SECONDS = 0.05
GROWN_SECONDS = 600
FLOOD_FRAMES = often(10_000, nightly=50_000)
TICKS = often(10, nightly=30)
SPANS = often(30_000, nightly=100_000)


@asynccontextmanager
async def opener(url: str) -> AsyncIterator[Socket]:
    async with open_socket(url, bearer="key") as socket:
        yield socket


@asynccontextmanager
async def streaming(
    journal: Journal, plan: Plan, *, reconnects: bool = False
) -> AsyncIterator[Stream]:
    """A stream into a hostile service, fed by hand."""
    async with open_registry(journal) as registry:
        with hostile(plan) as url:
            to = StreamConfig(dialect=V1, base_url=url, reconnects=reconnects)
            stream = await registry.start(to, opener)
            await stream.wait_until_open()
            yield stream


async def put(stream: Stream, count: int) -> None:
    for number in range(count):
        await stream.put(QueuedSegment(b"x" * 100, float(number), number + 1.0))


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


async def arrived(stream: Stream, count: int) -> None:
    await stream.until(lambda: sum(leg.messages for leg in stream.legs) >= count)


# --- S21: large messages -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
async def test_s21_a_message_of_8_mib_holds_nobody_up_and_is_kept(
    shape: str, journal: Journal
) -> None:
    plan = Plan(shape=shape, after_segments=60)
    told = SHAPES[shape](plan.size)
    async with streaming(journal, plan) as stream, holding() as hold:
        await put(stream, 60)
        await arrived(stream, 2)
        await stream.log.flush()
        page = await journal.read_page(stream.id, 1, limit=1, max_chars=1)
        assert page.entries[0].body == told
    beside = f" (json.loads in a thread: {await parsed(told)})" if IS_LONG else ""
    check("S21", f"8 MiB of {shape}{beside}", hold)


async def parsed(told: str) -> Hold:
    """For the report: what reading all of a message in a thread holds."""
    async with holding() as hold:
        with suppress(ValueError, RecursionError):
            await to_thread.run_sync(json.loads, told)
    return hold


@pytest.fixture(scope="module")
def kept_spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a stream of `SPANS` spans, which each test copies."""
    folder = tmp_path_factory.mktemp("spans")

    async def keep() -> None:
        async with open_journal(folder) as journal:
            log = await journal.begin("st_1", {"api": "v1"})
            for number in range(SPANS // 100):
                names = [{"type": f"{number:04}{place:02}", "start": place} for place in range(100)]
                message = {"type": "signal.detected", "data": {"signals": names}}
                log.append(json.dumps(message), leg=0)
            await log.write_record({"api": "v1", "state": "ended"}, ended=True)
            journal.release(log)

    anyio.run(keep)
    return folder / FILE_NAME


@pytest.fixture
def with_spans(kept_spans: Path, tmp_path: Path) -> Path:
    """The folder of such a journal."""
    shutil.copy(kept_spans, tmp_path / FILE_NAME)
    return tmp_path


@pytest.mark.parametrize("kind", often(("html",), nightly=("html", "svg", "csv", "jsonl", "vtt")))
async def test_s21_very_many_spans_are_written_without_holding_anybody_up(
    kind: str, with_spans: Path
) -> None:
    """By the tool that writes files, and in the summary at the end of a stream."""
    async with client(with_spans) as opened:
        await opened.call_tool("render_timeline", {"stream_id": "st_a", "format": kind})  # imports
        arguments: dict[str, object] = {"stream_id": "st_1", "cursor": SPANS // 100}
        async with holding() as hold:
            (end,) = (await opened.call_tool("poll_events", arguments)).content
            arguments = {"stream_id": "st_1", "format": kind}
            (file,) = (await opened.call_tool("render_timeline", arguments)).content
    assert isinstance(end, TextContent)
    assert isinstance(file, TextContent)
    assert len(json.loads(end.text)["ih_mcp"]["summary"]["signals"]) == 50
    assert json.loads(file.text)["ih_mcp"]["bytes"] > 10_000
    check("S21", f"{SPANS:,} spans in a summary and as {kind}", hold)


@pytest.mark.parametrize("reads", ["page", "resource"])
async def test_s21_a_stream_of_very_many_spans_is_drawn_without_holding_anybody_up(
    reads: str, with_spans: Path
) -> None:
    told: Drawing = {}
    text = "{}"

    async def say(kind: str, **values: Any) -> None:
        encode_server_message(kind, **values)
        for name, change in values["changes"].get("lists", {}).items():
            items = told.setdefault(name, [])
            assert isinstance(items, list)
            assert len(items) <= change["length"]
            items += [item for index, item in change["items"] if index >= len(items)]
        told.update(values["changes"].get("set", {}))

    async with open_journal(with_spans) as journal, holding() as hold:
        if reads == "page":
            await TimelinePublisher(PageServer(journal, None, ""), "st_1", say).run(0)
        else:
            text = await to_thread.run_sync(as_text_once, await read_timeline(journal, "st_1"))
    told |= json.loads(text)
    spans = told["spans"]
    assert isinstance(spans, list)
    assert [span["signal"] for span in (spans[0], spans[-1])] == ["000000", f"{SPANS - 1:06}"]
    assert len(spans) == SPANS
    assert told["ended"] is True
    check("S21", f"{SPANS:,} spans for a {reads}", hold)


@pytest.mark.timeout(often(120, nightly=GROWN_SECONDS + 300))
async def test_s21_no_message_grown_from_a_grammar_holds_the_loop_long(journal: Journal) -> None:
    """By night for `GROWN_SECONDS`, bred towards those that held longest."""
    rng, scored = dice("S21"), list[tuple[float, Grown]]()
    ends = time.monotonic() + GROWN_SECONDS
    service = Service()
    async with open_registry(journal) as registry, holding() as hold:
        stream = await registry.start(StreamConfig(dialect=V1, base_url="http://h"), service.opener)
        await service.greet()
        await stream.wait_until_open()
        await put(stream, 60)
        timeline = Timeline(V1)
        while len(scored) < often(40, nightly=10**6) and time.monotonic() < ends:
            if len(scored) % 100 == 0:  # of as many messages, so that a night's do not add up
                timeline = Timeline(V1)
            grown = breed(rng, scored)
            text = await to_thread.run_sync(grown.text)
            await hold.next_turn()
            hold.restart()
            await service.socket.send_text(text)
            await arrived(stream, len(scored) + 2)
            entry = Kept(len(scored) + 1, 0, 0, text)
            await to_thread.run_sync(timeline.fold_all, [entry], StreamStatus())
            await hold.next_turn()
            scored.append((max(hold.loop_seconds, hold.process_seconds), grown))
            assert hold.loop_seconds < LONGEST_SECONDS, grown
    longest, grown = max(scored, key=lambda pair: pair[0])
    said = f"{len(scored)} grown messages: {longest * 1000:.0f} ms at most, by {grown}"
    report("S21", "test_security_loop.py", said)


def add_ended(journal: Path, count: int) -> None:
    """As many streams, and as many uploads, each with five gaps."""
    gaps = [{"legs": [n, n + 1], "cursor": n} for n in range(5)]
    record = json.dumps({"state": "ended", "api": "v1", "label": "x" * 60, "gaps": gaps})
    columns = "streams(id, owner, created_at, ended_at, record)"
    with closing(sqlite3.connect(journal)) as database, database:
        database.executemany(
            f"INSERT INTO {columns} VALUES (?, '', ?, ?, ?)",  # noqa: S608 - our words
            (
                (f"{kind}_{n:032x}", time.time(), time.time(), record)
                for kind in ("st", "an")
                for n in range(count)
            ),
        )


async def test_s21_ten_thousand_streams_are_listed_without_holding_anybody_up(
    tmp_path: Path,
) -> None:
    async with open_journal(tmp_path):
        pass
    await to_thread.run_sync(add_ended, tmp_path / FILE_NAME, 10_000)
    async with client(tmp_path) as opened:
        await opened.call_tool("list_streams", {})  # all is imported
        async with holding() as hold:
            (block,) = (await opened.call_tool("list_streams", {})).content
            (resource,) = (await opened.read_resource("ih://streams?limit=100000")).contents
    assert isinstance(block, TextContent)
    assert isinstance(resource, TextResourceContents)
    listed = json.loads(block.text)["ih_mcp"]
    assert (len(listed["streams"]), listed["not_shown"]) == (25, 10_001 - 25)
    assert listed["streams"][1]["stream_id"] == f"st_{9_999:032x}"
    assert (listed["streams"][1]["earlier_gaps"], len(listed["streams"][1]["gaps"])) == (2, 3)
    assert len(block.text) < 60_000
    assert len(json.loads(resource.text)["streams"]) == 1000
    check("S21", "10,000 streams and 10,000 uploads listed", hold)


async def test_s21_a_job_with_a_large_result_is_read_without_holding_anybody_up() -> None:
    result = {"signals": [{"type": "agreement", "start": n / 3, "end": n} for n in range(150_000)]}
    body = json.dumps({"job_id": "j1", "result": result, "status": "completed"}).encode()
    async with holding() as hold:
        job = await to_thread.run_sync(UploadJob.from_body, body)
    assert (job.job_id, job.status) == ("j1", "completed")
    check("S21", f"a job of {len(body) // 2**20} MiB", hold)


# --- S26: floods ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", ["empty", "byte"])
async def test_s26_a_flood_of_tiny_frames_holds_nobody_up(flood: str, journal: Journal) -> None:
    async with streaming(journal, Plan(flood=flood)) as stream:
        async with holding() as hold:
            await arrived(stream, FLOOD_FRAMES)
        assert stream.state == "open"
    check("S26", f"{FLOOD_FRAMES:,} {flood} frames", hold)


NEIGHBOUR = """
import asyncio, json, sys
from websockets.asyncio.server import serve
async def talk(socket):
    await socket.send(sys.argv[1])
    asyncio.ensure_future(socket.wait_closed())
    number = 0
    while True:
        number += 1
        await socket.send(json.dumps({"type": "tick", "data": {"number": number}}))
        await asyncio.sleep(0.05)
async def main():
    async with serve(talk, "127.0.0.1", 0, ping_interval=0.1, ping_timeout=1) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


@contextmanager
def neighbour() -> Iterator[str]:
    """A good service that closes the connection where a ping is not answered within a second."""
    greeting = json.dumps({"type": "session.ready", "data": {}})
    command = [*forked_python(), "-c", NEIGHBOUR, greeting]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.mark.parametrize(
    "plan",
    [Plan(flood="byte"), Plan(flood="empty"), Plan(shape="ranges"), Plan(shape="deep lists")],
    ids=lambda plan: plan.flood or plan.shape,
)
async def test_s26_the_stream_beside_a_hostile_one_goes_on(plan: Plan, tmp_path: Path) -> None:
    """Its pings are answered, its messages come, and they can be read meanwhile."""
    with neighbour() as good_url, hostile(plan) as bad_url:
        async with open_journal(tmp_path) as journal, open_registry(journal) as registry:
            good = await registry.start(StreamConfig(dialect=V1, base_url=good_url), opener)
            bad = await registry.start(StreamConfig(dialect=V1, base_url=bad_url), opener)
            await good.wait_until_open()
            await bad.wait_until_open()
            await arrived(bad, 1_000 if plan.flood else 2)  # and it goes on
            before = await newest_tick(journal, good)
            await arrived(good, before + TICKS)  # 0.5 s of it by day, and 5 pings
            assert await newest_tick(journal, good) > before
            assert (good.state, bad.state) == ("open", "open")


async def newest_tick(journal: Journal, stream: Stream) -> int:
    newest = sum(leg.messages for leg in stream.legs)
    await stream.log.flush()
    page = await journal.read_page(stream.id, newest - 1, limit=1, max_chars=1)
    number = json.loads(page.entries[-1].body)["data"].get("number", 0)
    assert isinstance(number, int)
    return number


async def test_s26_a_flood_of_pings_holds_nobody_up_and_ends_where_no_answer_is_taken(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.net.connection._MAX_UNTAKEN_BYTES", 2**20)
    async with streaming(journal, Plan(flood="ping")) as stream, holding() as hold:
        await stream.until(lambda: False)
    assert stream.failure
    assert stream.failure.code == "connection_lost"
    check("S26", "pings whose answers are not read", hold)


# --- S27: limits --------------------------------------------------------------------------------

_AGE = "session_max_duration_seconds"
_IDLE = "session_idle_timeout_seconds"
_BYTES = "max_segment_size_bytes"
LIES: list[tuple[str, object, bool]] = [
    *((_AGE, age, 0 < age < 60) for age in (0, 0.001, 59, 1e-300)),
    *((_AGE, age, False) for age in (-1, 1e9, 1e17, 10**400)),
    *((_BYTES, size, False) for size in (0, 1e12, 1e17, -1, 10**400, math.nan, "1")),
    *((_IDLE, idle, False) for idle in (0, -1, 1e-9, math.nan, None)),
]


@pytest.mark.parametrize(("name", "value", "is_noted"), LIES, ids=lambda each: str(each)[:20])
async def test_s27_a_limit_that_cannot_be_true_costs_no_session_and_no_memory(
    name: str, value: object, *, is_noted: bool, journal: Journal
) -> None:
    plan = Plan(limits={name: value}, ends=True)
    async with streaming(journal, plan, reconnects=True) as stream:
        for number in range(100):
            data = b"x" * 100
            await stream.put(
                QueuedSegment(data, number, number + 1.0, RandomAccessPoint(seconds=float(number)))
            )
        assert 2**25 <= stream.limits.max_segment_bytes <= 2**26
        record = stream.status().to_json()
        stream.request_end()
        await stream.until(lambda: False)
    assert stream.state == "ended", stream.status().to_json()
    assert len(stream.legs) == 1
    assert ("A new one is not opened so often" in str(record.get("notes"))) is is_noted
    assert stream.status().segments == {"completed": 100}
    report("S27", "test_security_loop.py", "limits that cannot be true: one session each")


# --- S28: the end of the process -----------------------------------------------------------------


def flooded(server: Process) -> None:
    stream_id = server.call("start_stream").status["stream_id"]
    server.call("poll_events", stream_id=stream_id, cursor=1000, wait_s=5)


def pinged(server: Process) -> None:
    server.call("start_stream")


def drawing(server: Process) -> None:
    stream_id = server.call("start_stream").status["stream_id"]
    server.call("poll_events", stream_id=stream_id, cursor=1, wait_s=5)
    arguments = {"stream_id": stream_id, "format": "png"}
    for number in range(50):  # more than there are worker threads
        ask(server, f"draw {number}", "render_timeline", **arguments)
    while not children(server.pid):  # the one that draws
        time.sleep(0.01)


def waiting_for_a_thread(server: Process) -> None:
    ask(server, "check", "check_setup")
    while not children(server.pid):  # an ffmpeg that does not answer
        time.sleep(0.01)


def with_nobody_who_reads_its_errors(server: Process) -> None:
    assert server.process.stderr
    errors = server.process.stderr.fileno()
    fcntl.fcntl(errors, fcntl.F_SETPIPE_SZ, 4096)
    for number in range(200):
        ask(server, f"push {number}", "push_segment", stream_id="st_unknown")
    while struct.unpack("i", fcntl.ioctl(errors, termios.FIONREAD, b"1234"))[0] < 3900:
        time.sleep(0.01)


def ask(server: Process, name: str, tool: str, **arguments: object) -> None:
    """Call a tool without waiting for its answer."""
    params = {"name": tool, "arguments": arguments}
    server._write({"id": name, "method": "tools/call", "params": params})


MIDDLES: dict[str, tuple[Plan, Callable[[Process], None]]] = {
    "a flood": (Plan(flood="byte"), flooded),
    "pings": (Plan(flood="ping"), pinged),
    "a picture": (Plan(shape="names", size=50_000), drawing),
    "a thread": (Plan(), waiting_for_a_thread),
    "full errors": (Plan(), with_nobody_who_reads_its_errors),
}
HANGS = """#!/bin/sh
exec sleep 5
"""


@pytest.mark.skipif(sys.platform != "linux", reason="POSIX signals, sizes of pipes")
@pytest.mark.one_for_each("middle")
@pytest.mark.parametrize("end", ["eof", "sigterm"])
@pytest.mark.parametrize("middle", MIDDLES)
def test_s28_a_server_goes_in_time_from_the_middle_of_anything(
    middle: str, end: str, tmp_path: Path
) -> None:
    plan, begin = MIDDLES[middle]
    hangs = tmp_path / "ffmpeg"
    hangs.write_text(HANGS, encoding="utf-8")
    hangs.chmod(0o700)
    with hostile(plan) as url:
        env = environment(
            tmp_path / "data", endpoint=url, IH_MCP_FFMPEG=str(hangs), IH_MCP_LOG="info"
        )
        command = REAL if middle == "a picture" else often(forked(), nightly=REAL)
        took = leave(env, begin, ENDS[end], command)
    report("S28", "test_security_loop.py", f"{middle}, {end}: {took:.2f} s")
    assert took < BOUND_SECONDS


def leave(
    env: dict[str, str],
    begin: Callable[[Process], None],
    end: Callable[[Process], None],
    command: Sequence[str],
) -> float:
    """How long the process takes to go."""
    server = Process(env, command)
    try:
        begin(server)
        started = []
        for pid in children(server.pid):
            with suppress(ProcessLookupError):  # it has ended by itself
                started.append(os.pidfd_open(pid))
        took = seconds_until_exit(server.process, lambda: end(server))
        assert server.process.wait() in {0, 128 + signal.SIGTERM}
        for child in started:
            assert select.select([child], [], [], 30)[0], "a child did not end with the server"
            os.close(child)
        return took
    finally:
        server.close()


def check(row: str, what: str, hold: Hold) -> None:
    report(row, "test_security_loop.py", f"{what}: {hold}")
    assert hold.loop_seconds < LONGEST_SECONDS, hold
    assert hold.process_seconds < LONGEST_SECONDS or not hold.is_fair, hold
