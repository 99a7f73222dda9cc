"""C5: a disk that is full, fails or is taken away: nothing more is acknowledged, all is told."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import JournalError
from ih_mcp.journal import FILE_NAME, StreamLog, open_journal
from ih_mcp.journal.store import Batch, Store
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.forked import forked_python
from tests.road.host import Answer, Host, environment, open_host
from tests.sqlite_journal import db_of

from .budget import report
from .checker import History, Poll, Session, check, read_kept

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and limits")


async def append_until_it_fails(log: StreamLog) -> list[str]:
    """What was acknowledged before the journal failed."""
    acknowledged: list[str] = []
    with anyio.fail_after(20):
        while not log.failure:
            body = f"{len(acknowledged)} " + "x" * 500
            try:
                log.append(body, leg=0)
                await log.flush()
            except JournalError:
                break
            acknowledged.append(body)
    assert log.failure
    return acknowledged


async def is_safe(folder: Path, acknowledged: list[str]) -> None:
    async with open_journal(folder) as journal:
        kept = await read_kept(journal, "st_1")
    history = History(
        sessions=[Session(sent=acknowledged)], kept=kept, acknowledged=len(acknowledged)
    )
    assert check(history) == []


async def test_c5_a_full_disk_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    """SQLite's own "disk full": the file may not grow any more."""
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        (pages,) = db_of(journal).execute("PRAGMA page_count").fetchone()
        db_of(journal).execute(f"PRAGMA max_page_count={pages + 20}")
        acknowledged = await append_until_it_fails(log)
        assert acknowledged
        assert "disk is full" in str(log.failure)
        with pytest.raises(JournalError):
            await journal.begin("st_2", {"r": "x" * 10_000})
        with pytest.raises(JournalError):  # what is there can be read; what follows is told
            await journal.read_page("st_1", len(acknowledged), limit=1, max_chars=1)
        page = await journal.read_page("st_1", 0, limit=10**6, max_chars=10**9)
        assert len(page.entries) == len(acknowledged)
    await is_safe(tmp_path, acknowledged)
    report("C5", "test_disk.py", f"full: {len(acknowledged)} acknowledged, 0 lost")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 1 MiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if not made or made.returncode:
        pytest.skip("mounting a small file system needs a privilege")
    assert umount
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)


async def test_c5_a_small_file_system_keeps_all_that_was_acknowledged(
    small_disk: Path, tmp_path: Path
) -> None:
    folder = small_disk / "journal"
    async with open_journal(folder) as journal:
        log = await journal.begin("st_1", {})
        acknowledged = await append_until_it_fails(log)
        assert acknowledged
        with pytest.raises(JournalError, match="cannot open: database or disk is full") as full:
            async with open_journal(folder):
                raise AssertionError
        assert "Free disk space" in full.value.help
    shutil.copytree(folder, tmp_path / "rescued")
    await is_safe(tmp_path / "rescued", acknowledged)
    report("C5", "test_disk.py", f"ENOSPC: {len(acknowledged)} acknowledged, 0 lost")


FAULTS: dict[str, Exception] = {
    "EIO": sqlite3.OperationalError("disk I/O error"),
    "EDQUOT": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "ENOSPC": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "a mistake of ours": KeyError("x"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_c5_a_fault_of_one_write_ends_that_stream_only(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(tmp_path) as journal:
        bad, good = await journal.begin("st_1", {}), await journal.begin("st_2", {})
        bad.append("safe", leg=0)
        await bad.flush()
        real = Store.append

        def append(store: Store, batches: list[Batch]) -> None:
            if any(batch.no == bad.no for batch in batches):
                with store._translating_errors("write"):
                    raise FAULTS[fault]
            real(store, batches)

        monkeypatch.setattr(Store, "append", append)
        bad.append("lost", leg=0)
        good.append("kept", leg=0)
        await good.flush()
        with pytest.raises(JournalError, match="cannot write"):
            await bad.flush()
        assert bad.last == 1
    await is_safe(tmp_path, ["safe"])


async def test_c5_an_end_that_the_disk_does_not_take_is_an_end(tmp_path: Path) -> None:
    """All messages are kept and only the last record is not: the stream is over all the same."""
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        log.append("a", leg=0)
        db_of(journal).execute(
            "CREATE TRIGGER full BEFORE UPDATE ON streams WHEN NEW.ended_at IS NOT NULL "
            "BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
        with pytest.raises(JournalError, match="cannot write: disk is full"):
            await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)
        row = await journal.find_stream("st_1")
        page = await journal.read_page("st_1", 0, limit=10, max_chars=100)
        with anyio.fail_after(5):
            await journal.wait("st_1", 1)
    assert json.loads(row.record)["reason"] == "journal_failed"
    assert json.loads(row.record)["state"] == "failed"
    assert [entry.body for entry in page.entries] == ["a"]
    assert page.ended


async def test_c5_a_sync_that_fails_fails_every_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system took and the disk did not cannot be told apart any more."""
    async with open_journal(tmp_path) as journal:
        logs = [await journal.begin(f"st_{number}", {}) for number in range(3)]

        def refuse(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr("ih_mcp.journal.disk._sync_descriptor", refuse)
        await journal.sync()
        for log in logs:
            with pytest.raises(JournalError, match="Input/output error"):
                log.append("x", leg=0)


async def test_c5_a_torn_end_of_the_log_is_left_out(tmp_path: Path) -> None:
    """A short write: half a commit reached the file."""
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        for body in ("a", "b"):
            log.append(body, leg=0)
            await log.flush()
        wal = (tmp_path / f"{FILE_NAME}-wal").read_bytes()
        torn = tmp_path / "torn"
        torn.mkdir()
        shutil.copy(tmp_path / FILE_NAME, torn)
    (torn / f"{FILE_NAME}-wal").write_bytes(wal[:-100])
    await is_safe(torn, ["a"])


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replace(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"")


@pytest.mark.parametrize("harm", [remove, replace])
async def test_c5_a_folder_that_was_taken_away_is_told_within_a_second(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "journal"
    async with open_journal(folder) as journal:
        log = await journal.begin("st_1", {})
        log.append("a", leg=0)
        await log.flush()
        harm(folder)
        log.append("b", leg=0)
        with anyio.fail_after(10):
            while not log.failure:
                await log.wait_for_commit()
        assert "moved or removed" in str(log.failure) or "No such file" in str(log.failure)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_c5_a_folder_that_is_read_only_is_a_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    async def open_it() -> None:
        with pytest.raises(JournalError, match="cannot open"):
            async with open_journal(tmp_path / "journal"):
                raise AssertionError

    anyio.run(open_it)


# --- the whole server ----------------------------------------------------------------------------


@pytest.fixture
async def talkative(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    """A stand-in whose first session says little, and whose second more than a small disk takes."""
    steps: list[object] = [{"at": "ready", "session": 1, "send": '{"type":"first"}'}]
    steps += [
        {"at": "ready", "session": 2, "send": f'{{"type":"big","n":{n},"r":"{"x" * 5000}"}}'}
        for n in range(600)
    ]
    async with serve(Options(script=Script.parse(steps)), ffmpeg=ffmpeg) as running:
        yield running


LIMITED = """
import resource
import runpy

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 * 2**20, hard))
runpy.run_module("ih_mcp", run_name="__main__", alter_sys=True)
"""
"""The server, of which a write beyond the limit of a file's size fails, as on a full disk."""


async def test_c5_a_server_whose_disk_is_full_says_so_and_what_is_safe(
    talkative: RunningStandin, tmp_path: Path
) -> None:
    env = environment(tmp_path, endpoint=talkative.url)
    async with open_host(env, command=[*forked_python(), "-c", LIMITED]) as host:
        quiet = (await host.call("start_stream")).status["stream_id"]
        before = await host.call("poll_events", stream_id=quiet, wait_s=0)
        loud = (await host.call("start_stream")).status["stream_id"]
        shown, answer = await read_until_it_fails(host, loud)
        assert "journal_failed" in answer.text
        assert "Free disk space" in answer.text or not answer.is_error
        again = await host.call("poll_events", stream_id=quiet, wait_s=0)
        assert again.messages == before.messages
        sessions = list(talkative.recorder.sessions)
        assert (await host.call("check_setup")).blocks  # the server lives on
    async with open_journal(tmp_path) as journal:
        for stream_id, session in zip((quiet, loud), sessions, strict=True):
            kept = await read_kept(journal, stream_id)
            sent = Session.of(session, is_lost=True)
            polls = shown if stream_id == loud else ()
            history = History(sessions=[sent], kept=kept, told={0}, polls=polls)
            assert check(history) == []
    report("C5", "test_disk.py", "the whole server, full: what was shown is kept, told")


async def read_until_it_fails(host: Host, stream_id: str) -> tuple[list[Poll], Answer]:
    shown: list[Poll] = []
    cursor = 0
    while True:
        answer = await host.call("poll_events", stream_id=stream_id, cursor=cursor, limit=200)
        if answer.is_error:
            return shown, answer
        next_cursor = answer.status["next_cursor"]
        shown.append(Poll(cursor=cursor, bodies=answer.messages, next_cursor=next_cursor))
        cursor = next_cursor
        if answer.status["state"] == "failed":  # it was told at once
            return shown, answer


async def test_c5_a_stream_whose_journal_failed_is_over(
    talkative: RunningStandin, tmp_path: Path
) -> None:
    env = environment(tmp_path, endpoint=talkative.url)
    async with open_host(env, command=[*forked_python(), "-c", LIMITED]) as host:
        await host.call("start_stream")
        loud = (await host.call("start_stream")).status["stream_id"]
        await read_until_it_fails(host, loud)
        with anyio.fail_after(20):
            while (status := await status_of(host, loud))["state"] != "failed":  # noqa: ASYNC110
                await anyio.sleep(0.1)
    assert status["reason"] == "journal_failed"


async def status_of(host: Host, stream_id: str) -> Mapping[str, object]:
    return (await host.call("list_streams", stream_id=stream_id)).status
