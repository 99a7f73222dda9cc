"""C6 and C7: a host that goes away, or stops the server, with many live streams."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.app.clean_up import retention_of
from ih_mcp.journal import open_journal
from ih_mcp.settings import read_settings
from ih_mcp.standin.server.serve import RunningStandin
from ih_mcp.streams.kept_status import kept_status
from ih_mcp.wire.endings import EndReason
from tests.fair_clock import seconds_until_exit
from tests.forked import REAL, forked
from tests.road.host import Process, environment

from .budget import often, report
from .checker import History, Session, check, read_kept

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]
STREAMS = often(20, nightly=50)
HOST_SECONDS = 2.0  # then a host kills


def close_stdin(server: Process) -> None:
    assert server.process.stdin
    server.process.stdin.close()


# C7 asks for SIGTERM of an HTTP server; the one on stdio stands for it, for there is no other yet.
ROWS: dict[str, Callable[[Process], None]] = {
    "C6": close_stdin,
    "C7": lambda server: os.kill(server.pid, signal.SIGTERM),
}


@pytest.mark.parametrize("row", ROWS)
async def test_many_live_streams_are_ended_and_kept_in_time(
    row: str, flooding: RunningStandin, tmp_path: Path
) -> None:
    env = environment(tmp_path, endpoint=flooding.url, IH_MCP_MAX_STREAMS=str(STREAMS))
    command = REAL if row == "C6" else often(forked(), nightly=REAL)
    ids, took = await to_thread.run_sync(_start_and_leave, env, ROWS[row], command)
    assert took < HOST_SECONDS
    sessions = list(flooding.recorder.sessions)
    with anyio.fail_after(10):
        for session in sessions:
            await session.over.wait()
    codes = {session.close_code for session in sessions}
    assert codes <= {1000, 1001, None}  # None: our own bound on the end came first
    async with open_journal(tmp_path, retention_of(read_settings())) as journal:
        await journal.clean_up()  # where our own bound came first, as the next server does
        for stream_id, session in zip(ids, sessions, strict=True):
            kept = await read_kept(journal, stream_id)
            stream = await journal.find_stream(stream_id)
            was_cut = kept_status(stream).reason == EndReason.HOST_STOPPED  # and that is told
            assert was_cut or session.end == "session.ended"
            sent = Session.of(session, is_lost=was_cut)
            assert check(History(sessions=[sent], kept=kept, told={0})) == []
            assert stream.ended_at is not None
    report(row, "test_ends.py", f"{STREAMS} streams, gone after {took:.2f} s")


def _start_and_leave(
    env: dict[str, str], leave: Callable[[Process], None], command: Sequence[str]
) -> tuple[list[str], float]:
    """The streams, and how long the server took to go."""
    server = Process(env, command)
    try:
        ids = [server.call("start_stream").status["stream_id"] for _ in range(STREAMS)]
        took = seconds_until_exit(server.process, lambda: leave(server))
        assert server.process.wait() in {0, 128 + signal.SIGTERM}
    finally:
        server.close()
    return ids, took
