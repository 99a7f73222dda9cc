"""Bad input: each answer says what, why and what to do; nothing is lost and the server lives on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.server.serve import serve
from tests.forked import forked
from tests.standin.fakes import open_idle

from .conftest import StartStandin
from .host import Host, environment, open_host


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, dialogue: Path, short_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("files") / "videos"
    folder.mkdir()
    shutil.copy(dialogue, folder / "talk.mp4")
    shutil.copy(short_clip, folder / "short.mp4")
    return folder


@pytest.fixture(scope="module")
async def host(ffmpeg: Ffmpeg, media: Path) -> AsyncIterator[Host]:
    """One server for the whole module: it has to live through all of it."""
    async with serve(ffmpeg=ffmpeg, open_decoder=open_idle) as running:
        env = environment(media.parent / "d", endpoint=running.url, IH_MCP_MEDIA_DIRS=str(media))
        async with open_host(env, seconds=600) as opened:
            yield opened


@pytest.fixture
async def live(host: Host) -> AsyncIterator[str]:
    """A live stream, the only one."""
    stream_id = (await host.call("start_stream")).status["stream_id"]
    yield stream_id
    await host.call("end_stream", stream_id=stream_id)


def _missing(folder: Path) -> Path:
    return folder / "tolk.mp4"


def _text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("this is no video\n" * 100, encoding="utf-8")
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def _torn(folder: Path) -> Path:
    """The index of this one stands at its end, and the end is missing."""
    whole = (folder / "talk.mp4").read_bytes()
    moov = whole.index(b"moov") - 4
    size = int.from_bytes(whole[moov : moov + 4], "big")
    path = folder / "torn.mp4"
    path.write_bytes((whole[:moov] + whole[moov + size :])[:300_000])
    return path


def _outside(folder: Path) -> Path:
    return Path(shutil.copy(folder / "talk.mp4", folder.parent / "outside.mp4"))


def _link_out(folder: Path) -> Path:
    link = folder / "link.mp4"
    link.symlink_to(_outside(folder))
    return link


def _dotted(folder: Path) -> Path:
    return folder / ".." / _outside(folder).name


def _fifo(folder: Path) -> Path:
    path = folder / "pipe.mp4"
    os.mkfifo(path)
    return path


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "no such file": (_missing, "file_not_found", "talk.mp4"),
    "a folder": (lambda folder: folder, "not_a_file", "file"),
    "text named mp4": (_text, "not_media", ""),
    "empty": (_empty, "empty_file", ""),
    "torn": (_torn, "incomplete_file", "index is missing"),
    "outside": (_outside, "path_not_allowed", "IH_MCP_MEDIA_DIRS"),
    "outside by dots": (_dotted, "path_not_allowed", "IH_MCP_MEDIA_DIRS"),
    "link out": (_link_out, "path_not_allowed", "IH_MCP_MEDIA_DIRS"),
    "a pipe": (_fifo, "not_a_file", ""),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_a_file_that_cannot_be_streamed_says_why_and_what_helps(
    name: str, host: Host, media: Path
) -> None:
    make, code, helps = BAD_FILES[name]
    path = make(media)
    before = (await host.call("list_streams")).status
    answer = await host.call("stream_file", path=str(path))
    assert answer.error["code"] == code, answer.text
    assert helps in answer.text
    assert len(answer.text.splitlines()) == 3  # what, what helps, the same for programs
    assert (await host.call("list_streams")).status == before
    good = await host.call("stream_file", path=str(media / "short.mp4"), pace="fast")
    _, last = await host.read_all(good.status["stream_id"])
    assert last.status["state"] == "ended"


async def test_a_folder_list_that_is_not_set_is_told(tmp_path: Path, dialogue: Path) -> None:
    async with open_host(environment(tmp_path)) as host:
        answer = await host.call("stream_file", path=str(dialogue))
    assert answer.error["code"] == "no_media_dirs"
    assert "IH_MCP_MEDIA_DIRS" in answer.text


@pytest.mark.parametrize("key", ["", "${INTERHUMAN_API_KEY}", "{{key}}"])
async def test_a_missing_key_names_both_ways_out(key: str, tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path, endpoint="production", INTERHUMAN_API_KEY=key)
    env["IH_MCP_MEDIA_DIRS"] = str(dialogue.parent)
    async with open_host(env) as host:
        for tool, arguments in {"start_stream": {}, "stream_file": {"path": str(dialogue)}}.items():
            answer = await host.call(tool, **arguments)
            assert answer.error["code"] == "no_api_key"
            assert "INTERHUMAN_API_KEY" in answer.text
            assert "IH_MCP_ENDPOINT=local" in answer.text


async def test_an_unknown_stream_lists_the_live_ones(host: Host, live: str) -> None:
    for tool, arguments in {
        "poll_events": {},
        "push_segment": {"data_base64": "AAAA"},
        "configure_stream": {},
        "end_stream": {},
        "list_streams": {},
    }.items():
        answer = await host.call(tool, stream_id="st_unknown", **arguments)
        assert answer.error["code"] == "unknown_stream", tool
        assert answer.error["live"] == [live]
        assert live in answer.text.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data_base64": "%%%"}, "not base64"),
        ({"data_base64": "AAA"}, "not base64"),
        ({"data_base64": "AAAA" * 20}, "begins without a container header"),
        ({}, "exactly one of path and data_base64"),
        ({"data_base64": "AAAA", "path": "x"}, "exactly one of path and data_base64"),
        ({"data_base64": "AAAA", "seq": 0}, "seq"),
        ({"data_base64": "AAAA", "seq": "1"}, "seq"),
        ({"data_base64": "A" * (7 * 2**20)}, "Write the segment to a file"),
    ],
)
async def test_a_segment_that_cannot_be_taken_says_why(
    arguments: dict[str, object], words: str, host: Host, live: str
) -> None:
    answer = await host.call("push_segment", stream_id=live, **arguments)
    assert answer.is_error
    assert words in answer.text
    assert (await host.call("list_streams", stream_id=live)).status["state"] == "open"


async def test_a_cursor_no_message_had_is_told_and_leads_back(host: Host, live: str) -> None:
    answer = await host.call("poll_events", stream_id=live, cursor=999, wait_s=25)
    last = answer.status["next_cursor"]
    assert answer.messages == []
    assert answer.status["notes"][0].startswith(
        f"no message had cursor 999 yet, the last one has {last}"
    )
    assert answer.status["next"].endswith(f"poll_events(cursor={last})")
    await host.call("configure_stream", stream_id=live, include=[])
    again = await host.call("poll_events", stream_id=live, cursor=last)
    assert len(again.messages) == 1
    assert "notes" not in again.status


async def test_a_segment_above_the_limit_is_refused_before_it_is_sent(
    standin: StartStandin, tmp_path: Path, media: Path
) -> None:
    (media / "big.webm").write_bytes(b"\x1aE\xdf\xa3" + b"x" * 5000)
    async with standin(max_segment_bytes=4096) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(media))
        async with open_host(env) as host:
            stream_id = (await host.call("start_stream")).status["stream_id"]
            path = str(media / "big.webm")
            answer = await host.call("push_segment", stream_id=stream_id, path=path)
        assert running.recorder.sessions[0].segments == []
    assert answer.error["code"] == "segment_too_large"
    assert "5_004 bytes" in answer.text
    assert "4_096" in answer.text


async def test_ending_twice_and_pushing_after_the_end_are_answered(host: Host) -> None:
    stream_id = (await host.call("start_stream")).status["stream_id"]
    assert (await host.call("end_stream", stream_id=stream_id)).status["ended"] is True
    again = await host.call("end_stream", stream_id=stream_id)
    assert not again.is_error
    assert again.status["notes"][-1] == "it was over before"
    late = await host.call("push_segment", stream_id=stream_id, data_base64="AAAA")
    assert late.error["code"] == "stream_ended"
    assert "start a new stream" in late.text


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("poll_events", {"stream": "x"}, ["unknown argument 'stream'", "takes: stream_id, cursor"]),
        ("poll_events", {"stream_id": "x", "wait": 3}, ["unknown argument 'wait'", "wait_s"]),
        ("poll_events", {"stream_id": "x", "wait_s": 60}, ["less than or equal to 25"]),
        ("poll_events", {"stream_id": "x", "cursor": -1}, ["greater than or equal to 0"]),
        ("poll_events", {"stream_id": "x", "cursor": "5"}, ["valid integer"]),
        ("poll_events", {"stream_id": 7}, ["valid string"]),
        ("stream_file", {"path": "x", "pace": "slow"}, ["'auto', 'realtime' or 'fast'"]),
        ("start_stream", {"api": "v9"}, ["'v9' is not known", "v0, v1, v2"]),
        ("start_stream", {"include": "all"}, ["valid list"]),
        ("start_stream", {"model": "inter-2"}, ["odel 'inter-2' is not known on v1"]),
        ("check_setup", {"x": 1}, ["takes: path"]),
    ],
)
async def test_an_argument_that_is_wrong_names_what_is_right(
    tool: str, arguments: dict[str, object], words: list[str], host: Host
) -> None:
    answer = await host.call(tool, **arguments)
    assert answer.is_error
    for word in words:
        assert word in answer.text
    assert "pydantic" not in answer.text


async def test_more_streams_than_may_be_are_refused(standin: StartStandin, tmp_path: Path) -> None:
    async with standin() as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MAX_STREAMS="1")
        async with open_host(env) as host:
            live = (await host.call("start_stream")).status["stream_id"]
            answer = await host.call("start_stream")
            await host.call("end_stream", stream_id=live)
            assert not (await host.call("start_stream")).is_error
    assert answer.error["code"] == "too_many_streams"
    assert answer.error["live"] == [live]


async def test_a_setting_that_is_wrong_stops_the_start_with_its_name(tmp_path: Path) -> None:
    done = await anyio.run_process(
        forked(),
        env=environment(tmp_path, endpoint="ftp://example"),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 2
    assert b"IH_MCP_ENDPOINT: is none of production, staging, local" in done.stderr
