"""The rows of `bench_load` that run our streams in this process, beside bare `websockets`."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import anyio
import anyio.lowlevel
import anyio.to_thread
from websockets.asyncio.client import connect

from ih_mcp.garbage_collector import leave_out_all
from ih_mcp.journal import Journal, Retention, StreamLog, open_journal
from ih_mcp.media.file_admission import read_admitted
from ih_mcp.net.opener import open_socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1

from .bench_load_tls import trusted_certificate

_NUMBER = re.compile(r'"number": (\d+), "sent_ns": (\d+)')


@contextmanager
def peer(count: int, rate: float, *, tls: bool = False) -> Iterator[str]:
    """A running `bench_load_peer`; gives its `http://127.0.0.1:PORT`, or `https:`."""
    command = [sys.executable, "-m", "bench.bench_load_peer", str(count), str(rate)]
    quiet = subprocess.DEVNULL
    with ExitStack() as held_:
        if tls:
            command.append(str(held_.enter_context(trusted_certificate())))
        process = held_.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True)
        )
        held_.callback(process.kill)
        assert process.stdout
        port = process.stdout.readline().strip()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def wire(url: str) -> str:
    """Where a peer's WebSocket is."""
    return f"ws{url.removeprefix('http')}{V1.path}"


def allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def rss_bytes(pid: int | str = "self") -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def peak_bytes(pid: int) -> int:
    """The most that was resident since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Held:
    """Our streams against the peer, all open."""

    journal: Journal
    streams: list[Stream]
    latencies: list[float] = field(default_factory=list)
    hold_seconds: float = 0.0
    """The longest time the loop gave nobody a turn, whoever had the processor meanwhile."""
    work_seconds: float = 0.0
    """The most of the processor that the loop itself took between two turns."""
    bytes_sent: int = 0
    """Of media, while the load was held."""


@asynccontextmanager
async def held(url: str, count: int, *, strict: bool = False) -> AsyncIterator[Held]:
    """`count` open streams of this process, as the server runs them; ended at the end."""
    leave_out_all()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_journal(Path(folder, "j"), Retention(strict=strict)) as journal,
            anyio.create_task_group() as tasks,
        ):
            streams = []
            for number in range(count):
                log = await journal.begin(f"st_{number}", {})
                plan = StreamConfig(dialect=V1, base_url=url)
                opener = partial(open_socket, bearer="k")
                stream = Stream(f"st_{number}", plan, log=log, opener=opener)
                streams.append(stream)
                tasks.start_soon(stream.run)
            for stream in streams:
                await stream.wait_until_open()
            yield Held(journal, streams)
            tasks.cancel_scope.cancel()


async def watch(held_: Held, log: StreamLog, *, most: int) -> None:
    """Note how long events take from leaving the peer to being readable."""
    cursor = log.last
    while len(held_.latencies) < most:
        await held_.journal.wait(log.stream_id, cursor)
        now = time.monotonic_ns()
        page = await held_.journal.read_page(log.stream_id, cursor, limit=1000, max_chars=10**7)
        for entry in page.entries:
            cursor = entry.cursor
            if found := _NUMBER.search(str(entry.body)):
                held_.latencies.append((now - int(found[2])) / 1e6)


async def beat(held_: Held) -> None:
    """Note how long the loop gave nobody a turn."""
    while True:
        before, worked = time.perf_counter(), time.thread_time()
        await anyio.sleep(0.005)
        held_.hold_seconds = max(held_.hold_seconds, time.perf_counter() - before - 0.005)
        held_.work_seconds = max(held_.work_seconds, time.thread_time() - worked)


async def bare_hold(seconds: float) -> float:
    """The longest time a loop with nothing to do gave nobody a turn: what the machine takes."""
    longest, began = 0.0, time.perf_counter()
    while (before := time.perf_counter()) < began + seconds:
        await anyio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before - 0.005)
    return longest


async def push(stream: Stream, data: bytes, every: float) -> None:
    began, sent = anyio.current_time(), 0
    while True:
        await anyio.sleep_until(began + sent * every)
        await stream.put(QueuedSegment(data))
        sent += 1


async def end(held_: Held) -> tuple[int, int]:
    """End all in order; gives how many events the peer sent, and how many are missing or wrong."""
    for stream in held_.streams:
        stream.request_end()
    sent = wrong = 0
    for stream in held_.streams:
        await stream.until(lambda: False)
        page = await held_.journal.read_page(stream.id, 0, limit=10**9, max_chars=10**12)
        numbers = [int(m[1]) for e in page.entries if (m := _NUMBER.search(str(e.body)))]
        ended = json.loads(str(page.entries[-1].body))
        count = ended.get("data", {}).get("events", -1)
        sent += count
        wrong += numbers != list(range(1, count + 1))
    return sent, wrong


async def load(
    url: str, count: int, *, push_bytes: int, seconds: float, most: int = 10**9
) -> tuple[Held, float, int, int]:
    """Hold a load; gives what was noted, our CPU seconds, events sent, and streams wrong."""
    async with held(url, count) as found:
        data = bytes(push_bytes)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(watch, found, found.streams[0].log, most=most))
            tasks.start_soon(beat, found)
            cpu = time.process_time()
            for stream in found.streams if push_bytes else []:
                tasks.start_soon(push, stream, data, 1.0)
            await anyio.sleep(seconds)
            cpu = time.process_time() - cpu
            found.bytes_sent = sum(leg.bytes_sent for each in found.streams for leg in each.legs)
            tasks.cancel_scope.cancel()
        sent, wrong = await end(found)
        return found, cpu, sent, wrong


async def bare_latency(url: str, count: int) -> list[float]:
    found: list[float] = []
    async with connect(wire(url), compression=None, proxy=None) as socket:
        async for message in socket:
            if said := _NUMBER.search(str(message)):
                found.append((time.monotonic_ns() - int(said[2])) / 1e6)
            if len(found) >= count:
                return found
    return found


async def our_latency(url: str, count: int, *, strict: bool) -> list[float]:
    async with held(url, 1, strict=strict) as found:
        await watch(found, found.streams[0].log, most=count)
        return found.latencies


async def bare_fan_in(url: str, count: int, seconds: float) -> float:
    """CPU seconds an event of bare connections."""
    events = 0

    async def one(ready: anyio.Event) -> None:
        nonlocal events
        async with connect(wire(url), compression=None, proxy=None, ping_interval=None) as socket:
            ready.set()
            async for _ in socket:
                events += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            ready = anyio.Event()
            tasks.start_soon(one, ready)
            await ready.wait()
        before, cpu = events, time.process_time()
        await anyio.sleep(seconds)
        cpu = (time.process_time() - cpu) / max(1, events - before)
        tasks.cancel_scope.cancel()
    return cpu


async def quiet_memory(url: str, count: int) -> float:
    """Bytes of each open stream on which nothing happens."""
    async with held(url, 1):
        gc.collect()
    before = rss_bytes()
    async with held(url, count):
        gc.collect()
        return (rss_bytes() - before) / count


@asynccontextmanager
async def bare_connections(url: str, count: int) -> AsyncIterator[None]:
    """`count` open connections of `websockets` alone, with its own pings, each with a reader."""

    async def one(ready: anyio.Event) -> None:
        async with connect(wire(url), compression=None, proxy=None) as socket:
            ready.set()
            async for _ in socket:
                pass

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            ready = anyio.Event()
            tasks.start_soon(one, ready)
            await ready.wait()
        yield
        tasks.cancel_scope.cancel()


async def bare_quiet_memory(url: str, count: int) -> float:
    """The same of bare connections."""
    async with bare_connections(url, 1):
        gc.collect()
    before = rss_bytes()
    async with bare_connections(url, count):
        gc.collect()
        return (rss_bytes() - before) / count


async def quiet_cpu(url: str, count: int, seconds: float, *, is_bare: bool) -> float:
    """Share of a core that open streams take, or bare connections, on which nothing happens."""
    async with bare_connections(url, count) if is_bare else held(url, count):
        await anyio.sleep(2)  # what opening them leaves to do
        began = time.process_time()
        await anyio.sleep(seconds)
        return (time.process_time() - began) / seconds


async def segment_of(file: Path) -> bytes:
    """What a push of a path reads, as it reads it."""
    return await anyio.to_thread.run_sync(partial(read_admitted, file, max_bytes=2**25))


async def push_rates(
    url: str, file: Path, size: int, times: int, *, from_memory: bool
) -> tuple[float, float]:
    """MiB a second: a stream of ours that reads the file each time, and `websockets` alone.

    That sends the file as it reads it, in 64 KiB fragments with a turn of the loop after each.

    Args:
        from_memory: Whether both have it in memory before.
    """
    kept = await segment_of(file) if from_memory else None

    async def pieces() -> AsyncIterator[bytes]:
        with io.BytesIO(kept) if kept else file.open("rb", buffering=0) as opened:
            while piece := opened.read(2**16):
                yield piece
                await anyio.lowlevel.checkpoint()

    async with held(url, 1) as found:
        stream = found.streams[0]

        async def give(count: int) -> None:
            for _ in range(count):
                await stream.put(QueuedSegment(kept or await segment_of(file)))
            await stream.until(lambda: not stream.outbox.segments)

        ours = await rate(give, size, times)
    async with connect(wire(url), compression=None, proxy=None) as bare:
        await bare.recv()

        async def send(count: int) -> None:
            for _ in range(count):
                await bare.send(pieces())

        floor = await rate(send, size, times)
    return ours, floor


async def rate(send: Callable[[int], Awaitable[None]], size: int, times: int) -> float:
    """MiB a second of so many, after a first one."""
    await send(1)
    began = time.perf_counter()
    await send(times)
    return times * size / 2**20 / (time.perf_counter() - began)


async def push_memory(url: str, size: int) -> int:
    """Peak bytes over rest while one segment goes out from memory, the segment included."""
    async with open_socket(wire(url), bearer="k") as socket:
        await socket.receive()
        await socket.send_segment(bytes(2**20))
        gc.collect()
        rest = rss_bytes()
        forget_peak(os.getpid())  # RUSAGE_SELF would tell that of who started this process too
        await socket.send_segment(os.urandom(size))
    return peak_bytes(os.getpid()) - rest


def paired(rounds: int, ours: Callable[[], float], floor: Callable[[], float]) -> tuple[float, ...]:
    """Medians of both and of their ratio, taken round by round."""
    pairs = [(ours(), floor()) for _ in range(rounds)]
    return (
        median(a for a, _ in pairs),
        median(b for _, b in pairs),
        median(a / b for a, b in pairs),
    )
