"""Tasks that people give to agents, replayed; each has an outcome and a bound on its cost."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import split
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.dialects import V1
from tests.reliability.budget import IS_LONG
from tests.road.host import Host, environment, open_host

from .day import Day, begin

SCENARIO = """
{"from": 0, "to": 20, "engagement": "engaged"}
{"from": 12, "to": 18, "signal": "hesitation", "probability": "high", "rationale": "A long pause."}
{"from": 14, "to": 20, "signal": "agreement", "probability": "medium", "rationale": "A nod."}
"""
WINDOW_SECONDS = 8  # the service looks at so much at a time, and tells where that began
HOST_MAX_TOKENS = 25_000  # Claude Code cuts an answer there


@pytest.fixture(scope="module")
async def videos(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg, dialogue: Path) -> Path:
    folder = tmp_path_factory.mktemp("journeys")
    (folder / "scenario.jsonl").write_text(SCENARIO, encoding="utf-8")
    shutil.copy(dialogue, folder / "interview.mp4")
    shutil.copy(dialogue, folder / "rehearsal.mp4")
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
            await anyio.Path(folder / f"live-{number}.mp4").write_bytes(segment.data)
    return folder


def local(videos: Path, data_dir: Path, **more: str) -> dict[str, str]:
    return environment(
        data_dir,
        IH_MCP_MEDIA_DIRS=str(videos),
        IH_MCP_ANALYST="replay",
        IH_MCP_SCENARIO=str(videos / "scenario.jsonl"),
        **more,
    )


@pytest.fixture(scope="module")
async def host(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """One server for all who need no special one, as a host keeps it for a day."""
    async with open_host(local(videos, tmp_path_factory.mktemp("data")), seconds=300) as opened:
        yield opened


@pytest.fixture
def day(host: Host) -> Day:
    return Day(host)


async def test_when_did_hesitation_begin(day: Day, videos: Path) -> None:
    started = await day.call("stream_file", path=str(videos / "interview.mp4"))
    last = await day.follow_to_the_end(started, wait_s=20)
    began = day.first("signal.detected", signal_type="hesitation")["start"]
    assert began <= 12 <= began + WINDOW_SECONDS
    assert last.status["media_seconds"] == pytest.approx(24.7, abs=0.1)
    day.cost_at_most(calls=10, tokens=5_000)


async def test_one_result_about_a_short_recording(day: Day, videos: Path) -> None:
    path = str(videos / "interview.mp4")
    started = await day.call("analyze_file", path=path, include=["signals"])
    last = await day.follow_to_the_end(started, wait_s=20)
    assert last.status["state"] == "ended"
    windows = day.messages[-1]["result"]["windows"]
    assert "hesitation" in {s["type"] for window in windows for s in window["signals"]}
    day.cost_at_most(calls=3, tokens=3_000)


@pytest.fixture(scope="module")
def segments(videos: Path) -> list[Path]:
    return sorted(videos.glob("live-*.mp4"))


async def test_a_script_pushes_live_segments_and_the_agent_reacts(
    day: Day, segments: list[Path]
) -> None:
    answer = await day.call("start_stream", label="rehearsal", include=[])
    stream_id = answer.status["stream_id"]
    cursor = answer.status["next_cursor"]
    for seq, segment in enumerate(segments, 1):
        pushed = await day.call("push_segment", stream_id=stream_id, path=str(segment), seq=seq)
        assert pushed.status["accepted"] is True
        polled = await day.call("poll_events", stream_id=stream_id, cursor=cursor, wait_s=0)
        cursor = polled.status["next_cursor"]
        day.messages += map(json.loads, polled.messages)
    ended = await day.call("end_stream", stream_id=stream_id)
    assert ended.status["next"].startswith("poll_events from your last next_cursor")
    polled = await day.call("poll_events", stream_id=stream_id, cursor=cursor)
    day.messages += map(json.loads, polled.messages)
    await day.follow_to_the_end(polled)
    assert day.first("signal.detected", signal_type="hesitation")
    assert day.kinds()[-1] == "session.ended"
    day.cost_at_most(calls=2 * len(segments) + 5, tokens=8_000)


async def test_two_recordings_side_by_side_do_not_mix(day: Day, videos: Path) -> None:
    started = [
        await day.call("stream_file", path=str(videos / name))
        for name in ("interview.mp4", "rehearsal.mp4")
    ]
    sessions = []
    for answer in started:
        day.messages.clear()
        await day.follow_to_the_end(answer, wait_s=20)
        sessions.append({message["correlation_id"] for message in day.messages})
        assert day.kinds()[-1] == "session.ended"
    assert [len(session) for session in sessions] == [1, 1]
    assert sessions[0] != sessions[1]
    day.cost_at_most(calls=14, tokens=8_000)


async def test_a_wrong_path_first(day: Day, videos: Path) -> None:
    wrong = await day.call("stream_file", path=str(videos / "intervew.mp4"))
    assert wrong.error["code"] == "file_not_found"
    (offered,) = set(re.findall(r"interview\.mp4", wrong.text))
    started = await day.call("stream_file", path=offered)  # taken from the first folder
    await day.follow_to_the_end(started, wait_s=20)
    assert day.kinds()[-1] == "session.ended"
    day.cost_at_most(calls=11, tokens=5_200)


async def test_a_mistyped_argument_is_told_with_the_right_ones(day: Day, videos: Path) -> None:
    started = await day.call("stream_file", path=str(videos / "interview.mp4"))
    stream_id = started.status["stream_id"]
    wrong = await day.call("poll_events", stream_id=stream_id, wait=20)
    assert wrong.is_error
    assert "wait_s" in wrong.text
    await day.follow_to_the_end(started, wait_s=20)
    day.cost_at_most(calls=11, tokens=5_200)


async def test_an_agent_that_lost_its_context_finds_its_stream(day: Day, videos: Path) -> None:
    await day.call("start_stream", label="the one I look for", include=[])
    listed = await day.call("list_streams")
    (found,) = [
        stream for stream in listed.status["streams"] if stream.get("label") == "the one I look for"
    ]
    segment = str(videos / "live-1.mp4")
    pushed = await day.call("push_segment", stream_id=found["stream_id"], path=segment)
    assert pushed.status["accepted"] is True
    ended = await day.call("end_stream", stream_id=found["stream_id"])
    await day.follow_to_the_end(ended)
    assert day.kinds()[0] == "session.ready"
    day.cost_at_most(calls=7, tokens=6_500)


async def test_a_file_is_ended_early(day: Day, videos: Path) -> None:
    path = str(videos / "interview.mp4")
    started = await day.call("stream_file", path=path, pace="realtime")
    first = await day.follow(started, wait_s=20)
    while "media_seconds" not in first.status:
        first = await day.follow(first, wait_s=2)
    assert first.status["ended"] is False
    ended = await day.call("end_stream", stream_id=started.status["stream_id"])
    last = await day.follow_to_the_end(ended, wait_s=20)
    assert last.status["state"] == "ended"
    assert last.status["media_seconds"] < 24
    day.cost_at_most(calls=9, tokens=3_000)


async def test_a_file_too_large_to_upload_is_streamed(day: Day, videos: Path) -> None:
    large = videos / "large.mp4"
    spare = 33 * 2**20
    box = (spare + 8).to_bytes(4, "big") + b"free" + bytes(spare)
    large.write_bytes((videos / "interview.mp4").read_bytes() + box)
    refused = await day.call("analyze_file", path=str(large))
    assert refused.error["code"] == "file_too_large"
    assert "stream_file" in refused.text
    started = await day.call("stream_file", path=str(large))
    last = await day.follow_to_the_end(started, wait_s=20)
    assert last.status["media_seconds"] == pytest.approx(24.7, abs=0.1)
    day.cost_at_most(calls=11, tokens=5_200)


async def test_a_page_gets_a_token_and_not_the_key(day: Day) -> None:
    answer = await day.call("create_token", expires_in=300, max_video_seconds=600)
    token = json.loads(answer.messages[0])
    assert token["expires_in"] == 300
    assert token["max_video_seconds"] == 600
    assert answer.status["next"].startswith("done")
    day.cost_at_most(calls=1, tokens=300)


async def test_a_segment_out_of_order_is_pushed_again_in_order(day: Day, videos: Path) -> None:
    started = await day.call("start_stream", include=[])
    stream_id = started.status["stream_id"]
    paths = [str(videos / f"live-{number}.mp4") for number in (1, 2)]
    early = await day.call("push_segment", stream_id=stream_id, path=paths[1], seq=2)
    assert early.error["expected_seq"] == 1
    for seq, path in enumerate(paths, 1):
        pushed = await day.call("push_segment", stream_id=stream_id, path=path, seq=seq)
        assert pushed.status["accepted"] is True
    ended = await day.call("end_stream", stream_id=stream_id)
    await day.follow_to_the_end(ended)
    assert day.kinds()[-1] == "session.ended"
    day.cost_at_most(calls=8, tokens=3_000)


# --- days that need a server, or a service, of their own ----------------------------------------


async def test_a_connection_lost_half_way_is_mended_and_the_lost_seconds_are_named(
    videos: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    script = Script.parse([{"at": "segment", "n": 3, "session": 1, "reset": True}])
    async with (
        serve(Options(script=script), ffmpeg=ffmpeg) as running,
        begin(environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(videos))) as day,
    ):
        started = await day.call("stream_file", path="interview.mp4")
        mended = await day.follow_to_the_end(started, wait_s=20)
        assert mended.status["state"] == "ended"
        assert mended.status["gaps"][0]["reason"] == "connection_lost"
        ((start, end),) = mended.status["lost"]["media_s"]  # what the agent tells its user
        assert start == 0 < end < 24.7
        assert day.kinds().count("session.ready") == 2
        again = await day.call("stream_file", path="interview.mp4")
        last = await day.follow_to_the_end(again, wait_s=20)
    assert last.status["state"] == "ended"
    assert "lost" not in last.status
    day.cost_at_most(calls=20, tokens=9_000)


@pytest.mark.skipif(not IS_LONG, reason="a session is renewed after a minute; IH_MCP_LONG_TESTS")
@pytest.mark.timeout(180)
async def test_a_long_recording_goes_over_two_sessions_without_a_gap(
    videos: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    long = tmp_path / "long.mp4"  # three times the dialogue
    loop = ["-stream_loop", "2", "-i", str(videos / "interview.mp4"), "-c", "copy", str(long)]
    await anyio.run_process([str(ffmpeg.path), "-v", "error", *loop])
    env = environment(tmp_path / "data", IH_MCP_MEDIA_DIRS=str(tmp_path))
    async with (
        serve(Options(max_session_seconds=60), ffmpeg=ffmpeg) as running,
        begin(env | {"IH_MCP_ENDPOINT": running.url}) as day,
    ):
        started = await day.call("stream_file", path="long.mp4", pace="realtime")
        last = await day.follow_to_the_end(started, wait_s=25)
    assert "lost" not in last.status
    (gap,) = last.status["gaps"]
    assert gap["reason"] == "rotated"
    assert day.kinds().count("session.ready") == day.kinds().count("session.ended") == 2
    second = day.messages[gap["cursor"] :]  # whose times begin at zero again
    assert second[0]["type"] == "session.ready"
    ends = [m["data"]["end"] for m in second if m["type"] == "signal.ended"]
    assert max(ends) + gap["media_offset_s"] == pytest.approx(3 * 24.7, abs=0.3)
    day.cost_at_most(calls=20, tokens=9_000)


async def test_no_answer_is_larger_than_a_host_takes(
    videos: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    long = json.dumps({"type": "demo.long", "data": {"rationale": "word " * 200}})
    script = Script.parse([{"at": "ready", "send": long, "times": 100}])
    async with (
        serve(Options(script=script), ffmpeg=ffmpeg) as running,
        begin(environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(videos))) as day,
    ):
        answer = await day.call("start_stream")
        day.messages += map(json.loads, answer.messages)
        await day.call("end_stream", stream_id=answer.status["stream_id"])
        while not answer.status["next"].startswith("done"):
            spent = day.tokens
            place = answer.status["next_cursor"]
            answer = await day.call(
                "poll_events", stream_id=answer.status["stream_id"], cursor=place
            )
            assert day.tokens - spent < HOST_MAX_TOKENS
            assert sum(map(len, answer.messages)) <= 20_000
            assert answer.status["next_cursor"] > place
            day.messages += map(json.loads, answer.messages)
    assert day.kinds().count("demo.long") == 100
    assert day.kinds()[-1] == "session.ended"
    day.cost_at_most(calls=10, tokens=30_000)


async def test_without_a_key_both_ways_out_are_told(videos: Path, tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        endpoint="production",
        INTERHUMAN_API_KEY="",
        IH_MCP_MEDIA_DIRS=str(videos),
    )
    async with begin(env) as day:
        refused = await day.call("stream_file", path="interview.mp4")
        assert "INTERHUMAN_API_KEY" in refused.text
        assert "local" in refused.text
    day.cost_at_most(calls=1, tokens=250)
    async with begin(local(videos, tmp_path, INTERHUMAN_API_KEY="")) as day:  # as it advises
        started = await day.call("stream_file", path="interview.mp4")
        assert "scripted" in json.dumps(started.status)
        await day.follow_to_the_end(started, wait_s=20)
    day.cost_at_most(calls=7, tokens=4_000)


async def test_a_limit_is_met_and_made_room_for(videos: Path, tmp_path: Path) -> None:
    async with begin(local(videos, tmp_path, IH_MCP_MAX_STREAMS="1")) as day:
        await day.call("start_stream")
        refused = await day.call("start_stream")
        assert refused.error["code"] == "too_many_streams"
        (live,) = refused.error["live"]
        assert "end_stream" in refused.text
        ended = await day.call("end_stream", stream_id=live)
        await day.follow_to_the_end(ended)
        again = await day.call("start_stream")
        assert again.status["state"] == "open"
    day.cost_at_most(calls=6, tokens=2_500)


async def test_a_finished_stream_is_read_after_a_restart(videos: Path, tmp_path: Path) -> None:
    env = local(videos, tmp_path)
    async with begin(env) as before:
        started = await before.call("stream_file", path="interview.mp4")
        await before.follow_to_the_end(started, wait_s=20)
    async with begin(env) as day:
        listed = await day.call("list_streams")
        (found,) = listed.status["streams"]
        answer = await day.call("poll_events", stream_id=found["stream_id"])
        day.messages += map(json.loads, answer.messages)
        await day.follow_to_the_end(answer)
    assert day.messages == before.messages
    day.cost_at_most(calls=3, tokens=4_000)


async def test_a_server_that_is_not_set_up_says_what_to_do(tmp_path: Path) -> None:
    async with begin(environment(tmp_path, IH_MCP_MEDIA_DIRS="")) as day:
        refused = await day.call("stream_file", path="/videos/talk.mp4")
        assert "IH_MCP_MEDIA_DIRS" in refused.text
        found = await day.call("check_setup")
        assert any("IH_MCP_MEDIA_DIRS" in step for step in found.status["fixes"])
    day.cost_at_most(calls=2, tokens=800)
