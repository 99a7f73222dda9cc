"""What block 0 says of a stream beside its messages."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from tests.road.host import Host, open_memory_host

NOTHING = {"segments": 0, "bytes": 0}


@pytest.fixture
async def host(tmp_path: Path, short_clip: Path, dialogue: Path) -> AsyncIterator[Host]:
    folders = f"{short_clip.parent}:{dialogue.parent}"
    async with open_memory_host(tmp_path, endpoint="local", media_dirs=folders) as opened:
        yield opened


async def test_a_file_says_how_long_it_is_and_that_it_was_sent_to_its_end(
    host: Host, short_clip: Path
) -> None:
    started = await host.call("stream_file", path=str(short_clip))
    stream_id = started.status["stream_id"]
    assert started.status["duration_s"] == pytest.approx(6, abs=0.2)
    assert started.status["pace"] == "auto"
    assert (started.status["sent"], started.status["waiting"]) == (NOTHING, NOTHING)
    assert "pushed" not in started.status
    _, last = await host.read_all(stream_id, wait_s=20)
    assert last.status["reason"] == "end_of_file"
    assert last.status["summary"]["minutes_analysed"] == pytest.approx(0.1, abs=0.01)
    row = (await host.call("list_streams")).status["streams"][0]
    assert (row["source"], row["duration_s"]) == ("talk.mp4", started.status["duration_s"])


async def test_a_file_that_was_ended_early_says_that_it_was_stopped(
    host: Host, dialogue: Path
) -> None:
    started = await host.call("stream_file", path=str(dialogue), pace="realtime")
    stream_id = started.status["stream_id"]
    await host.call("poll_events", stream_id=stream_id, until=["session.ready"], wait_s=20)
    ended = await host.call("end_stream", stream_id=stream_id, wait_s=20)
    assert (ended.status["ended"], ended.status["reason"]) == (True, "stopped")
    assert ended.status["summary"]["signals"] == {}


async def test_a_pushed_stream_counts_in_one_form_from_zero_on(
    host: Host, short_clip: Path
) -> None:
    started = await host.call("start_stream")
    stream_id = started.status["stream_id"]
    for name in ("pushed", "sent", "waiting"):
        assert started.status[name] == NOTHING
    assert started.status["next"] == "push_segment(seq=1), then poll_events(cursor=1)"
    pushed = await host.call("push_segment", stream_id=stream_id, path=str(short_clip), seq=1)
    whole = {"segments": 1, "bytes": pushed.status["bytes"]}
    assert pushed.status["pushed"] == whole
    assert pushed.status["next"].startswith("push_segment(seq=2)")
    ended = await host.call("end_stream", stream_id=stream_id, wait_s=20)
    assert [ended.status[name] for name in ("sent", "waiting")] == [whole, NOTHING]
    assert ended.status["reason"] == "by_request"
    assert "next_seq" not in ended.status


async def test_a_stream_that_is_too_short_says_that_nothing_was_analysed_and_why(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory
) -> None:
    segment = tmp_path_factory.mktemp("short") / "two.mp4"
    cut = [str(ffmpeg.path), "-v", "error", "-i", str(short_clip), "-c", "copy", "-t", "2"]
    await anyio.run_process([*cut, "-movflags", "frag_keyframe+empty_moov", str(segment)])
    data = base64.b64encode(segment.read_bytes()).decode()
    stream = {"stream_id": (await host.call("start_stream")).status["stream_id"]}
    await host.call("push_segment", **stream, data_base64=data, seq=1)
    ended = await host.call("end_stream", **stream, wait_s=20)
    assert ended.status["summary"]["minutes_analysed"] == 0
    note = ended.status["notes"][-1]
    assert note.startswith("Nothing was analysed: the service left out all ")
    assert note.endswith(
        " Its reason is ih5006: the segment, or the whole session, has less than 3 seconds of "
        "media. Send at least 3 seconds of media at once."
    )
    read = await host.call("poll_events", **stream)
    listed = await host.call("list_streams", **stream)
    assert note in read.status["notes"]
    assert note in listed.status["notes"]


async def test_a_stream_without_media_says_so(host: Host) -> None:
    stream = {"stream_id": (await host.call("start_stream")).status["stream_id"]}
    ended = await host.call("end_stream", **stream, wait_s=20)
    assert ended.status["notes"][-1] == "No media was sent, so nothing was analysed."


async def test_state_ended_and_next_agree(host: Host, short_clip: Path) -> None:
    started = await host.call("stream_file", path=str(short_clip))
    stream = {"stream_id": started.status["stream_id"]}
    messages, _ = await host.read_all(**stream, wait_s=20)
    some = (await host.call("poll_events", **stream, limit=1)).status
    assert (some["state"], some["ended"], some["remaining"]) == ("ended", False, len(messages) - 1)
    assert some["notes"][0].startswith("the stream is over, but more of its messages follow;")
    again = (await host.call("end_stream", **stream)).status
    assert again["ended"] is True
    assert again["next"] == (
        f"poll_events from your last next_cursor; nothing follows if that is {len(messages)}"
    )
    rest = (await host.call("poll_events", **stream, cursor=len(messages))).status
    assert (rest["ended"], rest["next"]) == (True, "done: nothing follows")


async def test_new_options_are_said_with_the_second_they_hold_from(
    host: Host, short_clip: Path
) -> None:
    started = await host.call("start_stream", include=["conversation_quality_overall"])
    stream = {"stream_id": started.status["stream_id"]}
    await host.call("push_segment", **stream, path=str(short_clip), seq=1)
    changed = await host.call("configure_stream", **stream, goal_dimensions=["clarity"])
    assert changed.status["confirmed"] is True
    assert changed.status["options"] == {
        "include": [], "goal_dimensions": [], "model": None
    }  # fmt: skip
    left_out, refused = changed.status["notes"]
    assert left_out.startswith("include not given, so reset to none ([] in options, null in ")
    assert left_out.endswith("a model that is not given stays")
    assert refused == (
        "the service did not take these of goal_dimensions: clarity; no feedback comes for them"
    )
    assert changed.status["from_s"] == pytest.approx(6, abs=0.2)
    assert changed.status["next"].startswith("push_segment(seq=2)")
    await host.call("end_stream", **stream, wait_s=20)
    messages = [json.loads(each) for each in (await host.call("poll_events", **stream)).messages]
    updates = [each["data"] for each in messages if each["type"] == "session.updated"]
    assert [each["goal_dimensions"] for each in updates] == [None, None]  # feedback is off here


async def test_a_goal_that_is_misspelt_is_refused_before_anything_is_sent(
    host: Host, short_clip: Path
) -> None:
    path = str(short_clip)
    live = {"stream_id": (await host.call("start_stream")).status["stream_id"]}
    goals = {"goal_dimensions": ["clarity", "raport", "is it clear?"]}
    for tool, arguments in {
        "start_stream": {},
        "stream_file": {"path": path},
        "analyze_file": {"path": path, "api": "v1"},
        "configure_stream": live,
    }.items():
        refused = await host.call(tool, **arguments, **goals)
        assert refused.is_error, tool
        assert "goal_dimensions has 'raport', 'is it clear?', which v1 does not know." in (
            refused.text
        )
        assert "Goals of v1: clarity, authority, energy, rapport, learning." in refused.text
    listed = (await host.call("list_streams")).status
    assert [row["stream_id"] for row in listed["streams"]] == [live["stream_id"]]
    assert "analyses" not in listed


async def test_options_that_the_service_does_not_take_at_the_start_are_said(
    host: Host, short_clip: Path
) -> None:
    options = {"goal_dimensions": ["rapport"], "include": ["conversation_quality_overall"]}
    said = "The service did not take these of goal_dimensions: rapport; no feedback comes for them."
    started = await host.call("start_stream", **options)
    assert started.status["notes"][-1] == said
    assert [json.loads(each)["type"] for each in started.messages] == [
        "session.ready", "session.updated"
    ]  # fmt: skip
    sent = await host.call("stream_file", path=str(short_clip), **options)
    _, last = await host.read_all(sent.status["stream_id"], wait_s=20)
    assert said in last.status["notes"]
    plain = await host.call("start_stream", include=["conversation_quality_overall"])
    assert not any("did not take" in note for note in plain.status["notes"])


async def test_options_that_the_service_refuses_are_said_to_be_refused(
    host: Host, short_clip: Path
) -> None:
    started = await host.call("start_stream")
    stream = {"stream_id": started.status["stream_id"]}
    await host.call("push_segment", **stream, path=str(short_clip), seq=1)
    refused = await host.call("configure_stream", **stream, model="inter-2")
    assert refused.status["confirmed"] is False
    assert "options" not in refused.status
    assert "the service answered with an error" in refused.status["notes"][-1]


async def test_an_upload_says_how_long_its_file_is_and_when_it_began(
    host: Host, short_clip: Path
) -> None:
    started = await host.call("analyze_file", path=str(short_clip))
    assert started.status["duration_s"] == pytest.approx(6, abs=0.2)
    done = await host.call("get_analysis", analysis_id=started.status["analysis_id"], wait_s=25)
    assert done.status["duration_s"] == started.status["duration_s"]
    assert len(done.messages) == 1
    (row,) = (await host.call("list_streams")).status["analyses"]
    assert row["started_at"] == started.status["started_at"]
    assert row["source"] == "talk.mp4"


async def test_a_token_that_defeats_itself_is_said(host: Host) -> None:
    earliest = datetime.now(UTC).replace(microsecond=0)
    short = await host.call("create_token", max_video_seconds=600)
    latest = datetime.now(UTC)
    lives, meaning, any_page = short.status["notes"]
    assert short.status["session"].startswith("one connection, opened before expires_at;")
    expires = datetime.fromisoformat(short.status["expires_at"])
    assert earliest <= expires - timedelta(seconds=300) <= latest
    assert "lives for 300 s, less than its max_video_seconds of 600 s" in lives
    assert meaning == "max_video_seconds bounds all sessions and uploads together."
    assert "Any web page" in any_page
    bound = await host.call(
        "create_token",
        expires_in=600,
        max_video_seconds=600,
        allowed_origins=["https://app.example.com"],
    )
    assert bound.status["notes"] == [meaning]
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/v1/stream/analyze", bound.status["websocket"])
    assert bound.status["connect"].startswith(
        "in a browser: new WebSocket(websocket, ['access_token', TOKEN]);"
    )
    assert "poll_events" not in bound.status["next"]


async def test_a_link_says_how_often_and_how_long_it_is_good(host: Host) -> None:
    link = await host.call("start_capture")
    assert (link.status["link_uses"], link.status["link_valid_s"]) == (1, 600)
    refused = await host.call("push_segment", stream_id=link.status["stream_id"], path="talk.mp4")
    assert refused.error["code"] == "fed_elsewhere"


async def test_a_file_that_may_still_be_written_may_be_tried_again(
    host: Host, short_clip: Path
) -> None:
    growing = short_clip.parent / "growing.mp4"
    for data, code in ((b"", "empty_file"), (b"\x00\x00\x00\x18ftypmp42" * 99, "incomplete_file")):
        growing.write_bytes(data)
        refused = await host.call("stream_file", path=str(growing))
        growing.unlink()
        assert (refused.error["code"], refused.error["retry"]) == (code, True)
        assert "growing.mp4" in refused.text.splitlines()[0]


async def test_the_command_that_deletes_a_stream_can_be_copied_and_does_it(
    host: Host, short_clip: Path, tmp_path: Path
) -> None:
    assert "to_delete" not in (await host.call("list_streams")).status
    started = await host.call("stream_file", path=str(short_clip))
    stream = {"stream_id": started.status["stream_id"]}
    await host.read_all(**stream, wait_s=20)
    any_of_them = (await host.call("list_streams")).status["to_delete"]
    assert any_of_them.endswith("-m ih_mcp forget ID")
    who, line = (await host.call("list_streams", **stream)).status["to_delete"].split(": ", 1)
    assert who == "once it is over, in a terminal"
    assert f"IH_MCP_DATA_DIR={tmp_path}" in line
    await anyio.run_process(shlex.split(line))
    gone = await host.call("poll_events", **stream)
    assert gone.error["code"] == "unknown_stream"


async def test_the_list_has_as_many_rows_as_were_asked_for(host: Host) -> None:
    streams = [(await host.call("start_stream", label=name)).status["stream_id"] for name in "ab"]
    live = (await host.call("list_streams", limit=1)).status
    assert len(live["streams"]) == 2  # those that live here are always among them
    for stream_id in streams:
        await host.call("end_stream", stream_id=stream_id, wait_s=20)
    one = (await host.call("list_streams", limit=1)).status
    assert [row["stream_id"] for row in one["streams"]] == [streams[1]]
    assert one["not_shown"] == 1
    both = (await host.call("list_streams", limit=200)).status
    assert [row["stream_id"] for row in both["streams"]] == streams[::-1]
    refused = await host.call("list_streams", limit=0)
    assert refused.error["code"] == "bad_argument"
