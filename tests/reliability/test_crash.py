"""C1, C2, C8, C9: processes that die or freeze at any moment, and what is left of their journal."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.journal import FILE_NAME, Entry, Retention, open_journal
from ih_mcp.journal.store import StreamRow
from ih_mcp.standin.server.serve import RunningStandin
from tests.forked import REAL, forked, forked_python, kill
from tests.road.host import REPOSITORY, Process, environment, open_host

from .budget import dice, often, report
from .checker import History, Poll, Session, check, read_kept
from .writer import message

pytestmark = [
    pytest.mark.timeout(3600 if often(0, nightly=1) else 90),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]


@contextmanager
def writing(folder: Path | str, mode: str) -> Iterator[subprocess.Popen[bytes]]:
    """A writer that is about to open its journal; killed at the end."""
    command = [*forked_python(), "-m", "tests.reliability.writer", str(folder), mode]
    # unbuffered: what stands behind the first line is read from the pipe itself
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, cwd=REPOSITORY) as process:
        assert process.stdout
        assert process.stdout.readline() == b"go\n"
        try:
            yield process
        finally:
            kill(process)


def kill_after(folder: Path | str, mode: str, seconds: float) -> dict[str, list[Poll]]:
    """Let a writer run so long, then SIGKILL; gives what its readers had been shown."""
    shown: dict[str, list[Poll]] = {}
    with writing(folder, mode) as process:
        assert process.stdout
        deadline = time.monotonic() + seconds
        os.set_blocking(process.stdout.fileno(), False)
        raw = b""
        while (left := deadline - time.monotonic()) > 0:  # a full pipe would stop the writer
            time.sleep(min(left, 0.01))
            raw += _available(process.stdout.fileno())
        kill(process)
        process.wait()
        raw += _available(process.stdout.fileno())
    for line in raw.decode().splitlines(keepends=True):
        if line.endswith("\n"):  # the last one may be torn, and was then not shown
            said = json.loads(line)
            after, bodies = said["cursor"], said["bodies"]
            poll = Poll(cursor=after, bodies=bodies, next_cursor=after + len(bodies))
            shown.setdefault(said["stream"], []).append(poll)
    return shown


def _available(descriptor: int) -> bytes:
    data = b""
    try:
        while piece := os.read(descriptor, 2**20):
            data += piece
    except BlockingIOError:
        pass
    return data


async def left(folder: Path) -> list[tuple[StreamRow, tuple[Entry, ...]]]:
    """What a next process finds."""
    with anyio.fail_after(10):
        async with open_journal(folder, Retention(orphaned={"reason": "host_stopped"})) as journal:
            await journal.clean_up()
            found = []
            for row in await journal.list_streams():
                page = await journal.read_page(
                    row.id, row.oldest - 1, limit=10**9, max_chars=10**12
                )
                found.append((row, page.entries))
            return found


def examine(folder: Path, shown: dict[str, list[Poll]]) -> int:
    """Hold what is left against what was written and shown; gives how much was acknowledged."""
    found = anyio.run(left, folder)
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert shown.keys() <= {row.id for row, _ in found}
    for row, kept in found:
        assert row.ended_at is not None  # nobody goes on with it by himself
        assert row.last - row.oldest + 1 == len(kept)
        sent = [message(row.id, number) for number in range(1, row.last + 1)]
        history = History(
            sessions=[Session(sent=sent, is_lost=True)],
            kept=kept,
            polls=shown.get(row.id, []),
            told={0},
            oldest=row.oldest,
        )
        assert check(history) == []
    return sum(max((poll.next_cursor for poll in polls), default=0) for polls in shown.values())


@pytest.mark.parametrize("row", ["C1"])
def test_a_killed_process_loses_nothing_it_had_shown(row: str, tmp_path: Path) -> None:
    kills, acknowledged = often(5, nightly=200), 0
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        shown = kill_after(folder, "steady", dice(row, number).uniform(0.0, 0.5))
        acknowledged += examine(folder, shown)
    assert acknowledged
    report(row, "test_crash.py", f"{kills} kills, {acknowledged} acknowledged, 0 lost")


MOMENTS = {
    "rotation": ("rotation", 0.5),
    "compaction": ("compaction", 0.5),
    "index write": ("index write", 0.4),
    "first start": ("steady", 0.02),
    "strict": ("strict", 0.3),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_c2_a_process_killed_at_its_housekeeping_loses_nothing(moment: str, tmp_path: Path) -> None:
    mode, seconds = MOMENTS[moment]
    kills = often(2, nightly=20)
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        examine(folder, kill_after(folder, mode, dice("C2", moment, number).uniform(0, seconds)))
    report("C2", "test_crash.py", f"{moment}: {kills} kills, 0 lost")


def test_c2_a_process_killed_while_it_recovers_loses_nothing_of_the_first(tmp_path: Path) -> None:
    kills = often(2, nightly=20)
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = dice("C2", "recovery", number)
        shown = kill_after(folder, "steady", rng.uniform(0.05, 0.3))
        shown |= kill_after(folder, "steady", rng.uniform(0.0, 0.02))
        examine(folder, shown)
    report("C2", "test_crash.py", f"second start: {kills} kills, 0 lost")


@pytest.mark.parametrize("row", ["C1"])
async def test_a_killed_server_loses_nothing_it_had_answered(
    row: str, flooding: RunningStandin, tmp_path: Path
) -> None:
    """The same over the whole road: the real server, its real stdio, a stand-in that floods."""
    kills = often(2, nightly=20)
    for number in range(kills):
        env = environment(tmp_path / str(number), endpoint=flooding.url)
        polls = dice(row, "server", number).randrange(1, 6)
        stream_id, shown = await to_thread.run_sync(_poll_and_kill, env, polls)
        async with open_host(env) as host:
            answer = await host.call("list_streams", stream_id=stream_id)
            assert answer.status["reason"] == "host_stopped"
            again, last = await host.read_all(stream_id, wait_s=0, limit=200)
        assert last.status["state"] == "failed"
        async with open_journal(tmp_path / str(number)) as journal:
            kept = await read_kept(journal, stream_id)
        assert [entry.body for entry in kept] == again
        session = Session.of(flooding.recorder.sessions[-1], is_lost=True)
        assert check(History(sessions=[session], kept=kept, polls=shown, told={0})) == []
    report(row, "test_crash.py", f"{kills} kills of the whole server, 0 lost")


def _poll_and_kill(env: dict[str, str], polls: int) -> tuple[str, list[Poll]]:
    server = Process(env, often(forked(), nightly=REAL))
    try:
        stream_id = server.call("start_stream").status["stream_id"]
        shown: list[Poll] = []
        cursor = 0
        for _ in range(polls):
            answer = server.call("poll_events", stream_id=stream_id, cursor=cursor)
            next_cursor = answer.status["next_cursor"]
            poll = Poll(cursor=cursor, bodies=answer.messages, next_cursor=next_cursor)
            shown.append(poll)
            cursor = next_cursor
        server.kill()
    finally:
        server.close()
    return stream_id, shown


def test_c8_two_processes_on_one_folder_never_mix_their_streams(tmp_path: Path) -> None:
    with writing(tmp_path, "steady") as one, writing(tmp_path, "steady") as two:
        time.sleep(1.0)
        assert (one.poll(), two.poll()) == (None, None)
        for process in (one, two):
            kill(process)
            process.wait()
    found = anyio.run(left, tmp_path)
    assert len(found) == 4
    assert len({row.owner for row, _ in found}) == 2
    assert all(row.last for row, _ in found)
    examine(tmp_path, {})
    report("C8", "test_crash.py", "2 processes, 4 streams, none mixed")


async def test_c9_a_clock_that_jumps_changes_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [message("st_1", number) for number in range(1, 30)]
    before = time.time_ns() - 3600 * 10**9
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {})
        for number, body in enumerate(sent):
            if number == 10:  # NTP sets it back by an hour
                monkeypatch.setattr(time, "time_ns", lambda: before)
                monkeypatch.setattr(time, "time", lambda: before / 1e9)
            log.append(body, leg=0)
            await log.flush()
        await log.write_record({"state": "ended"}, ended=True)
        await journal.clean_up()  # the stream "ended before it began" and is kept all the same
        kept = await read_kept(journal, "st_1")
    assert check(History(sessions=[Session(sent=sent)], kept=kept)) == []
    assert kept[10].received_at < kept[9].received_at
    report("C9", "test_crash.py", "an hour back: order and cursors unaffected")


async def test_c9_a_suspended_server_goes_on_where_it_was(
    flooding: RunningStandin, tmp_path: Path
) -> None:
    env = environment(tmp_path, endpoint=flooding.url)
    messages = await to_thread.run_sync(_suspend, env, 301)
    (session,) = flooding.recorder.sessions
    assert messages == session.texts


def _suspend(env: dict[str, str], count: int) -> list[str]:
    server = Process(env)
    try:
        stream_id = server.call("start_stream").status["stream_id"]
        messages = server.call("poll_events", stream_id=stream_id, cursor=0).messages
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGCONT)
        while len(messages) < count:
            answer = server.call(
                "poll_events", stream_id=stream_id, cursor=len(messages), limit=200
            )
            assert answer.messages, answer.text
            messages += answer.messages
    finally:
        server.close()
    return messages
