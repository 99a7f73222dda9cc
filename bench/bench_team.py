"""How fast the journal is in PostgreSQL, beside SQLite: `python -m bench.bench_team`.

Figures are of one machine; take the ratios. A row that misses its bound makes the exit code 1.
`bench_team_http` has the rows of HTTP, `bench_team_pace` is one of the writers at a pace.
"""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import anyio
import psycopg
from anyio import to_thread

from ih_mcp.journal import Journal, Retention, StreamLog, open_journal
from tests.forked import REAL
from tests.plain_http import plain_http
from tests.postgres import own_schema, running_server
from tests.reliability.replicas import KEY, call, open_client, open_fleet
from tests.streams.test_all_or_nothing import cluster, webm_header

from . import bench_team_http

GROUP, GROUPS, ROUNDS, STREAMS = 256, 20, 5, 50
MAX_RATIO = 1.5
"""Of a message through the journal into PostgreSQL, to one into SQLite."""
LONG, PER_FLUSH, PAGE_ROUNDS = 1_000_000, 5_000, 20
PUT_ROUNDS = 8
PACE, SHOWN = 300, 900
WRITERS, WRITERS_PACE, WRITERS_SECONDS = 4, 30_000, 60
MAX_P99_MILLISECONDS = 60.0
"""From a message's arrival until another process can read it, at `PACE` a second."""
BODY = '{"type":"signal.updated","pad":"' + "x" * 415 + '"}'


async def measure_group(place: Path | str) -> float:
    """Microseconds a message, in groups over many streams; the best of some rounds."""
    async with open_journal(place) as journal:
        logs = [await journal.begin(f"st_{number}", {}) for number in range(STREAMS)]
        return min([await _write_groups(logs) for _ in range(ROUNDS)])


async def _write_groups(logs: list[StreamLog]) -> float:
    begun = time.perf_counter()
    for _ in range(GROUPS):
        for number in range(GROUP):
            logs[number % STREAMS].append(BODY, leg=0)
        for log in logs:
            await log.flush()
    return (time.perf_counter() - begun) / (GROUP * GROUPS) * 1e6


async def measure_visible(database: str, round_: int) -> tuple[list[float], list[float]]:
    """Milliseconds from arrival until it is committed, and until another process has a message."""
    stream_id = f"st_seen_{round_}"
    sent: dict[int, float] = {}
    committed, delays = list[float](), list[float]()

    async def follow(log: StreamLog) -> None:
        while (last := len(committed)) < SHOWN:
            await log.wait_for_commit()
            now = time.perf_counter()
            committed.extend((now - sent[each]) * 1e3 for each in range(last + 1, log.last + 1))

    async def read_pages(journal: Journal) -> None:
        while (cursor := len(delays)) < SHOWN:
            await journal.wait(stream_id, cursor)
            page = await journal.read_page(stream_id, cursor, limit=100, max_chars=10**7)
            now = time.perf_counter()
            delays.extend((now - sent[entry.cursor]) * 1e3 for entry in page.entries)

    async with open_journal(database) as writer, open_journal(database) as reader:
        log = await writer.begin(stream_id, {})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, log)
            tasks.start_soon(read_pages, reader)
            for _ in range(SHOWN):
                sent[log.append(BODY, leg=0)] = time.perf_counter()
                await anyio.sleep(1 / PACE)
    return sorted(committed), sorted(delays)


async def measure_visible_floor(database: str) -> list[float]:
    """The same by a plain program, with a commit and a NOTIFY for each message."""
    connect = partial(psycopg.AsyncConnection.connect, database, autocommit=True)
    sent, delays = list[float](), list[float]()
    async with AsyncExitStack() as stack:
        writer, listener, reader = [
            await stack.enter_async_context(await connect()) for _ in range(3)
        ]
        await writer.execute("DROP TABLE IF EXISTS floor")
        await writer.execute("CREATE TABLE floor(no int PRIMARY KEY, body text)")
        await listener.execute("LISTEN floor")

        async def read_rows() -> None:
            async for _ in listener.notifies():
                found = await reader.execute(
                    "SELECT no, body FROM floor WHERE no >= %s ORDER BY no", (len(delays),)
                )
                seen = await found.fetchall()
                now = time.perf_counter()
                delays.extend((now - sent[no]) * 1e3 for no, _ in seen)
                if len(delays) == SHOWN:
                    return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_rows)
            begun = time.perf_counter()
            for number in range(SHOWN):
                due = begun + number / PACE
                await anyio.sleep(max(0.0, due - time.perf_counter()))
                sent.append(due)  # one that waits for the commit before it has arrived too
                await writer.execute("INSERT INTO floor VALUES (%s, %s)", (number, BODY))
                await writer.execute("NOTIFY floor")
    return sorted(delays)


def visible_row(database: str) -> tuple[str, bool]:
    """Medians of some rounds, each beside one of a plain program: the disk is the machine's."""
    floor, rows = list[float](), list[list[float]]()
    for round_ in range(ROUNDS):
        committed, delays = anyio.run(measure_visible, database, round_)
        plain = anyio.run(measure_visible_floor, database)
        rows.append([committed[SHOWN // 2], delays[SHOWN // 2], delays[SHOWN * 99 // 100]])
        floor.append(plain[SHOWN * 99 // 100])
    ours = [sorted(each) for each in zip(*rows, strict=True)]
    commit, p50, p99 = (each[ROUNDS // 2] for each in ours)
    text = (
        f"readable elsewhere at {PACE}/s: p50 {p50:.1f} ms (committed {commit:.1f}), p99 {p99:.1f}"
    )
    is_good = p50 <= commit + 12 and p99 <= MAX_P99_MILLISECONDS
    return f"{text}; a plain program p99 {sorted(floor)[ROUNDS // 2]:.1f} ms", is_good


async def measure_pages(database: str) -> tuple[float, float]:
    """Milliseconds of a page of 100: of the newest, and the slowest of places in all of a log."""
    async with open_journal(database, Retention(max_stream_bytes=10**9)) as journal:
        log = await journal.begin("st_long", {})
        for _ in range(LONG // PER_FLUSH):
            for _ in range(PER_FLUSH):
                log.append(BODY, leg=0)
            await log.flush()

        async def page(after: int) -> float:
            taken = []
            for _ in range(PAGE_ROUNDS):
                begun = time.perf_counter()
                found = await journal.read_page("st_long", after, limit=100, max_chars=10**7)
                taken.append((time.perf_counter() - begun) * 1e3)
                assert len(found.entries) == 100
            return min(taken)

        tail = await page(LONG - 100)
        return tail, max([await page(LONG * share // 10) for share in range(10)])


@contextmanager
def _standin() -> Iterator[str]:
    """The address of a stand-in of its own process."""
    command = [sys.executable, "-m", "ih_mcp", "standin", "--analyst", "placeholder"]
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdout=pipe, stderr=quiet, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def measure_puts(database: str) -> tuple[float, float, float]:
    """Milliseconds of 3 MiB: put at the owner, put at another replica, and in a tool's call.

    Replicas and service are processes of their own, as they are in use: in one they would wait for
    each other, also where one sends and the other receives.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            service = await to_thread.run_sync(stack.enter_context, _standin())
            fleet = await stack.enter_async_context(open_fleet(service, database, Path(folder)))
            owner, other = [await fleet.start(REAL) for _ in range(2)]
            client = await stack.enter_async_context(open_client(owner.url, "auto"))
            http = await stack.enter_async_context(
                plain_http(headers={"Authorization": f"Bearer {KEY}"})
            )
            started, _ = await call(client, "start_stream", include=[])
            stream_id, number = started["stream_id"], 0

            async def put(url: str, data: bytes) -> None:
                answer = await http.put(
                    f"{url}/streams/{stream_id}/segments/{number}", content=data
                )
                assert answer.is_success, answer.text

            async def push(data: bytes) -> None:
                text = base64.b64encode(data).decode()
                given = {"stream_id": stream_id, "seq": number, "data_base64": text}
                await call(client, "push_segment", **given)

            ways: list[Callable[[bytes], Awaitable[None]]] = [
                partial(put, owner.url),
                partial(put, other.url),
                push,
            ]
            best = [float("inf")] * len(ways)
            for _ in range(PUT_ROUNDS):
                for place, way in enumerate(ways):
                    number += 1
                    data = (webm_header() if number == 1 else b"") + cluster(number, 3 * 2**20)
                    begun = time.perf_counter()
                    await way(data)
                    best[place] = min(best[place], (time.perf_counter() - begun) * 1e3)
            await call(client, "end_stream", stream_id=stream_id)
    return best[0], best[1], best[2]


def measure_writers(database: str) -> tuple[float, int]:
    """The share of messages at `WRITERS_PACE` that was kept in time, and how many are lost."""
    command = [sys.executable, "-m", "bench.bench_team_pace", database]
    asked = [str(WRITERS_PACE // WRITERS), str(WRITERS_SECONDS)]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen([*command, f"st_w{number}_", *asked], stdout=pipe, text=True)
            )
            for number in range(WRITERS)
        ]
        said = [json.loads(writer.communicate()[0]) for writer in writers]
    kept = anyio.run(_count_kept, database)
    in_time = sum(each["in_time"] for each in said)
    return in_time / (WRITERS_PACE * WRITERS_SECONDS), sum(each["kept"] for each in said) - kept


async def _count_kept(database: str) -> int:
    async with open_journal(database) as journal:
        rows = await journal.list_streams("st_w")
        for row in rows:  # the newest page of each is there to be read
            page = await journal.read_page(row.id, row.last - 1, limit=9, max_chars=10**6)
            assert [entry.cursor for entry in page.entries] == [row.last]
        return sum(row.last for row in rows)


def rows(database: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """Each as a line, and whether it holds."""
    floor, figure = anyio.run(measure_group, folder), anyio.run(measure_group, database)
    text = f"a message in groups of {GROUP}: {figure:.1f} us, SQLite {floor:.1f} us"
    yield f"{text}, x {figure / floor:.2f}", figure <= MAX_RATIO * floor

    yield visible_row(database)

    tail, slowest = anyio.run(measure_pages, database)
    text = f"100 of {LONG:_}: newest {tail:.2f} ms, slowest {slowest:.2f}, x {slowest / tail:.2f}"
    yield text, slowest <= 1.5 * tail

    put, passed_on, pushed = anyio.run(measure_puts, database)
    text = f"PUT of 3 MiB: {put:.0f} ms, passed on {passed_on:.0f} ms, x {passed_on / put:.2f}"
    yield text, passed_on <= 4 * put
    text = f"3 MiB in a tool's call {pushed:.0f} ms, PUT passed on x {passed_on / pushed:.2f} of it"
    yield text, passed_on <= 0.4 * pushed

    share, lost = measure_writers(database)
    text = f"{WRITERS_PACE:_}/s by {WRITERS} writers for {WRITERS_SECONDS} s"
    yield f"{text}: {share:.1%} kept in time, {lost} lost", share >= 0.99 and not lost
    yield from bench_team_http.rows(database)


def main() -> int:
    is_good = True
    logging.getLogger("ih_mcp.journal").setLevel(logging.ERROR)  # it has no copy, as is known here
    with (
        running_server() as server,
        own_schema(server) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        for text, is_within in rows(database, Path(folder)):
            print(f"{'ok ' if is_within else 'red'} {text}", flush=True)
            is_good &= is_within
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
