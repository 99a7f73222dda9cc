"""However a host leaves: streams end in order, ffmpeg is gone, the process too, in time.

Hosts kill a server 2 s after they closed its input.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.journal import open_journal
from tests.fair_clock import seconds_until_exit
from tests.forked import REAL, forked
from tests.reliability.budget import often

from .conftest import StartStandin
from .host import Process, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and pipes")
BOUND_SECONDS = 1.5


def close_stdin(server: Process) -> None:
    assert server.process.stdin
    server.process.stdin.close()


def close_stdout(server: Process) -> None:
    assert server.process.stdout
    server.process.stdout.close()


ENDS: dict[str, Callable[[Process], None]] = {
    "eof": close_stdin,
    "sigterm": lambda server: os.kill(server.pid, signal.SIGTERM),
    "sigint": lambda server: os.kill(server.pid, signal.SIGINT),
    "closed stdout": close_stdout,
}


def children(pid: int) -> set[int]:
    """Processes started by `pid`, and theirs."""
    listed = subprocess.run(
        ["/bin/ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = {int(a): int(b) for a, b in (line.split() for line in listed.stdout.splitlines())}
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or " Z " not in Path(
        f"/proc/{pid}/stat"
    ).read_text(encoding="utf-8")


def leave_midway(
    env: dict[str, str],
    clip: Path,
    leave: Callable[[Process], None],
    command: Sequence[str] = (),
) -> float:
    """Start a file and a live stream, then leave; gives how long the process took to go."""
    server = Process(env, command)
    try:
        server.call("start_stream")
        started = server.call("stream_file", path=str(clip), pace="realtime")
        server.call("poll_events", stream_id=started.status["stream_id"])
        ffmpegs = children(server.pid)
        assert ffmpegs  # the file is being cut
        took = seconds_until_exit(server.process, lambda: leave(server))
        assert server.process.wait() in {0, 128 + signal.SIGTERM, 128 + signal.SIGINT}
        assert not [pid for pid in ffmpegs if is_alive(pid)]
    finally:
        server.close()
    return took


Leave = Callable[[dict[str, str]], Awaitable[float]]


async def from_a_service(standin: StartStandin, folder: Path, leave: Leave) -> float:
    """Both streams are ended in order, and that is kept."""
    async with standin() as running:
        took = await leave({"IH_MCP_ENDPOINT": running.url})
        with anyio.fail_after(5):
            for session in running.recorder.sessions:
                await session.over.wait()
        ends = [(session.end, session.close_code) for session in running.recorder.sessions]
    assert ends == [("session.ended", 1000)] * 2
    async with open_journal(folder) as journal:
        rows = await journal.list_streams()
        assert all(row.ended_at is not None for row in rows)
        assert len(rows) == 2
        for row in rows:
            page = await journal.read_page(row.id, 0, limit=1000, max_chars=10**9)
            assert "session.ended" in str(page.entries[-1].body)
    return took


async def from_the_embedded_stand_in(_: StartStandin, _folder: Path, leave: Leave) -> float:
    return await leave({})


@pytest.mark.one_for_each("end")
@pytest.mark.parametrize("where", [from_a_service, from_the_embedded_stand_in])
@pytest.mark.parametrize("end", ENDS)
async def test_a_server_that_is_left_ends_its_streams_and_goes_in_time(
    end: str,
    where: Callable[[StartStandin, Path, Leave], Awaitable[float]],
    standin: StartStandin,
    film: Path,
    tmp_path: Path,
) -> None:
    async def leave(more: dict[str, str]) -> float:
        env = environment(tmp_path, IH_MCP_MEDIA_DIRS=str(film.parent)) | more
        command = REAL if end == "eof" else often(forked(), nightly=REAL)
        return await to_thread.run_sync(leave_midway, env, film, ENDS[end], command)

    assert await where(standin, tmp_path, leave) < BOUND_SECONDS


async def test_a_service_that_does_not_drain_in_time_does_not_hold_the_process(
    standin: StartStandin, film: Path, tmp_path: Path
) -> None:
    async with standin({"at": "closing", "stall": "telling"}) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(film.parent))
        took = await to_thread.run_sync(leave_midway, env, film, close_stdin)
    assert took < BOUND_SECONDS
    async with open_journal(tmp_path) as journal:
        rows = await journal.list_streams()
    assert all(row.ended_at is not None for row in rows)
