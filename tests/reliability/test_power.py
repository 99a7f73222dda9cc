"""C3 and C4: what a power failure or a damaged disk leaves of the journal.

The disk is played on the files themselves: of what was not synced, a random part stays. SQLite
writes to its log (the WAL) until a checkpoint moves it into the main file: before one, the log
is the only thing unsynced; during one, the log is synced and the main file is not.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import anyio
import pytest

from ih_mcp.errors import ExpiredCursorError, IhMcpError, JournalError, UnknownStreamError
from ih_mcp.journal import FILE_NAME, Entry, Journal, Retention, open_journal
from tests.sqlite_journal import db_of

from .budget import dice, often, report
from .writer import message

pytestmark = pytest.mark.timeout(3600 if often(0, nightly=1) else 60)
WAL = f"{FILE_NAME}-wal"
SECTOR = 512
ALL = {"limit": 10**6, "max_chars": 10**9}


def lose_power(before: bytes, after: bytes, rng: Random) -> bytes:
    """What a disk may hold that was given `after` over `before` and never told to sync.

    A prefix of the new part was written in order; of the sectors behind it each was or was not.
    """
    size = rng.randrange(min(len(before), len(after)), max(len(before), len(after)) + 1)
    disk = bytearray(before[:size].ljust(size, b"\0"))
    in_order = rng.randrange(len(after) + 1)
    for at in range(0, size, SECTOR):
        if at < in_order or rng.random() < 0.5:
            piece = after[at : min(at + SECTOR, size)]
            disk[at : at + len(piece)] = piece
    return bytes(disk)


async def read_left(folder: Path) -> list[Entry]:
    async with open_journal(folder) as journal:
        try:
            page = await journal.read_page("st_1", 0, **ALL)
        except UnknownStreamError:
            return []
        assert all(entry.leg == 0 for entry in page.entries)
        return list(page.entries)


def is_beginning(kept: list[Entry], count: int) -> bool:
    return [(entry.cursor, entry.body) for entry in kept] == [
        (number, message("st_1", number)) for number in range(1, count + 1)
    ]


async def write_until(folder: Path, target: Path, rng: Random, *, strict: bool) -> tuple[int, int]:
    """Write a journal and copy its files as power fails; gives what was synced, and shown."""
    synced = 0
    synced_wal = b""
    async with open_journal(folder, Retention(strict=strict)) as journal:
        log = await journal.begin("st_1", {})
        await journal.sync()
        synced_wal = (folder / WAL).read_bytes()
        for number in range(1, rng.randrange(5, 60)):
            log.append(message("st_1", number), leg=0)
            await log.flush()
            if strict or rng.random() < 0.15:
                await journal.sync()
                synced, synced_wal = number, (folder / WAL).read_bytes()
        target.mkdir(mode=0o700)  # noqa: ASYNC240 - a test
        shutil.copy(folder / FILE_NAME, target / FILE_NAME)  # no checkpoint was: all is in the WAL
        wal = lose_power(synced_wal, (folder / WAL).read_bytes(), rng)
        (target / WAL).write_bytes(synced_wal + wal[len(synced_wal) :])
        return synced, log.last


@pytest.mark.parametrize("strict", [False, True])
async def test_c3_a_power_failure_takes_at_most_an_end_that_was_not_synced(
    strict: bool, tmp_path: Path
) -> None:
    schedules, lost, worst = often(25, nightly=1000), 0, 0
    for number in range(schedules):
        rng = dice("C3", number, strict)
        left = tmp_path / f"left{number}"
        synced, shown = await write_until(tmp_path / f"w{number}", left, rng, strict=strict)
        kept = await read_left(left)
        assert is_beginning(kept, len(kept))
        assert synced <= len(kept) <= shown
        if strict:
            assert len(kept) == shown
        lost, worst = lost + (len(kept) < shown), max(worst, shown - len(kept))
    mode = "strict" if strict else "default"
    found = f"{mode}: {schedules} failures, {lost} lost an unsynced end (worst {worst}), 0 synced"
    report("C3", "test_power.py", found)


async def test_c3_a_power_failure_during_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    folder, schedules = tmp_path / "w", often(25, nightly=1000)
    async with open_journal(folder) as journal:
        log = await journal.begin("st_1", {})
        for number in range(1, 300):
            log.append(message("st_1", number), leg=0)
        await log.flush()
        await journal.sync()  # SQLite does this before it checkpoints
        before, wal = (folder / FILE_NAME).read_bytes(), (folder / WAL).read_bytes()
        db_of(journal).execute("PRAGMA wal_checkpoint(FULL)")
        after = (folder / FILE_NAME).read_bytes()
    assert before != after
    for number in range(schedules):
        left = tmp_path / f"left{number}"
        left.mkdir()
        half = lose_power(before, after, dice("C3", "checkpoint", number))
        (left / FILE_NAME).write_bytes(half)
        (left / WAL).write_bytes(wal)
        kept = await read_left(left)
        assert len(kept) == 299
        assert is_beginning(kept, 299)
    report("C3", "test_power.py", f"during a checkpoint: {schedules} failures, 0 lost")


# --- C4 ------------------------------------------------------------------------------------------


async def make_small(folder: Path, *, checkpointed: bool) -> None:
    """A journal of one ended stream with ten messages, in the main file or in the WAL."""
    async with open_journal(folder / "made") as journal:
        log = await journal.begin("st_1", {"state": "open"})
        for number in range(1, 11):
            log.append(message("st_1", number), leg=0)
        await log.write_record({"state": "ended"}, ended=True)
        if checkpointed:
            db_of(journal).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (folder / "kept").mkdir(mode=0o700)
        for name in (FILE_NAME, WAL):
            shutil.copy(folder / "made" / name, folder / "kept" / name)


def what_is_left(files: dict[str, bytes], folder: Path) -> str:
    """Open and read a journal with these bytes; says what came of it, and checks all of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for stale in folder.glob(f"{FILE_NAME}*"):
        stale.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return anyio.run(_read_damaged, folder)


async def _read_damaged(folder: Path) -> str:
    try:
        async with open_journal(folder) as journal:
            await journal.clean_up()
            return await _read_on(journal)
    except JournalError:
        return "told"


async def _read_on(journal: Journal) -> str:
    """Read to the end, over every damaged message."""
    cursor, told, seen = 0, False, 0
    while cursor < 12:
        try:
            page = await journal.read_page("st_1", cursor, **ALL)
        except (UnknownStreamError, ExpiredCursorError, JournalError) as exc:
            if not isinstance(exc, JournalError) or "damaged_cursor" not in exc.facts:
                return "told"
            told, cursor = True, cursor + 1
            continue
        for entry in page.entries:
            assert entry.cursor == cursor + 1
            assert entry.body == message("st_1", entry.cursor)
            cursor, seen = entry.cursor, seen + 1
        if not page.entries:
            break
    return "told" if told else "whole" if seen == 10 else f"{seen} of 10"


@pytest.mark.parametrize("checkpointed", [True, False])
def test_c4_no_flipped_bit_is_ever_read_as_a_message(checkpointed: bool, tmp_path: Path) -> None:
    anyio.run(lambda: make_small(tmp_path, checkpointed=checkpointed))
    files = {name: (tmp_path / "kept" / name).read_bytes() for name in (FILE_NAME, WAL)}
    name = FILE_NAME if checkpointed else WAL
    size = len(files[name])
    found: dict[str, int] = {}
    rng = dice("C4", checkpointed)
    places = sorted(rng.sample(range(size), min(size, often(100, nightly=size))))
    for place in places:
        data = bytearray(files[name])
        data[place] ^= 1 << rng.randrange(8)
        came = what_is_left({**files, name: bytes(data)}, tmp_path / "damaged")
        found[came] = found.get(came, 0) + 1
    if checkpointed:  # the WAL has SQLite's own checksums: it ends before the damage, as one lost
        assert found.keys() <= {"told", "whole"}, found
    report("C4", "test_power.py", f"{len(places)} flipped bits in {name}: {found}")


@pytest.mark.parametrize("checkpointed", [True, False])
def test_c4_a_cut_file_is_told_or_ends_earlier(checkpointed: bool, tmp_path: Path) -> None:
    anyio.run(lambda: make_small(tmp_path, checkpointed=checkpointed))
    files = {name: (tmp_path / "kept" / name).read_bytes() for name in (FILE_NAME, WAL)}
    name = FILE_NAME if checkpointed else WAL
    size = len(files[name])
    rng = dice("C4", "cut", checkpointed)
    for place in sorted(rng.sample(range(size), min(size, often(60, nightly=size)))):
        what_is_left({**files, name: files[name][:place]}, tmp_path / "damaged")
    report("C4", "test_power.py", f"{name} cut anywhere: told, or a beginning was served")


def test_c4_damage_found_by_sqlite_itself_is_one_of_our_errors(tmp_path: Path) -> None:
    """A tree whose pages point in a circle: SQLite says malformed while it reads."""
    anyio.run(lambda: make_small(tmp_path, checkpointed=True))
    path = tmp_path / "kept" / FILE_NAME
    with closing(sqlite3.connect(path)) as file:
        (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name='entries'").fetchone()
        (page_bytes,) = file.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    data[(root - 1) * page_bytes : root * page_bytes] = b"\xff" * page_bytes
    path.write_bytes(data)

    async def read() -> None:
        async with open_journal(tmp_path / "kept") as journal:
            with pytest.raises(IhMcpError) as told:
                await journal.read_page("st_1", 0, **ALL)
            assert "The file is damaged" in told.value.help

    anyio.run(read)
