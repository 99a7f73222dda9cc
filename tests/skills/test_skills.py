"""The skills say what is so: each command and each tool call in them is done, in its order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from docs.generate import SKILL, skill
from ih_mcp.mcp_server.server import make_tools
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import split
from ih_mcp.wire.dialects import V1
from tests.forked import forked
from tests.road.host import REPOSITORY, Answer, environment, open_host

from .book import SKILLS, TOP, Reader, blocks, calls, commands

pytestmark = pytest.mark.timeout(90)
PAGES = SKILLS
NAMES = [
    "interhuman",
    "interhuman-authentication",
    "interhuman-live-coach",
    "interhuman-post-processing",
    "interhuman-stream",
]


def title(page: Path) -> str:
    return page.parent.name if page != TOP else "interhuman"


COMMANDS = sorted({command for page in PAGES for command in commands(page)})


@pytest.fixture(scope="module")
async def videos(
    tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg, dialogue: Path, short_clip: Path
) -> Path:
    """The folder the pages call `/videos`, with a recording and the segments of a live one."""
    folder = tmp_path_factory.mktemp("videos")
    live = folder / "live"
    live.mkdir()
    shutil.copy(short_clip, folder / "talk.mp4")
    cut = split(
        dialogue,
        ffmpeg=ffmpeg,
        limits=V1.limits,
        framing=V1.framing,
        target_seconds=V1.target_segment_seconds,
    )
    number = 0
    async with aclosing(cut) as segments:
        async for segment in segments:
            number += 1
            made = anyio.Path(live / f"chunk-{number:04}.webm")
            await made.write_bytes(segment.data)
    return folder


@asynccontextmanager
async def reader(videos: Path, data_dir: Path) -> AsyncIterator[Reader]:
    env = environment(data_dir, IH_MCP_MEDIA_DIRS=str(videos))
    async with open_host(env) as host:
        yield Reader(host, videos)


def test_the_skills_are_these() -> None:
    assert [page.parent.name for page in SKILLS] == NAMES


def test_the_page_at_the_top_is_one_of_the_skills() -> None:
    assert SKILL.read_text(encoding="utf-8") == skill(), "run python docs/generate.py"
    assert "internal" not in SKILL.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [TOP, *SKILLS], ids=lambda page: page.parent.name)
def test_a_skill_is_valid_by_the_formats_own_checker(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / title(page)
    shutil.copytree(page.parent, folder) if page != TOP else folder.mkdir()
    shutil.copy(page, folder)
    done = subprocess.run(
        [Path(sys.executable).parent / "agentskills", "validate", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_a_skill_is_short_and_its_front_matter_portable(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 500
    front = lines[1 : lines.index("---", 1)]
    keys = [line.split(":", 1)[0] for line in front]
    assert keys[:2] == ["name", "description"]
    assert set(keys) <= {"name", "description", "license", "compatibility"}
    assert front[0] == f"name: {title(page)}"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_what_a_skill_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).is_file(), link


def test_every_tool_is_shown_in_some_skill() -> None:
    shown = {call["tool"] for page in PAGES for call in calls(page)}
    assert shown == {tool.name for tool in make_tools()}


@pytest.mark.parametrize("page", PAGES, ids=title)
async def test_the_calls_of_a_skill_work_in_their_order(
    page: Path, videos: Path, tmp_path: Path
) -> None:
    async with reader(videos, tmp_path) as reading:
        done = [(call, await reading.follow(call)) for call in calls(page)]
        last = await _the_rest(reading, done)
    assert last is None or last.status["state"] == "ended", last


async def _the_rest(reading: Reader, done: list[tuple[Mapping[str, Any], Answer]]) -> Answer | None:
    """Go on as the page says after its last poll; None where it started no stream."""
    polls = [answer for call, answer in done if call["tool"] == "poll_events"]
    if not polls:
        return None
    answer = polls[-1]
    again = {"stream_id": "<stream_id>", "cursor": "<next_cursor>", "wait_s": 20}
    reading.known |= answer.status
    while not answer.status["ended"]:
        answer = await reading.follow({"tool": "poll_events", "arguments": again})
    return answer


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_of_a_skill_runs(command: str, videos: Path, tmp_path: Path) -> None:
    words = shlex.split(command.partition(">")[0])
    env = environment(tmp_path, IH_MCP_MEDIA_DIRS=str(videos))
    done = await anyio.run_process([*forked(), *words[1:]], env=env, cwd=videos, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


def test_the_spans_of_the_reference_are_right() -> None:
    page = REPOSITORY / "skills" / "interhuman-post-processing" / "references" / "questions.md"
    (program,) = blocks(page, "python")
    messages = [
        {"type": "session.ready"},
        {"status": "processing", "segment": 1},
        {"type": "signal.detected", "data": {"signal_type": "hesitation", "start": 3}},
        {"type": "signal.updated", "data": {"signal_type": "hesitation", "start": 6}},
        {"type": "signal.ended", "data": {"signal_type": "hesitation", "end": 9.5}},
    ]
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="\n".join(map(json.dumps, messages)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "hesitation 3 9.5\n"
