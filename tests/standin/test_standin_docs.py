"""What `docs/standin.md` tells is what the code has."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from anyio import run_process

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.credential_store import TEST_KEYS
from ih_mcp.standin.faults import script
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.server.serve import serve
from tests.conftest import REPOSITORY
from tests.forked import forked
from tests.road.host import environment

PAGE = (REPOSITORY / "docs" / "standin.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]


def test_the_points_of_a_script_and_what_acts_there_are_those_of_the_code() -> None:
    told = {row[0].strip("`"): row[2:] for row in ROWS if len(row) == 5 and row[0][:1] == "`"}
    known = {
        str(at): [
            " ".join(f"`{script._NAMES[act]}`" for act in acts),
            *("yes" if is_told else "no" for is_told in where),
        ]
        for at, (acts, *where) in script._POINTS.items()
    }
    assert told == known


def test_every_act_and_every_key_for_tests_is_told_with_what_it_meets() -> None:
    told = {row[0].strip("`"): row[1] for row in ROWS if len(row) == 2 and row[0][:1] == "`"}
    assert set(told) == {*script._NAMES.values(), *TEST_KEYS}
    for key, known in TEST_KEYS.items():
        assert not isinstance(known, str) or told[key] == f"`{known}`"
    for name, *_ in script._CHANGE:
        assert f"`{name}`" in told["change"]


def test_the_script_it_shows_is_one() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert len(Script.parse(json.loads(shown)).steps) == 7


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_ih_mcp_is_pointed_at_it_as_the_page_says(
    scheme: str, short_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^IH_MCP_ENDPOINT=.*$", PAGE, re.MULTILINE)
    words = shlex.split(line)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    command = words[len(given) :]
    assert (command, given["IH_MCP_ENDPOINT"]) == (
        ["ih-mcp", "stream", "talk.mp4"],
        "http://127.0.0.1:8080",
    )
    async with serve(ffmpeg=ffmpeg) as standin:
        given["IH_MCP_ENDPOINT"] = standin.url.replace("http://", f"{scheme}://")
        env = {**environment(tmp_path), **given}
        run = [*forked(), *command[1:-1], str(short_clip), "--pace", "fast"]
        done = await run_process(run, env=env, check=False)
    assert done.returncode == 0, done.stderr
    (session,) = standin.recorder.sessions
    assert session.path == "/v1/stream/analyze"


@pytest.mark.parametrize("words", ["stream", "stream --api v0", "analyze", "analyze --api v2"])
async def test_a_key_whose_model_lacks_its_backend_works_elsewhere(
    words: str, short_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """Where it is refused, on v2 streams, is tested beside other refused models."""
    command, *more = words.split()
    pace = ["--pace", "fast"] if command == "stream" else []
    async with serve(ffmpeg=ffmpeg) as standin:
        key = {"INTERHUMAN_API_KEY": "ih_test_no_backend"}
        env = environment(tmp_path, endpoint=standin.url, **key)
        run = [*forked(), command, str(short_clip), *pace, *more]
        done = await run_process(run, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert b"ih1003" not in done.stdout + done.stderr
