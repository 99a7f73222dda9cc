"""Byte fidelity: what the stand-in sent is what every reader gets, in the same order."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import UnknownStreamError
from ih_mcp.journal import open_journal
from tests.forked import forked
from tests.standin.fakes import open_idle

from .conftest import UNUSUAL, StartStandin
from .host import ERAS, Process, environment, open_host


@pytest.mark.parametrize("era", ERAS)
async def test_polling_over_stdio_gives_the_bytes_that_were_sent(
    era: str, standin: StartStandin, unusual_steps: list[object], dialogue: Path, tmp_path: Path
) -> None:
    async with standin(*unusual_steps) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        async with open_host(env, era) as host:
            started = await host.call("stream_file", path=str(dialogue), pace="fast")
            stream_id = started.status["stream_id"]
            messages, last = await host.read_all(stream_id, wait_s=5)
            again, _ = await host.read_all(stream_id, limit=7, max_chars=1000)
        (session,) = running.recorder.sessions
    assert messages == session.texts
    assert messages[1 : 1 + len(UNUSUAL)] == UNUSUAL
    assert again == messages
    assert last.status["state"] == "ended"


async def test_the_command_line_prints_the_bytes_that_were_sent(
    standin: StartStandin, unusual_steps: list[object], dialogue: Path, tmp_path: Path
) -> None:
    async with standin(*unusual_steps, open_decoder=open_idle) as running:
        done = await anyio.run_process(
            [*forked(), "stream", str(dialogue), "--pace", "fast"],
            env=environment(tmp_path, endpoint=running.url),
            stderr=subprocess.PIPE,
            check=False,
        )
        (session,) = running.recorder.sessions
    assert done.returncode == 0, done.stderr.decode()
    assert unframe(done.stdout) == session.texts
    assert session.texts[1 : 1 + len(UNUSUAL)] == UNUSUAL
    assert b"ended in order" in done.stderr


def unframe(output: bytes) -> list[str]:
    """Read what `ih-mcp stream` prints, by the rule that its help tells."""
    messages = []
    while output:
        line, _, output = output.partition(b"\n")
        if line.startswith(b"\x1e"):
            size = int(line[1:])
            line, output = output[:size], output[size + 1 :]
        messages.append(line.decode())
    return messages


async def test_what_was_polled_survives_a_killed_server_byte_for_byte(
    standin: StartStandin, unusual_steps: list[object], dialogue: Path, tmp_path: Path
) -> None:
    async with standin(*unusual_steps, open_decoder=open_idle) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        stream_id, shown = await anyio.to_thread.run_sync(_kill_midway, env, dialogue)
        async with open_host(env) as host:
            messages, last = await host.read_all(stream_id, wait_s=5)
        texts = list(running.recorder.sessions[0].texts)
    assert messages[: len(shown)] == shown
    assert texts[: len(messages)] == messages
    assert len(shown) > len(UNUSUAL)
    assert (last.status["state"], last.status["reason"]) == ("failed", "host_stopped")


def _kill_midway(env: dict[str, str], clip: Path) -> tuple[str, list[str]]:
    """Stream in real time, read the first messages, then `kill -9`."""
    server = Process(env)
    try:
        started = server.call("stream_file", path=str(clip), pace="realtime")
        stream_id = started.status["stream_id"]
        shown: list[str] = []
        while len(shown) <= len(UNUSUAL):
            answer = server.call("poll_events", stream_id=stream_id, cursor=len(shown))
            shown += answer.messages
        server.kill()
    finally:
        server.close()
    return stream_id, shown


async def test_the_journal_holds_the_bytes_that_were_sent(
    standin: StartStandin, unusual_steps: list[object], dialogue: Path, tmp_path: Path
) -> None:
    async with standin(*unusual_steps, open_decoder=open_idle) as running:
        await anyio.run_process(
            [*forked(), "stream", str(dialogue), "--pace", "fast"],
            env=environment(tmp_path, endpoint=running.url),
        )
        (session,) = running.recorder.sessions
    async with open_journal(tmp_path) as journal:
        (row,) = await journal.list_streams()
        page = await journal.read_page(row.id, 0, limit=10_000, max_chars=10**9)
        with pytest.raises(UnknownStreamError):
            await journal.read_page("st_other", 0, limit=1, max_chars=1)
    assert [entry.body for entry in page.entries] == session.texts
    assert [entry.cursor for entry in page.entries] == list(range(1, len(session.texts) + 1))
