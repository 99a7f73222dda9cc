"""A process that writes and reads a journal until it is killed.

usage: python -m tests.reliability.writer FOLDER|DSN MODE

Prints `go`, then each answer a reader got.
"""

from __future__ import annotations

import json
import secrets
import sys
from itertools import count
from pathlib import Path

import anyio
import anyio.lowlevel

from ih_mcp.journal import Journal, Retention, StreamLog, open_journal
from tests.sqlite_journal import db_of

KEEPING = {
    "steady": Retention(),
    "strict": Retention(strict=True),
    "rotation": Retention(max_stream_bytes=20_000),
    "compaction": Retention(max_bytes=30_000),
    "index write": Retention(),
}


RUN = secrets.token_hex(8)
"""Of this process; its number is given again, sooner than two hundred others were killed."""


def message(stream_id: str, number: int) -> str:
    """What is written; lengths differ, so that pages of the file end anywhere."""
    return json.dumps({"stream": stream_id, "number": number, "r": "x" * (number * 37 % 400)})


async def write(log: StreamLog) -> None:
    for number in count(1):
        log.append(message(log.stream_id, number), leg=0)
        if number % 50 == 0:
            await log.flush()
        elif number % 5 == 0:
            await anyio.lowlevel.checkpoint()


async def read(journal: Journal, log: StreamLog) -> None:
    cursor = 0
    while True:
        await journal.wait(log.stream_id, cursor)
        page = await journal.read_page(log.stream_id, cursor, limit=20, max_chars=10**6)
        tell(log.stream_id, cursor, [str(entry.body) for entry in page.entries])
        cursor += len(page.entries)
        if log.last - cursor > 200:  # a reader that is behind would lose what rotation takes
            cursor = log.last


def tell(stream_id: str, cursor: int, bodies: list[str]) -> None:
    line = {"stream": stream_id, "cursor": cursor, "bodies": bodies}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def come_and_go(journal: Journal) -> None:
    """Short streams that end and are let go of, so that tidying always has work."""
    for number in count(1):
        log = await journal.begin(f"st_short_{RUN}_{number}", {"state": "open"})
        for at in range(1, 40):
            log.append(message(log.stream_id, at), leg=0)
        await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)
        await journal.clean_up()


async def main(place: Path | str, mode: str) -> None:
    sys.stdout.write("go\n")
    sys.stdout.flush()
    async with open_journal(place, KEEPING[mode]) as journal, anyio.create_task_group() as tasks:
        if mode == "index write":
            db_of(journal).execute("PRAGMA wal_autocheckpoint=3")
        if mode == "compaction":
            tasks.start_soon(come_and_go, journal)
        for name in "ab":
            log = await journal.begin(f"st_{name}_{RUN}", {"state": "open"})
            tasks.start_soon(write, log)
            tasks.start_soon(read, journal, log)


if __name__ == "__main__":
    place = sys.argv[1]
    anyio.run(main, place if "://" in place else Path(place), sys.argv[2])
