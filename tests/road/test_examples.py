"""The hand-written clients in `examples/` against the stand-in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import pytest

from .conftest import StartStandin
from .host import REPOSITORY, environment


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("stream_v1.py", "type", {"session.updated", "session.closing", "session.ended"}),
        ("stream_v0.py", "status", {"processing", "result", "completed"}),
    ],
)
async def test_a_client_written_by_hand_is_served(
    name: str, key: str, expected: set[str], standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with standin() as running:
        done = await anyio.run_process(
            [
                *(sys.executable, str(REPOSITORY / "examples" / name)),
                *(running.url.replace("http", "ws"), str(dialogue)),
            ],
            env=environment(tmp_path),
        )
        (session,) = running.recorder.sessions
    printed = done.stdout.decode().splitlines()
    assert printed == session.texts[-len(printed) :]
    assert {json.loads(line)[key] for line in printed} >= expected
    assert session.close_code == 1000
