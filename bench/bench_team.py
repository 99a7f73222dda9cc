"""How fast the journal is in PostgreSQL, beside SQLite: `python -m bench.bench_team`.

Figures are of one machine; take the ratios. A row that misses its bound makes the exit code 1.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import anyio

from ih_mcp.journal import Journal, StreamLog, open_journal
from tests.postgres import own_schema, running_server

GROUP, GROUPS, ROUNDS, STREAMS = 256, 20, 5, 50
MAX_RATIO = 1.5
"""Of a message through the journal into PostgreSQL, to one into SQLite."""
PACE, SHOWN = 300, 900
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


async def measure_visible(database: str) -> list[float]:
    """Milliseconds from arrival until another process has a message, ascending."""
    sent: dict[int, float] = {}
    delays: list[float] = []

    async def read(journal: Journal) -> None:
        cursor = 0
        while cursor < SHOWN:
            await journal.wait("st_seen", cursor)
            page = await journal.read_page("st_seen", cursor, limit=100, max_chars=10**7)
            now = time.perf_counter()
            delays.extend((now - sent[entry.cursor]) * 1e3 for entry in page.entries)
            cursor = page.cursor

    async with open_journal(database) as writer, open_journal(database) as reader:
        log = await writer.begin("st_seen", {})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, reader)
            for _ in range(SHOWN):
                sent[log.append(BODY, leg=0)] = time.perf_counter()
                await anyio.sleep(1 / PACE)
    return sorted(delays)


def main() -> int:
    with (
        running_server() as server,
        own_schema(server) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        floor = anyio.run(measure_group, Path(folder))
        figure = anyio.run(measure_group, database)
        delays = anyio.run(measure_visible, database)
    ratio, p50, p99 = figure / floor, delays[SHOWN // 2], delays[SHOWN * 99 // 100]
    rows = [
        (f"a message in groups of {GROUP}: {figure:.1f} us, SQLite {floor:.1f} us, x {ratio:.2f}",
         ratio <= MAX_RATIO),
        (f"readable elsewhere at {PACE}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms",
         p99 <= MAX_P99_MILLISECONDS),
    ]  # fmt: skip
    for text, is_within in rows:
        print(f"{'ok ' if is_within else 'red'} {text}")
    return 0 if all(is_within for _, is_within in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
