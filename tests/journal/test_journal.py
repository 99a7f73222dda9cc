from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from anyio import to_thread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ih_mcp import observer
from ih_mcp.errors import (
    CallerError,
    ConfigurationError,
    ExpiredCursorError,
    JournalError,
    UnknownStreamError,
)
from ih_mcp.journal import FILE_NAME, Entry, Journal, Retention, StreamLog, open_journal
from ih_mcp.journal.checks import compute_checksums
from ih_mcp.journal.journal import SYNC_SECONDS
from ih_mcp.journal.store import Batch, EntryRow, Store
from ih_mcp.notifier import Notifier
from tests.blocked import wait_all_blocked
from tests.forked import forked_python
from tests.reliability.budget import often
from tests.sqlite_journal import db_of, release_lock

ALL = {"limit": 10_000, "max_chars": 10**9}


async def keep(journal: Journal, *bodies: str | bytes, stream_id: str = "st_1") -> StreamLog:
    log = await journal.begin(stream_id, {"state": "open"})
    for body in bodies:
        log.append(body, leg=0)
    await log.flush()
    return log


async def bodies_of(journal: Journal, stream_id: str = "st_1", after: int = 0) -> list[str | bytes]:
    return [e.body for e in (await journal.read_page(stream_id, after, **ALL)).entries]


async def test_what_was_taken_is_read_in_order_with_cursors_from_one(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await keep(journal, "a", "b", "c")
        page = await journal.read_page("st_1", 1, **ALL)
    assert [(e.cursor, e.leg, e.body) for e in page.entries] == [(2, 0, "b"), (3, 0, "c")]
    assert (page.last, page.ended) == (3, False)
    assert abs(page.entries[0].received_at / 1e6 - time.time()) < 60


async def test_reading_consumes_nothing_also_after_a_restart(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await keep(journal, "a", "b")
        first = await journal.read_page("st_1", 0, **ALL)
        assert await journal.read_page("st_1", 0, **ALL) == first
    async with open_journal(place) as journal:
        assert (await journal.read_page("st_1", 0, **ALL)).entries == first.entries


@settings(
    deadline=None,
    max_examples=often(25, nightly=500),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(bodies=st.lists(st.text() | st.binary(), min_size=1, max_size=8))
async def test_any_text_comes_back_unchanged(place: Path | str, bodies: list[str | bytes]) -> None:
    async with open_journal(place) as journal:
        stream_id = os.urandom(8).hex()
        await keep(journal, *bodies, stream_id=stream_id)
        assert await bodies_of(journal, stream_id) == bodies


@pytest.mark.parametrize(
    "body",
    ['{"a" :1,"a":2}', "{\n}", "\x00", "\ufeff{}", '{"r":"\\u00e9é\\ud800"}', "x" * 200_000, ""],
    ids=["duplicate", "break", "nul", "bom", "escapes", "long", "empty"],
)
async def test_unusual_text_comes_back_unchanged(place: Path | str, body: str) -> None:
    async with open_journal(place) as journal:
        await keep(journal, body)
        assert await bodies_of(journal) == [body]


async def test_nothing_is_read_before_it_is_committed(place: Path | str) -> None:
    async with open_journal(place) as journal:
        log = await journal.begin("st_1", {})
        log.append("a", leg=0)
        assert (await journal.read_page("st_1", 0, **ALL)).entries == ()
        await log.flush()
        assert await bodies_of(journal) == ["a"]


async def test_a_page_is_bounded_but_holds_at_least_one_entry(place: Path | str) -> None:
    async with open_journal(place) as journal, open_journal(place) as other:
        await keep(journal, "a" * 100, "b" * 100, "c" * 100)
        bounds = [(2, 10**9, 2), (9, 250, 2), (9, 200, 2), (9, 199, 1), (9, 1, 1)]
        for reader in (journal, other):  # one may have them in memory
            for limit, max_chars, count in bounds:
                page = await reader.read_page("st_1", 0, limit=limit, max_chars=max_chars)
                assert len(page.entries) == count
                assert page.last == 3


async def test_a_cursor_beyond_the_end_reads_nothing(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await keep(journal, "a")
        assert (await journal.read_page("st_1", 99, **ALL)).entries == ()


@pytest.mark.parametrize("cursor", [2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**70])
async def test_a_cursor_no_stream_can_have_reads_nothing_of_an_ended_stream(
    cursor: int, place: Path | str
) -> None:
    async with open_journal(place) as journal:
        log = await keep(journal, "a", "b")
        await keep(journal, "of another", stream_id="st_2")
        await log.write_record({"state": "closed"}, ended=True)
        journal.release(log)
        page = await journal.read_page("st_1", cursor, **ALL)
    assert (page.entries, page.last, page.ended) == ((), 2, True)


async def test_an_unknown_stream_is_an_error(place: Path | str) -> None:
    async with open_journal(place) as journal:
        with pytest.raises(UnknownStreamError, match="no stream st_x"):
            await journal.read_page("st_x", 0, **ALL)


async def test_a_reader_waits_for_the_next_commit(place: Path | str) -> None:
    async with open_journal(place) as journal, anyio.create_task_group() as tasks:
        log = await journal.begin("st_1", {})
        woke = anyio.Event()

        async def wait() -> None:
            await journal.wait("st_1", 0)
            woke.set()

        tasks.start_soon(wait)
        await wait_all_blocked()
        assert not woke.is_set()
        log.append("a", leg=0)
        with anyio.fail_after(5):
            await woke.wait()


async def test_a_reader_of_another_process_sees_new_entries(place: Path | str) -> None:
    async with open_journal(place) as writer, open_journal(place) as reader:
        log = await keep(writer, "a")
        with anyio.fail_after(5):
            await reader.wait("st_1", 0)
            log.append("b", leg=0)
            await reader.wait("st_1", 1)
        assert await bodies_of(reader) == ["a", "b"]


async def test_streams_of_one_commit_do_not_mix(place: Path | str) -> None:
    async with open_journal(place) as journal:
        logs = [await journal.begin(f"st_{n}", {}) for n in range(3)]
        for round_ in range(400):  # more than one statement holds
            for n, log in enumerate(logs):
                log.append(f"{n}:{round_}", leg=0)
        for log in logs:
            await log.flush()
        for n in range(3):
            assert await bodies_of(journal, f"st_{n}") == [f"{n}:{r}" for r in range(400)]


async def test_a_failing_disk_is_told_to_everybody_and_nothing_more_is_taken(
    tmp_path: Path,
) -> None:
    async with open_journal(tmp_path) as journal:
        log = await keep(journal, "safe")
        with sqlite3.connect(tmp_path / FILE_NAME) as other:
            other.execute("DROP TABLE entries")
        other.close()
        log.append("lost", leg=0)
        with pytest.raises(JournalError, match="journal cannot write") as failed:
            await log.flush()
        assert "IH_MCP_DATA_DIR" in failed.value.help
        with pytest.raises(JournalError):
            log.append("more", leg=0)
        assert log.last == 1


async def test_who_waits_for_a_failure_is_told_when_the_disk_takes_no_more(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal, anyio.create_task_group() as tasks:
        log = await keep(journal, "safe")
        told: list[JournalError | None] = []

        async def wait() -> None:
            await log.wait_for_failure()
            told.append(log.failure)

        tasks.start_soon(wait)
        log.append("safe too", leg=0)
        await log.flush()
        assert told == []
        edit(tmp_path, "DROP TABLE entries")
        log.append("lost", leg=0)
        with anyio.fail_after(5), pytest.raises(JournalError):
            await log.flush()
        await log.wait_for_failure()  # who asks later is told at once
    assert told == [log.failure]


async def test_a_log_is_full_while_megabytes_of_it_wait_for_the_disk(place: Path | str) -> None:
    async with open_journal(place) as journal:
        log = await journal.begin("st_1", {})
        seen = []
        for size in (2**23, 1):
            log.append("x" * size, leg=0)
            seen.append(log.is_full)
        await log.flush()
        assert [*seen, log.is_full] == [False, True, False]
        for _ in range(40_000):
            log.append("", leg=0)
        seen = [log.is_full]
        log.append("", leg=0)
        seen.append(log.is_full)
        await log.flush()
        assert [*seen, log.is_full] == [False, True, False]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_record_that_the_disk_does_not_take_is_told_and_only_an_end_is_final(
    tmp_path: Path, *, ended: bool
) -> None:
    async with open_journal(tmp_path) as journal:
        log = await keep(journal, "a")
        edit(
            tmp_path,
            "CREATE TRIGGER full BEFORE UPDATE OF record ON streams "
            "BEGIN SELECT RAISE(FAIL, 'disk is full'); END",
        )
        with pytest.raises(JournalError, match="cannot write: disk is full"):
            await log.write_record({"state": "ended" if ended else "sending"}, ended=ended)
        row = await journal.find_stream("st_1")
        assert (row.ended_at is not None) is ended
        assert json.loads(row.record)["state"] == ("failed" if ended else "open")


async def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="journal cannot open"):
        async with open_journal(tmp_path / "file"):
            raise AssertionError


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_files_are_private_to_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    async with open_journal(folder) as journal:
        await keep(journal, "a")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) >= 3  # the file, its log, the lock
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


async def test_records_say_what_was_last_said_and_an_end_is_final(place: Path | str) -> None:
    async with open_journal(place) as journal:
        log = await keep(journal, "a")
        await log.write_record({"state": "ended"}, ended=True)
        await log.write_record({"state": "open"})
        row = await journal.find_stream("st_1")
        assert row.record == '{"state": "ended"}'
        assert row.ended_at is not None
        journal.release(log)
        assert (await journal.read_page("st_1", 0, **ALL)).ended


def count_entries(place: Path | str) -> int:
    if isinstance(place, Path):
        with closing(sqlite3.connect(place / FILE_NAME)) as db:
            return int(db.execute("SELECT count(*) FROM entries").fetchone()[0])
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(place) as db:  # also those that no stream has, which are hidden
        db.execute("ALTER TABLE entries NO FORCE ROW LEVEL SECURITY")
        count = int(db.execute("SELECT count(*) FROM entries").fetchone()[0])
        db.rollback()
        return count


async def test_of_a_stream_that_is_removed_no_message_stays_and_others_keep_theirs(
    place: Path | str,
) -> None:
    async with open_journal(place) as journal:
        for name in ("st_1", "st_2", "st_3"):
            log = await keep(journal, "a", "b", stream_id=name)
            await log.write_record({"state": "ended"}, ended=True)
            journal.release(log)
        assert count_entries(place) == 6
        row = await journal.find_stream("st_2")
        await journal._run_write(partial(journal._store.remove_streams, [row.no]))
        assert count_entries(place) == 4
        assert await bodies_of(journal, "st_1") == await bodies_of(journal, "st_3") == ["a", "b"]
        await journal.forget([await journal.find_stream("st_1")])
        assert count_entries(place) == 2


async def test_streams_of_a_dead_process_are_marked_and_those_of_a_live_one_are_not(
    place: Path | str,
) -> None:
    retention = Retention(orphaned={"state": "failed"})
    async with open_journal(place) as other:
        await keep(other, "a", stream_id="st_alive")
        async with open_journal(place, retention) as journal:
            await journal.clean_up()
            assert (await journal.find_stream("st_alive")).ended_at is None
    async with open_journal(place, retention) as journal:
        await journal.clean_up()
        row = await journal.find_stream("st_alive")
        assert (row.record, row.ended_at is not None) == ('{"state": "failed"}', True)


async def test_a_stream_whose_process_dies_meanwhile_is_over_for_who_waits(tmp_path: Path) -> None:
    retention = Retention(orphaned={"state": "failed", "reason": "host_stopped"})
    async with open_journal(tmp_path) as other, open_journal(tmp_path, retention) as journal:
        await keep(other, "a")
        assert not (await journal.read_page("st_1", 1, **ALL)).ended
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.wait, "st_1", 1)
                await anyio.sleep(0.1)
                release_lock(other)
        assert (await journal.read_page("st_1", 0, **ALL)).ended
        (row,) = await journal.list_streams()
        assert json.loads(row.record) == {"state": "failed", "reason": "host_stopped"}


async def test_a_commit_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await keep(journal, "a")
        db_of(journal).executescript(
            "CREATE TABLE parent(no INTEGER PRIMARY KEY);"
            "CREATE TABLE child(no REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER bad AFTER INSERT ON entries BEGIN INSERT INTO child VALUES (1); END;"
            "PRAGMA foreign_keys=ON"
        )
        log.append("lost", leg=0)
        with pytest.raises(JournalError, match="FOREIGN KEY"):
            await log.flush()
        db_of(journal).execute("DROP TRIGGER bad")
        await keep(journal, "b", stream_id="st_2")
        assert await bodies_of(journal, "st_2") == ["b"]
        assert await bodies_of(journal) == ["a"]


async def test_what_is_too_old_or_too_much_goes_oldest_first(place: Path | str) -> None:
    async with open_journal(place, Retention(max_bytes=300)) as journal:
        for n in range(3):
            log = await keep(journal, "x" * 100, stream_id=f"st_{n}")
            await log.write_record({}, ended=True)
            journal.release(log)
        await keep(journal, "x" * 100, stream_id="st_live")
        await journal.clean_up()
        assert [row.id for row in await journal.list_streams()] == ["st_2", "st_live"]
    async with open_journal(place, Retention(max_age_seconds=0)) as journal:
        await journal.clean_up()
        assert [row.id for row in await journal.list_streams()] == ["st_live"]


def set_ends(place: Path | str, seconds: float) -> None:
    """Let all streams have ended then."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place / FILE_NAME)) as db:
            db.execute("UPDATE streams SET ended_at = ?", (seconds,))
            db.commit()
            return
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(place) as db:
        db.execute("SELECT set_config('ih.tenant', '=', true)")
        assert db.execute("UPDATE streams SET ended_at = %s", (seconds,)).rowcount


@pytest.mark.parametrize(("ended_at", "is_kept"), [(60.0, True), (1_767_225_600.0, False)])
async def test_what_ended_while_the_clock_was_wrong_is_not_too_old(
    place: Path | str, ended_at: float, *, is_kept: bool
) -> None:
    async with open_journal(place, Retention(max_age_seconds=60)) as journal:
        log = await keep(journal, "x" * 100)
        await log.write_record({}, ended=True)
        journal.release(log)
        set_ends(place, ended_at)
        await journal.clean_up()
        assert [row.id for row in await journal.list_streams()] == ["st_1"] * is_kept
    async with open_journal(place, Retention(max_bytes=1)) as journal:
        await journal.clean_up()
        assert await journal.list_streams() == []


async def test_how_old_a_stream_is_goes_by_the_clock_that_noted_its_end(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of this machine, a replica, may be months ahead."""
    async with open_journal(database, Retention(max_age_seconds=86_400)) as journal:
        log = await keep(journal, "x")
        await log.write_record({}, ended=True)
        journal.release(log)
        ahead = time.time() + 100 * 86_400
        monkeypatch.setattr(time, "time", lambda: ahead)
        await journal.clean_up()
        assert [row.id for row in await journal.list_streams()] == ["st_1"]


async def test_a_cursor_that_fell_off_names_the_oldest_one_left(place: Path | str) -> None:
    async with open_journal(place, Retention(max_stream_bytes=1000)) as journal:
        log = await journal.begin("st_1", {})
        for n in range(20):
            log.append(f"{n:0100}", leg=0)
            await log.flush()
        await journal.commit()
        with pytest.raises(ExpiredCursorError) as expired:
            await journal.read_page("st_1", 0, **ALL)
        oldest = expired.value.facts["oldest_cursor"]
        assert isinstance(oldest, int)
        assert str(oldest) in expired.value.help
        page = await journal.read_page("st_1", oldest, **ALL)
        assert [e.body for e in page.entries] == [f"{n:0100}" for n in range(oldest, 20)]
        row = await journal.find_stream("st_1")
        assert row.size == 100 * len(page.entries)


_KILLED = """
import sys, anyio
from pathlib import Path
from ih_mcp.journal import open_journal
async def main():
    async with open_journal(Path(sys.argv[1])) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        n = 0
        while True:
            n += 1
            log.append(f"message {n}", leg=0)
            if n % 7 == 0:
                await log.flush()
                print(log.last, flush=True)
anyio.run(main)
"""


@pytest.mark.parametrize("lines", [1, 40, 200])
def test_what_was_shown_survives_a_killed_process(tmp_path: Path, lines: int) -> None:
    with subprocess.Popen(
        [*forked_python(), "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        shown = 0
        for _ in range(lines):
            shown = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.stdout.read()

    async def read() -> tuple[Entry, ...]:
        async with open_journal(tmp_path) as journal:
            await journal.clean_up()
            assert (await journal.find_stream("st_1")).ended_at is not None
            return (await journal.read_page("st_1", 0, limit=10**6, max_chars=10**9)).entries

    kept = anyio.run(read)
    assert len(kept) >= shown
    assert [(e.cursor, e.body) for e in kept] == [
        (n, f"message {n}") for n in range(1, len(kept) + 1)
    ]


async def test_a_mistake_while_writing_lets_nobody_wait_for_ever(place: Path | str) -> None:
    async with open_journal(place) as journal:
        log = await journal.begin("st_1", {})
        log.append("\ud800", leg=0)  # no text frame can hold this
        with anyio.fail_after(5), pytest.raises(JournalError, match="cannot write"):
            await log.flush()
        other = await keep(journal, "fine", stream_id="st_2")
        assert other.last == 1


async def test_a_message_that_cannot_be_kept_harms_no_other_stream(place: Path | str) -> None:
    async with open_journal(place) as journal:
        bad, good = await journal.begin("st_bad", {}), await journal.begin("st_good", {})
        bad.append("\ud800", leg=0)
        good.append("fine", leg=0)  # waits for the same commit
        await good.flush()
        with pytest.raises(JournalError):
            await bad.flush()
        assert await bodies_of(journal, "st_good") == ["fine"]
        with pytest.raises(JournalError):  # a reader is told too, and does not wait for ever
            await journal.read_page("st_bad", 0, **ALL)


async def test_soon_after_a_commit_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = anyio.Event()
    monkeypatch.setattr("ih_mcp.journal.journal.SYNC_SECONDS", 0.01)
    async with open_journal(tmp_path) as journal:
        real = journal._store.sync

        def sync() -> None:
            real()
            anyio.from_thread.run_sync(synced.set)

        monkeypatch.setattr(journal._store, "sync", sync)
        await keep(journal, "a")
        with anyio.fail_after(5):
            await synced.wait()


def test_the_sync_leaves_room_in_the_promised_second() -> None:
    assert SYNC_SECONDS <= 0.5


async def test_a_strict_journal_syncs_each_commit(tmp_path: Path) -> None:
    for strict, level in ((False, 1), (True, 2)):
        async with open_journal(tmp_path, Retention(strict=strict)) as journal:
            await keep(journal, "a", stream_id=f"st_{strict}")
            assert db_of(journal).execute("PRAGMA synchronous").fetchone() == (level,)


@pytest.mark.parametrize("strict", [False, True])
async def test_a_journal_is_synced_now_and_then_unless_each_commit_is(
    strict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[Journal]()

    async def sync_forever(journal: Journal) -> None:
        begun.append(journal)
        await anyio.sleep_forever()

    monkeypatch.setattr(Journal, "sync_forever", sync_forever)
    async with open_journal(tmp_path, Retention(strict=strict)) as journal:
        await anyio.wait_all_tasks_blocked()
        assert begun == ([] if strict else [journal])


async def test_a_file_that_was_taken_away_fails_the_streams_that_write_it(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await keep(journal, "a")
        (tmp_path / FILE_NAME).rename(tmp_path / "elsewhere.db")
        await journal.sync()
        with pytest.raises(JournalError, match="cannot write"):
            log.append("b", leg=0)
        (tmp_path / FILE_NAME).write_bytes(b"")  # another file of that name is not it
        await journal.sync()
        assert log.failure


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
async def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(JournalError, match="is a link; name the folder itself"):
        async with open_journal(tmp_path / "link"):
            raise AssertionError
    assert not list((tmp_path / "real").iterdir())


def edit(folder: Path, statement: str, *values: object) -> None:
    """Change the file behind the journal's back, as damage would."""
    with sqlite3.connect(folder / FILE_NAME) as other:
        other.execute(statement, values)
    other.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET body='B' WHERE body='b'",
        "UPDATE entries SET body=7 WHERE body='b'",
        "UPDATE entries SET leg='x' WHERE body='b'",
        "UPDATE entries SET place=place+100 WHERE body='b'",
        "DELETE FROM entries WHERE body='b'",
    ],
)
async def test_damage_is_told_and_never_read_as_if_it_were_whole(
    tmp_path: Path, damage: str
) -> None:
    async with open_journal(tmp_path) as journal:
        log = await keep(journal, "a", "b", "c")
        edit(tmp_path, damage)
        assert await bodies_of(journal) == ["a", "b", "c"]  # as they were committed, from memory
        await log.write_record({"state": "ended"}, ended=True)
        assert await bodies_of(journal) == ["a"]
        journal.release(log)
        assert await bodies_of(journal) == ["a"]  # what is before it
        with pytest.raises(JournalError, match="message 2 of st_1") as damaged:
            await journal.read_page("st_1", 1, **ALL)
        assert damaged.value.code == "journal_damaged"
        assert "poll_events(cursor=2)" in damaged.value.help
        assert (await bodies_of(journal, after=2))[0] == "c"  # and what is behind it


@pytest.mark.parametrize("record", ["{", "[1]", None])
async def test_a_damaged_record_says_so(tmp_path: Path, record: str | None) -> None:
    async with open_journal(tmp_path) as journal:
        await keep(journal, "a")
        edit(tmp_path, "UPDATE streams SET record=?", record or b"\xff")
        row = await journal.find_stream("st_1")
        assert row.record == '{"state": "failed", "reason": "journal_damaged"}'
        await journal.clean_up()


def test_checksums_are_those_of_the_files_that_exist() -> None:
    """Another sum would have every journal of an earlier version read as damaged."""
    place = 1 << 32 | 7
    rows: list[EntryRow] = [
        (place, 0, 0, "a"),
        (place + 1, 0, 0, "a"),
        (place + (1 << 32), 0, 0, "a"),  # of another stream
        (place, 0, 0, b"a"),
        (place, 0, 0, ""),
    ]
    assert list(compute_checksums(rows)) == [
        3_391_856_515,
        1_519_682_066,
        3_579_004_263,
        3_889_598_449,
        2_654_435_766,
    ]


async def test_a_stream_whose_row_is_no_row_any_more_is_unknown(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await keep(journal, "a")
        edit(tmp_path, "UPDATE streams SET last='many'")
        with pytest.raises(UnknownStreamError):
            await journal.find_stream("st_1")


async def test_a_file_that_is_no_journal_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(JournalError, match="not a database") as failed:
        async with open_journal(tmp_path):
            raise AssertionError
    assert f"Move {FILE_NAME} and the files beside it away" in failed.value.help


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that is made from now on."""
    made: list[sqlite3.Connection] = []
    real = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        made.append(real(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    return made


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


async def test_a_file_that_cannot_be_used_is_let_go_at_once(
    tmp_path: Path, connections: list[sqlite3.Connection]
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    with pytest.raises(JournalError):
        async with open_journal(tmp_path):
            raise AssertionError
    assert [is_closed(connection) for connection in connections] == [True]


async def test_a_lock_that_cannot_be_taken_leaves_nothing_open_and_no_file(
    tmp_path: Path, connections: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("locking protocol")  # as where a folder knows no locks

    monkeypatch.setattr("ih_mcp.journal.owners._hold_lock", refuse)
    with pytest.raises(JournalError, match="cannot open: locking protocol") as failed:
        async with open_journal(tmp_path):
            raise AssertionError
    assert "IH_MCP_DATA_DIR" in failed.value.help
    assert [is_closed(connection) for connection in connections] == [True] * 3
    assert not list((tmp_path / "owners").iterdir())


async def test_a_journal_of_the_first_version_is_read_and_written(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await keep(journal, "a")
    edit(tmp_path, "ALTER TABLE entries DROP COLUMN checksum")
    edit(tmp_path, "PRAGMA user_version=1")
    async with open_journal(tmp_path) as journal:
        assert await bodies_of(journal) == ["a"]
        await keep(journal, "b", stream_id="st_2")
        assert await bodies_of(journal, "st_2") == ["b"]


async def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    async with open_journal(tmp_path):
        pass
    edit(tmp_path, "PRAGMA user_version=99")
    with pytest.raises(JournalError, match="written by another version") as failed:
        async with open_journal(tmp_path):
            raise AssertionError
    assert "IH_MCP_DATA_DIR" in failed.value.help


async def test_a_stream_that_nobody_left_behind_cannot_be_adopted(place: Path | str) -> None:
    async with open_journal(place) as journal:
        with pytest.raises(UnknownStreamError):
            await journal.adopt("st_unknown")


async def test_a_trim_that_the_disk_does_not_take_fails_that_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_no: int, _below: int) -> int:
        raise JournalError("the journal cannot write: disk I/O error")

    async with open_journal(tmp_path, Retention(max_stream_bytes=10)) as journal:
        monkeypatch.setattr(journal._store, "trim_stream", refuse)
        log = await keep(journal, "x" * 20)
        await journal.commit()
        with anyio.fail_after(5):
            while not log.failure:
                await log.wait_for_commit()
        assert await bodies_of(journal) == ["x" * 20]


async def test_a_stream_whose_end_the_disk_did_not_take_is_over_all_the_same(
    place: Path | str,
) -> None:
    async with open_journal(place) as journal:
        log = await keep(journal, "a")
        log.fail(JournalError("the journal cannot write: disk full"))
        journal.release(log)
        page = await journal.read_page("st_1", 0, **ALL)
        assert ([entry.body for entry in page.entries], page.ended) == (["a"], True)
        row = await journal.find_stream("st_1")
        assert '"reason": "journal_failed"' in row.record
        (listed,) = await journal.list_streams()
        assert replace(listed, ended_at=row.ended_at) == row
        with anyio.fail_after(5):
            await journal.wait("st_1", 1)


async def test_a_schema_that_is_torn_is_one_of_our_errors(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await keep(journal, "a")
    data = (tmp_path / FILE_NAME).read_bytes()
    assert data.count(b"CREATE TABLE entries(") == 1
    torn = data.replace(b"CREATE TABLE entries(", b"CREATE TABLE \xe5ntries(")
    (tmp_path / FILE_NAME).write_bytes(torn)
    with pytest.raises(JournalError, match="cannot open") as failed:
        async with open_journal(tmp_path):
            raise AssertionError
    assert "Move journal.db" in failed.value.help


async def test_a_folder_of_locks_that_takes_none_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "owners").write_text("")
    with pytest.raises(JournalError, match="cannot open") as failed:
        async with open_journal(tmp_path):
            raise AssertionError
    assert "IH_MCP_DATA_DIR" in failed.value.help


async def test_a_stream_that_was_left_behind_goes_on_with_its_numbers(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await keep(journal, "a")
    async with open_journal(place) as journal:
        log = await journal.adopt("st_1")
        assert log.append("b", leg=0) == 2
        await log.flush()
        assert await bodies_of(journal) == ["a", "b"]


def test_a_failed_log_takes_nothing_more(place: Path | str) -> None:
    async def fail() -> None:
        async with open_journal(place) as journal:
            log = await keep(journal, "a")
            log.fail(JournalError("the journal cannot write"))
            with pytest.raises(JournalError):
                log.append("b", leg=0)

    anyio.run(fail)


async def test_what_came_while_a_commit_failed_is_not_kept_behind_a_hole(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(place) as journal:
        log = await keep(journal, "a")
        append, fails = journal._append, [True, True]  # all at once, then each on its own

        async def fail_at_first(batches: list[Batch]) -> None:
            if fails:
                fails.pop()
                log.append("meanwhile", leg=0)
                raise JournalError("the journal cannot write: disk full")
            await append(batches)

        monkeypatch.setattr(journal, "_append", fail_at_first)
        log.append("b", leg=0)
        with pytest.raises(JournalError):
            await log.flush()
        with anyio.move_on_after(0.3):  # there is room again, and the writer has its turn
            await log.wait_for_commit()
        assert log.last == 1
        assert await bodies_of(journal) == ["a"]


# --- what is counted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "size"),
    [("", 0), ("a", 1), ("\x00abc", 4), ("\u00e9", 2), ("\U0001f642", 4), (b"\x00\xff", 2)],
)
async def test_a_message_counts_with_its_bytes_and_its_row(
    body: str | bytes, size: int, place: Path | str
) -> None:
    async with open_journal(place, Retention(max_stream_bytes=100 * (size + 32))) as journal:
        log = await keep(journal, *[body] * 100)
        await journal.commit()
        row = await journal.find_stream("st_1")
        assert (row.size, row.disk_bytes) == (100 * size, 100 * (size + 32))
        assert (log.oldest, log.disk_bytes) == (1, row.disk_bytes)
        log.append(body, leg=0)
        await log.flush()
        await journal.commit()
        row = await journal.find_stream("st_1")
        assert (row.oldest, log.oldest) == (26, 26)
        assert row.size == log.size == 76 * size


async def test_one_large_commit_is_trimmed_to_the_bound_at_once(place: Path | str) -> None:
    async with open_journal(place, Retention(max_stream_bytes=2_000)) as journal:
        log = await keep(journal, *[f"{n:0100}" for n in range(1_000)])
        await journal.commit()
        assert log.disk_bytes <= 2_000
        assert (await bodies_of(journal, after=log.oldest - 1))[-1] == f"{999:0100}"


async def test_a_stream_of_an_earlier_version_is_counted_by_its_rows_and_goes_on(
    tmp_path: Path,
) -> None:
    """Its size was noted in characters, without rows."""
    async with open_journal(tmp_path) as journal:
        await keep(journal, *["\u00e9"] * 100)
    edit(tmp_path, "UPDATE streams SET size=100")
    async with open_journal(tmp_path, Retention(max_stream_bytes=1_000)) as journal:
        assert (await journal.find_stream("st_1")).disk_bytes == 100 + 100 * 32
        log = await journal.adopt("st_1")
        log.append("a", leg=0)
        await log.flush()
        await journal.commit()
        row = await journal.find_stream("st_1")
        assert row.disk_bytes == log.disk_bytes <= 1_000
        assert row.size >= 0
        assert (await bodies_of(journal, after=row.oldest - 1))[-1] == "a"
    async with open_journal(tmp_path) as journal:
        assert (await journal.adopt("st_1")).oldest == row.oldest


# --- the writer, when it is disturbed ------------------------------------------------------------


async def test_what_was_taken_is_written_though_the_journal_is_cancelled(place: Path | str) -> None:
    """The writer cannot be cancelled, so what it waits for here is let go whatever happens."""
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            cancelled = anyio.Event()

            async def hold(journal: Journal) -> None:
                try:
                    await cancelled.wait()
                    await wait_all_blocked()  # whoever ends at once has ended
                finally:
                    journal._writing.release_on_behalf_of(tasks)

            with anyio.CancelScope() as scope:
                async with open_journal(place) as journal:
                    log = await journal.begin("st_1", {})
                    await journal._writing.acquire_on_behalf_of(tasks)
                    tasks.start_soon(hold, journal)
                    try:
                        log.append("a", leg=0)
                        while not journal._writing.statistics().tasks_waiting:  # the writer
                            await anyio.lowlevel.checkpoint()
                        assert not log._pending  # it has taken what was appended
                    finally:
                        scope.cancel()
                        cancelled.set()
                    await anyio.sleep_forever()
    async with open_journal(place) as journal:
        assert await bodies_of(journal) == ["a"]


async def test_a_commit_during_a_sync_is_synced_soon_and_an_idle_journal_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.journal.journal.SYNC_SECONDS", 0.01)
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def sync() -> None:
        begun.release()
        assert may_end.acquire(timeout=10)

    async def has_begun() -> bool:
        return await to_thread.run_sync(partial(begun.acquire, timeout=5))

    async with open_journal(tmp_path) as journal:
        monkeypatch.setattr(journal._store, "sync", sync)
        log = await keep(journal, "a")
        assert await has_begun()
        log.append("b", leg=0)
        await log.flush()  # it falls into the running sync
        may_end.release()
        assert await has_begun()
        is_idle = anyio.Event()

        class Watched(Notifier):
            async def wait(self) -> None:
                is_idle.set()
                await super().wait()

        monkeypatch.setattr(journal, "_committed", Watched())
        may_end.release()
        with anyio.fail_after(5):
            await is_idle.wait()
        assert not begun.acquire(blocking=False)


async def test_a_journal_closes_after_the_reads_that_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite ends the process where a connection is closed while another thread uses it."""
    reads, closes, order = threading.Event(), threading.Event(), list[str]()
    find, close = Store.find_stream, Store.close

    def slow_find(store: Store, *values: Any) -> Any:
        reads.set()
        closes.wait(0.3)  # a close that does not wait would come now
        order.append("read")
        return find(store, *values)

    def noted_close(store: Store) -> None:
        order.append("closed")
        closes.set()
        close(store)

    monkeypatch.setattr(Store, "find_stream", slow_find)
    monkeypatch.setattr(Store, "close", noted_close)
    async with anyio.create_task_group() as readers, open_journal(tmp_path) as journal:
        await journal.begin("st_1", {})
        readers.start_soon(journal.find_stream, "st_1")
        await to_thread.run_sync(reads.wait, 5)
    assert order[0] == "read"
    assert "closed" in order


async def test_streams_are_counted_and_listed_by_how_their_ids_begin(place: Path | str) -> None:
    async with open_journal(place) as journal:
        for stream_id in ("st_1", "st_z", "an_1", "sta", "ST_9"):
            await keep(journal, "a", stream_id=stream_id)
        prefixes = ("st_", "an_", "", "x")
        counts = [await journal.count_streams(prefix) for prefix in prefixes]
        lists = [
            [row.id for row in await journal.list_streams(prefix, newest=3)] for prefix in prefixes
        ]
    assert counts == [2, 1, 5, 0]
    assert lists == [["st_1", "st_z"], ["an_1"], ["an_1", "sta", "ST_9"], []]


async def test_streams_are_forgotten_together_or_not_at_all(place: Path | str) -> None:
    async with open_journal(place) as journal:
        for stream_id in ("st_1", "st_2"):
            log = await keep(journal, "a", stream_id=stream_id)
            await log.write_record({"state": "ended"}, ended=True)
            journal.release(log)
        first, second = await journal.list_streams()
        with pytest.raises(CallerError, match="st_2 goes on in another process") as refused:
            await journal.forget([first, replace(second, owner="another")])
        assert refused.value.code == "stream_live"
        assert await bodies_of(journal) == await bodies_of(journal, "st_2") == ["a"]
        await journal.forget([first])
        with pytest.raises(UnknownStreamError):
            await bodies_of(journal)
        assert await bodies_of(journal, "st_2") == ["a"]


async def test_dead_streams_that_could_not_be_ended_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries, is_done = list[int](), anyio.Event()

    async def clean_up() -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise JournalError("the disk is full")
        is_done.set()

    async with open_journal(tmp_path) as journal, anyio.create_task_group() as tasks:
        log = await keep(journal, "a")
        monkeypatch.setattr(journal, "clean_up", clean_up)
        tasks.start_soon(journal.watch_deaths, anyio.lowlevel.checkpoint)
        await is_done.wait()
        tasks.cancel_scope.cancel()
    assert "the streams of a dead process are not ended yet: the disk is full" in caplog.text
    assert log.failure is None  # it is of this process, which lives


async def test_who_measures_is_told_of_messages_and_of_how_soon_they_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = list[tuple[str, float]]()
    monkeypatch.setattr(observer, "is_observed", lambda: True)
    monkeypatch.setattr(observer, "note", lambda name, value: noted.append((name, value)))
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        for body in ("\u00e9", "b"):
            log.append(body, leg=0)
        assert log.waiting_bytes == 3
        await log.flush()
        assert log.waiting_bytes == 0
    assert [value for name, value in noted if name == "ih_messages_total"] == [2]
    waited = [value for name, value in noted if name == "ih_visible_seconds"]
    assert len(waited) == 2
    assert all(0 <= seconds < 60 for seconds in waited)


async def test_a_database_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("ih_mcp.journal.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="in PostgreSQL needs psycopg") as refused:
        async with open_journal("postgresql://h/x"):
            raise AssertionError
    assert "pip install 'ih-mcp[team]'" in refused.value.help
