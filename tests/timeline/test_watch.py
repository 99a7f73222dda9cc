"""`ih-mcp watch` on a real terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from ih_mcp.journal import open_journal
from tests.forked import forked, forked_python
from tests.road.host import environment

from .known import MESSAGES, RECORD

if sys.platform == "win32":
    pytest.skip("no pseudo-terminals here", allow_module_level=True)

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


async def test_a_stream_of_another_process_is_shown_while_it_runs(tmp_path: Path) -> None:
    reader, terminal = os.openpty()
    env = environment(tmp_path, COLUMNS="80", LINES="40", TERM="xterm-256color")
    command = [*forked(), "watch", "st_1"]
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {"state": "open", "api": "v1"})
        for text in MESSAGES[:4]:
            log.append(text, leg=0)
        await log.flush()
        with subprocess.Popen(  # noqa: ASYNC220 - it is started, not waited for
            command, env=env, stdout=terminal, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        ) as watching:
            os.close(terminal)
            try:
                shown = await _until(reader, r"agreement +·*░", "")
                assert "not analysed  " not in shown
                for text in MESSAGES[4:]:
                    log.append(text, leg=0)
                await log.write_record(RECORD, ended=True)
                journal.release(log)
                shown = await _until(reader, r"talk.mp4 · ended[\s\S]*not analysed  ", shown)
                assert watching.wait(20) == 0
            finally:
                watching.kill()
    os.close(reader)


_KILLED = """
import pathlib, sys, anyio
from ih_mcp.journal import open_journal
async def main():
    async with open_journal(pathlib.Path(sys.argv[1])) as journal:
        log = await journal.begin("st_1", {"state": "open", "api": "v1"})
        log.append('{"type": "session.ready"}', leg=0)
        await log.flush()
        print("begun", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


def test_a_stream_whose_process_is_killed_ends_where_it_is_watched_and_drawn(
    tmp_path: Path,
) -> None:
    env = environment(tmp_path, COLUMNS="100")
    with subprocess.Popen(
        [*forked_python(), "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"begun\n"
        watching = subprocess.Popen([*forked(), "watch", "st_1"], env=env, stdout=subprocess.PIPE)
        owner.kill()
    with watching:
        shown, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert "st_1 · failed" in shown.decode()
    picture = tmp_path / "x.HTML"
    command = [*forked(), "timeline", "st_1", "-o", str(picture)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, timeout=30)
    assert "<h1>Timeline</h1><p>st_1 · failed</p>" in picture.read_text(encoding="utf-8")


async def _until(reader: int, pattern: str, shown: str) -> str:
    """Read the terminal until it has shown this; without its control codes."""
    with anyio.fail_after(15):
        while not re.search(pattern, shown):
            await anyio.wait_readable(reader)
            shown += _CONTROL.sub("", os.read(reader, 65_536).decode(errors="replace"))
    return shown
