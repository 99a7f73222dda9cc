"""How much it bears, beside its floors: `python -m bench.bench_load [--quick] [ROW ...]`.

Rows L1 to L20 of the plan, each with a floor measured in the same run, and a bound. Ratios count;
absolute figures are those of this machine, now. `--soak MINUTES` holds a load instead and looks
for anything that grows. `--report FILE` adds a line for each row, for docs/reliability.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import anyio

from ih_mcp.mcp_server.message_reader import GATHER_SECONDS

from . import bench_load_rows as inside
from . import bench_load_stdio as outside
from .bench_load_push import call_under_pushes, pushed_memory
from .bench_load_soak import soak
from .bench_load_table import HEAD, Row, Scale, show
from .relay import _COUNT, _bare, _ours
from .stdio import NOOP, OURS, Server, environment

MIB = 2**20


def l1(scale: Scale) -> Row:
    command = [sys.executable, "-m", "bench.flood", str(_COUNT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        base = f"127.0.0.1:{process.stdout.readline().strip()}"
        ours, floor, ratio = inside.paired(
            scale.times(quick=3, full=7),
            partial(anyio.run, _ours, base),
            partial(anyio.run, _bare, base),
        )
        process.terminate()
    return Row(
        name="L1", what="a message received and kept, flood", figure=f"{ours * 1e6:.1f} us",
        floor=f"bare {floor * 1e6:.1f} us", ratio=ratio, bound="<= 4.0 x, <= 30 us",
        ok=ratio <= 4.0 and ours <= 30e-6,
    )  # fmt: skip


def l2(scale: Scale) -> Row:
    async def burst(url: str) -> float:
        async with inside.held(url, 1) as found:
            began = time.perf_counter()
            while found.streams[0].log.last < 10_001:
                await found.journal.wait("st_0", found.streams[0].log.last)
            page = await found.journal.read_page("st_0", 0, limit=10**6, max_chars=10**9)
            assert len(page.entries) >= 10_001
            return time.perf_counter() - began

    with inside.peer(10_000, 0) as url:
        seconds = median(anyio.run(burst, url) for _ in range(scale.times(quick=2, full=5)))
    return Row(
        name="L2", what="10,000 at once until all can be polled", figure=f"{seconds:.2f} s",
        floor="-", bound="<= 0.5 s, none lost", ok=seconds <= 0.5,
    )  # fmt: skip


def latency(scale: Scale, *, name: str, what: str, strict: bool, most: float) -> Row:
    count = scale.times(quick=2000, full=10_000)
    with inside.peer(0, 1000) as url:
        ours, floor = [], []
        for _ in range(scale.times(quick=2, full=3)):
            ours += anyio.run(partial(inside.our_latency, url, count, strict=strict))
            floor += anyio.run(inside.bare_latency, url, count)
    added = median(ours) - median(floor)
    p99 = sorted(ours)[int(len(ours) * 0.99)]
    return Row(
        name=name, what=what, figure=f"+{added:.2f} ms, p99 {p99:.1f}",
        floor=f"bare p50 {median(floor):.2f} ms", bound=f"p50 added <= {most} ms", ok=added <= most,
    )  # fmt: skip


def l5(scale: Scale) -> Row:
    """A poll waits on purpose for the rest of a burst; what it takes beside that is measured."""
    whole, noop = outside.long_poll_ms(scale.times(quick=15, full=60), rest_seconds=GATHER_SECONDS)
    gathering = 1000 * GATHER_SECONDS
    ours, floor = whole - gathering, noop + 0.3
    return Row(
        name="L5", what="event until a waiting poll answers",
        figure=f"{gathering:.0f} ms for the rest of a burst, and {ours:.1f} ms",
        floor=f"no-op after as long {noop:.2f} ms", ratio=ours / floor,
        bound="<= 2.0 x, gathering left out",
        ok=ours / floor <= 2.0,
    )  # fmt: skip


def l6_and_l18(scale: Scale) -> list[Row]:
    ours, floor, size, events = outside.poll_100(scale.times(quick=40, full=200))
    return [
        Row(name="L6", what="a poll of 100 kept events", figure=f"{ours:.2f} ms",
            floor=f"its shape {floor:.2f} ms", ratio=ours / floor, bound="<= 2.5 x",
            ok=ours / floor <= 2.5),
        Row(name="L18", what="bytes of that answer", figure=f"{size:,.0f}",
            floor=f"events {events:,.0f}", ratio=size / events, bound="<= 1.15 x + 400 B",
            ok=size <= 1.15 * events + 400),
    ]  # fmt: skip


def l7(scale: Scale) -> list[Row]:
    """Over TLS, 50 streams push 0.5 MB/s each and 250 events/s arrive: a call meanwhile, a turn.

    A hold by the clock tells about the neighbours too: they hold a loop with nothing to do as well.
    """
    seconds = scale.times(quick=8, full=30)
    idle, loaded, lost = call_under_pushes(50, 500_000, seconds)
    ratio, p99 = median(loaded) / median(idle), sorted(loaded)[int(len(loaded) * 0.99)]
    with inside.peer(0, 5, tls=True) as url:
        found, _, _, wrong = anyio.run(
            partial(inside.load, url, 50, push_bytes=500_000, seconds=seconds)
        )
    nothing = anyio.run(inside.bare_hold, seconds) * 1000
    hold, work = found.hold_seconds * 1000, found.work_seconds * 1000
    return [
        Row(name="L7", what="a call while 50 streams push, TLS",
            figure=f"{median(loaded):.2f} ms, p99 {p99:.0f}", floor=f"idle {median(idle):.2f} ms",
            ratio=ratio, bound="<= 2 x, p99 <= 50 ms, none lost",
            ok=ratio <= 2 and p99 <= 50 and not lost),
        Row(name="L7", what="longest hold of the loop under them, TLS",
            figure=f"own CPU {work:.0f} ms, by the clock {hold:.0f}",
            floor=f"idle loop {nothing:.0f} ms", bound="own CPU <= 25 ms, none wrong",
            ok=work <= 25 and not wrong),
    ]  # fmt: skip


def l8(scale: Scale) -> list[Row]:
    return [
        push(scale, what, size=size, count=count, tls=tls, from_memory=from_memory)
        for what, tls, from_memory in (
            ("from memory", False, True),
            ("from a file", False, False),
            ("from a file, TLS", True, False),
        )
        for size, count in ((MIB, 60), (32 * MIB, 6))
    ]


def push(scale: Scale, what: str, *, size: int, count: int, tls: bool, from_memory: bool) -> Row:
    with inside.peer(1, 0, tls=tls) as url, segment_file(size) as file:
        measure = partial(inside.push_rates, url, file, size, count, from_memory=from_memory)
        rates = [anyio.run(measure) for _ in range(scale.times(quick=3, full=7))]
    ratio = median(ours / floor for ours, floor in rates)
    ours, floor = (median(column) for column in zip(*rates, strict=True))
    return Row(
        name="L8", what=f"push of {size // MIB} MiB {what}", figure=f"{ours:.0f} MiB/s",
        floor=f"bare {floor:.0f} MiB/s", ratio=ratio, bound=">= 0.7 x, >= 100 MiB/s",
        ok=ratio >= 0.7 and ours >= 100,
    )  # fmt: skip


@contextmanager
def segment_file(size: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder).resolve() / "segment"
        file.write_bytes(os.urandom(size))
        yield file


def in_own_process(name: str) -> float:
    """A measurement whose peak memory is its own."""
    command = [sys.executable, "-m", "bench.bench_load", "--one", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def one_l9(*, tls: bool) -> float:
    with inside.peer(1, 0, tls=tls) as url:
        return anyio.run(inside.push_memory, url, 32 * MIB) / MIB


_QUIET_STREAMS, _QUIET_SECONDS = 1000, 25  # so that each sends its ping of every 20 s


def one_l13(*, is_bare: bool) -> float:
    inside.allow_many_files()
    measure = inside.bare_quiet_memory if is_bare else inside.quiet_memory
    with inside.peer(1, 0) as url:
        return anyio.run(measure, url, _QUIET_STREAMS) / 1024


def one_l13_cpu(*, is_bare: bool) -> float:
    inside.allow_many_files()
    measure = partial(inside.quiet_cpu, is_bare=is_bare)
    with inside.peer(1, 0) as url:
        return anyio.run(measure, url, _QUIET_STREAMS, _QUIET_SECONDS)


def l9(_: Scale) -> list[Row]:
    most = 1.3 * 32
    return [
        sending_memory("from memory", in_own_process("l9"), most=most, bound="<= 1.3 x"),
        sending_memory("from memory, TLS", in_own_process("l9-tls"), most=most, bound="<= 1.3 x"),
        sending_memory("from a file", pushed_memory(32 * MIB) / MIB, most=8, bound="<= 8 MiB"),
    ]


def sending_memory(what: str, size: float, *, most: float, bound: str) -> Row:
    return Row(
        name="L9", what=f"memory while 32 MiB go out, {what}", figure=f"{size:.0f} MiB",
        floor="segment 32 MiB", ratio=size / 32, bound=bound, ok=size <= most,
    )  # fmt: skip


def l13(_: Scale) -> list[Row]:
    size, bare_size = in_own_process("l13"), in_own_process("l13-bare")
    cpu, bare_cpu = in_own_process("l13-cpu"), in_own_process("l13-cpu-bare")
    return [
        Row(name="L13", what="memory of each of 1,000 quiet streams", figure=f"{size:.0f} KiB",
            floor=f"bare {bare_size:.0f} KiB", ratio=size / bare_size, bound="<= 120 KiB",
            ok=size <= 120),
        Row(name="L13", what="CPU of 1,000 quiet streams", figure=f"{100 * cpu:.1f} % of a core",
            floor=f"bare {100 * bare_cpu:.1f} %", ratio=cpu / bare_cpu, bound="<= 2 x, <= 5 %",
            ok=cpu <= 2 * bare_cpu and cpu <= 0.05),
    ]  # fmt: skip


def held(
    name: str, count: int, rate: float, size: int, seconds: int, cores: float, p99_ms: float = 1e9
) -> Row:
    inside.allow_many_files()
    with inside.peer(0, rate) as url:
        found, cpu, sent, wrong = anyio.run(
            partial(inside.load, url, count, push_bytes=size, seconds=seconds)
        )
    share, went = cpu / seconds, found.bytes_sent / (count * size * seconds)
    p50, p99 = (sorted(found.latencies)[int(len(found.latencies) * part)] for part in (0.5, 0.99))
    what = f"{count} x {size / 1e6:g} MB/s, {rate:g} events/s, {seconds} s"
    return Row(
        name=name, what=what,
        figure=f"{share:.2f} cores, p50 {p50:.1f}, p99 {p99:.0f} ms",
        floor=f"{sent:,} sent, {wrong} wrong; {went:.0%} of the media went out",
        bound=f"<= {cores} cores, 95 %" + (f", p99 <= {p99_ms:g}" if p99_ms < 1e9 else ""),
        ok=share <= cores and went >= 0.95 and not wrong and p99 <= p99_ms,
    )  # fmt: skip


def l12(scale: Scale) -> Row:
    inside.allow_many_files()
    count, seconds = scale.times(quick=300, full=1000), scale.times(quick=8, full=120)
    with inside.peer(0, 1) as url:
        floor = anyio.run(inside.bare_fan_in, url, count, seconds)
        _, cpu, sent, wrong = anyio.run(
            partial(inside.load, url, count, push_bytes=0, seconds=seconds)
        )
    ours = cpu / (count * seconds)
    return Row(
        name="L12", what=f"{count} streams, 1 event/s each, CPU an event",
        figure=f"{ours * 1e6:.0f} us", floor=f"bare {floor * 1e6:.0f} us", ratio=ours / floor,
        bound="<= 3 x, none wrong", ok=ours / floor <= 3 and not wrong and sent > 0,
    )  # fmt: skip


def l14_and_l15(scale: Scale) -> list[Row]:
    def start(command: list[str]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(command, environment(folder))
            seconds = server.hello()
            server.close()
            return seconds

    ours, floor, ratio = inside.paired(
        scale.times(quick=3, full=9), partial(start, OURS), partial(start, NOOP)
    )
    _, rss = outside.resting(0.5, 0)
    least = outside.minimal_rss()
    return [
        Row(name="L14", what="spawn to first answer", figure=f"{ours * 1000:.0f} ms",
            floor=f"MCPServer {floor * 1000:.0f} ms", ratio=ratio, bound="<= 1.25 x",
            ok=ratio <= 1.25),
        Row(name="L15", what="resident at rest", figure=f"{rss / 2**20:.0f} MiB",
            floor=f"MCPServer {least / 2**20:.0f} MiB", ratio=rss / least,
            bound="<= 1.35 x, <= 95 MiB", ok=rss / least <= 1.35 and rss <= 95 * 2**20),
    ]  # fmt: skip


def l16(scale: Scale) -> Row:
    seconds = scale.times(quick=5, full=20)
    idle, _ = outside.resting(seconds, 0)
    busy, _ = outside.resting(seconds, 50)
    return Row(
        name="L16", what="CPU at rest, with 0 and 50 quiet streams",
        figure=f"{idle:.2f} %, {busy:.2f} %", floor="0", bound="<= 0.2 %, <= 1 %",
        ok=idle <= 0.2 and busy <= 1.0,
    )  # fmt: skip


def l17(_: Scale) -> Row:
    size, alone, loaded = outside.pending_polls(1000)
    return Row(
        name="L17", what="1,000 pending long polls", figure=f"{size / 1024:.0f} KiB each",
        floor=f"{alone:.2f} -> {loaded:.2f} ms", ratio=loaded / alone,
        bound="<= 40 KiB, call <= 1.5 x", ok=size <= 40 * 1024 and loaded / alone <= 1.5,
    )  # fmt: skip


def l19_and_l20(scale: Scale) -> list[Row]:
    total = scale.times(quick=100_000, full=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        empty, many, long = (Path(folder, name) for name in ("empty", "many", "long"))
        (first,) = outside.fill(empty, 1, 1)
        least = min(outside.start_to_poll(empty, first) for _ in range(3))
        ids = outside.fill(many, 100, total // 100)
        took = min(outside.start_to_poll(many, ids[50]) for _ in range(3))
        (stream_id,) = outside.fill(long, 1, total)
        middle, tail = outside.cursor_ms(long, stream_id, total, scale.times(quick=40, full=200))
    return [
        Row(name="L19", what=f"restart with {total:,} events to first poll",
            figure=f"{took:.2f} s", floor=f"empty {least:.2f} s", bound="<= 1.5 s more",
            ok=took - least <= 1.5),
        Row(name="L20", what=f"poll in the middle of {total:,} events", figure=f"{middle:.2f} ms",
            floor=f"at the tail {tail:.2f} ms", ratio=middle / tail, bound="<= 1.5 x",
            ok=middle / tail <= 1.5),
    ]  # fmt: skip


ROWS: dict[str, Callable[[Scale], Row | list[Row]]] = {
    "L1": l1,
    "L2": l2,
    "L3": partial(
        latency, name="L3", what="event until it can be read, 1,000/s", strict=False, most=0.5
    ),
    "L4": partial(latency, name="L4", what="the same, strict", strict=True, most=1.5),
    "L5": l5,
    "L6": l6_and_l18,
    "L7": l7,
    "L8": l8,
    "L9": l9,
    "L10": lambda scale: held("L10", 50, 5, 500_000, scale.times(quick=12, full=600), 0.6, 50),
    "L11": lambda scale: held("L11", 200, 5, 250_000, scale.times(quick=12, full=300), 1.3),
    "L12": l12,
    "L13": l13,
    "L14": l14_and_l15,
    "L16": l16,
    "L17": l17,
    "L19": l19_and_l20,
}
ONE: dict[str, Callable[[], float]] = {
    "l9": partial(one_l9, tls=False),
    "l9-tls": partial(one_l9, tls=True),
    "l13": partial(one_l13, is_bare=False),
    "l13-bare": partial(one_l13, is_bare=True),
    "l13-cpu": partial(one_l13_cpu, is_bare=False),
    "l13-cpu-bare": partial(one_l13_cpu, is_bare=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--one", choices=ONE, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    asked = parser.parse_args()
    scale = Scale(is_quick=asked.quick)
    if asked.one:
        print(ONE[asked.one]())
        return
    print(HEAD)
    if asked.soak:
        with inside.peer(0, 6) as url:
            found = show(anyio.run(soak, url, asked.soak), asked.report)
    else:
        found = True
        for name in asked.names or ROWS:
            made = ROWS[name](scale)
            found &= show(made if isinstance(made, list) else [made], asked.report)
    sys.exit(not found)


if __name__ == "__main__":
    main()
