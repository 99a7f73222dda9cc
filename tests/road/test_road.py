"""The whole road: files and live chunks, through the real server to a real stand-in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.decode import Decoder, Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import split
from ih_mcp.standin.server.serve import RunningStandin
from ih_mcp.wire.dialects import V1
from tests.facts import shows

from .conftest import StartStandin
from .host import ERAS, Host, environment, open_host


@asynccontextmanager
async def joined(
    standin: StartStandin, tmp_path: Path, folder: Path, *steps: object, era: str = ERAS[1]
) -> AsyncIterator[tuple[Host, RunningStandin]]:
    async with standin(*steps) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(folder))
        async with open_host(env, era) as host:
            yield host, running


async def decoded_seconds(ffmpeg: Ffmpeg, joined: bytes) -> float:
    """How much sound there is in the segments, joined."""
    heard = 0.0
    async with Decoder(ffmpeg) as decoder, anyio.create_task_group() as tasks:

        async def feed() -> None:
            await decoder.feed(joined)
            await decoder.finish()

        tasks.start_soon(feed)
        async for item in decoder:
            if isinstance(item, Sound):
                heard = max(heard, item.end_seconds)
    return heard


@pytest.fixture
async def long_gop(ffmpeg: Ffmpeg, tmp_path: Path) -> Path:
    """A clip whose key frames are further apart than segments are long."""
    made = tmp_path / "long-gop.mp4"
    await anyio.run_process(
        [ffmpeg.path, "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=14",
         "-f", "lavfi", "-i", "sine=300:r=48000:d=14", "-c:v", "libx264", "-g", "1000",
         "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-c:a", "aac", str(made)]
    )  # fmt: skip
    return made


@pytest.mark.parametrize("era", ERAS)
async def test_a_file_goes_all_the_way_and_its_seconds_add_up(
    era: str, standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with joined(standin, tmp_path, dialogue.parent, era=era) as (host, running):
        started = await host.call("stream_file", path=str(dialogue))
        messages, last = await host.read_all(started.status["stream_id"])
        (session,) = running.recorder.sessions
    kinds = [json.loads(message)["type"] for message in messages]
    assert (kinds[0], kinds[-1]) == ("session.ready", "session.ended")
    assert last.status["reason"] == "end_of_file"
    assert last.status["segments"] == {"completed": len(session.segments)}
    assert last.status["media_seconds"] == pytest.approx(24.7, abs=0.1)
    assert session.billed.seconds == pytest.approx(last.status["media_seconds"], abs=0.5)
    assert (session.end, session.close_code) == ("session.ended", 1000)
    assert session.headers["x-client-request-id"]


@shows("continued-segments")
async def test_a_group_of_pictures_longer_than_a_segment_is_cut_all_the_same(
    standin: StartStandin, long_gop: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    async with joined(standin, tmp_path, long_gop.parent) as (host, running):
        started = await host.call("stream_file", path=str(long_gop))
        _, last = await host.read_all(started.status["stream_id"])
        (session,) = running.recorder.sessions
        cut = split(
            long_gop,
            ffmpeg=ffmpeg,
            limits=replace(V1.limits, min_segment_seconds=None),  # none is declared
            framing=V1.framing,
            target_seconds=V1.target_segment_seconds,
        )
        pieces = [segment.data async for segment in cut]
    sent = [digest for _, digest in session.segments]
    assert sent == [hashlib.sha256(piece).hexdigest() for piece in pieces]
    assert len(sent) >= 4
    assert await decoded_seconds(ffmpeg, b"".join(pieces)) == pytest.approx(14, abs=0.1)
    assert last.status["media_seconds"] == pytest.approx(14, abs=0.1)
    assert session.billed.seconds == pytest.approx(14, abs=0.5)


async def test_a_file_without_sound_is_taken_where_the_version_allows_it_and_said(
    standin: StartStandin, ffmpeg: Ffmpeg, dialogue: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.mp4"
    await anyio.run_process(
        [
            *(ffmpeg.path, "-v", "error", "-i", str(dialogue)),
            *("-an", "-c", "copy", "-t", "9", str(silent)),
        ]
    )
    async with joined(standin, tmp_path, tmp_path) as (host, _):
        taken = await host.call("stream_file", path=str(silent), pace="fast")
        _, last = await host.read_all(taken.status["stream_id"])
        refused = await host.call("stream_file", path=str(silent), api="v2")
    assert taken.status["notes"][-1] == "The file has no sound."
    assert last.status["state"] == "ended"
    assert refused.error["code"] == "no_audio"


async def test_pushed_chunks_arrive_as_they_are_in_order_and_a_repeated_seq_sends_nothing(
    standin: StartStandin, shared_media: Path, tmp_path: Path
) -> None:
    chunks = sorted((shared_media / "mediarecorder" / "chromium-vp8-keyint3s-3s").glob("chunk-*"))
    async with joined(standin, tmp_path, shared_media) as (host, running):
        started = await host.call("start_stream", label="call", include=[])
        assert json.loads(started.messages[0])["type"] == "session.ready"
        stream_id = started.status["stream_id"]
        async with anyio.create_task_group() as tasks:

            async def push(number: int, chunk: Path) -> None:
                answer = await host.call(
                    "push_segment", stream_id=stream_id, path=str(chunk), seq=number
                )
                assert answer.status["accepted"] is True, answer.text

            for number, chunk in reversed(list(enumerate(chunks, 1))):  # the wrong order
                tasks.start_soon(push, number, chunk)
        again = await host.call("push_segment", stream_id=stream_id, path=str(chunks[0]), seq=1)
        assert again.status["duplicate"] is True
        assert again.status["kept"] is True
        assert again.status["next_seq"] == len(chunks) + 1
        await host.call("end_stream", stream_id=stream_id)
        _, last = await host.read_all(stream_id)
        (session,) = running.recorder.sessions
    assert session.segments == [
        (len(data), hashlib.sha256(data).hexdigest())
        for data in (chunk.read_bytes() for chunk in chunks)
    ]
    assert last.status["state"] == "ended"


async def test_a_gap_in_seq_is_refused_with_the_number_that_is_next(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with joined(standin, tmp_path, dialogue.parent) as (host, _):
        started = await host.call("start_stream")
        answer = await host.call(
            "push_segment", stream_id=started.status["stream_id"], data_base64="AAAA", seq=3
        )
    assert answer.error["code"] == "seq_gap"
    assert answer.error["expected_seq"] == 1


@shows("config-replaces")
async def test_configuration_is_confirmed_and_replaced(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with joined(standin, tmp_path, dialogue.parent) as (host, running):
        started = await host.call("start_stream", include=["conversation_quality_overall"])
        stream_id = started.status["stream_id"]
        answer = await host.call("configure_stream", stream_id=stream_id, include=[])
        assert answer.status["confirmed"] is True
        await host.call("end_stream", stream_id=stream_id)
        (session,) = running.recorder.sessions
    assert [json.loads(text) for text in session.received] == [
        {"include": ["conversation_quality_overall"]},
        {"include": []},
        {"type": "session.close"},
    ]


async def test_a_waiting_poll_wakes_on_the_first_message(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with joined(standin, tmp_path, dialogue.parent) as (host, _):
        started = await host.call("start_stream")
        stream_id = started.status["stream_id"]
        answers: list[object] = []
        async with anyio.create_task_group() as tasks:

            async def poll() -> None:
                answer = await host.call("poll_events", stream_id=stream_id, cursor=1, wait_s=25)
                answers.extend(json.loads(m)["type"] for m in answer.messages)

            tasks.start_soon(poll)
            await host.call("configure_stream", stream_id=stream_id, include=[])
    assert answers == ["session.updated"]


async def test_a_refused_session_says_why_in_the_services_words(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    refusal = {"at": "open", "error": "ih2003", "close": 4003}
    async with joined(standin, tmp_path, dialogue.parent, refusal) as (host, _):
        answer = await host.call("start_stream")
        listed = await host.call("list_streams")
    assert answer.error["server_code"] == "ih2003"
    assert answer.error["close_code"] == 4003
    assert listed.status["streams"][0]["state"] == "failed"


async def test_a_finished_stream_is_read_and_listed_after_a_restart(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with standin() as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        async with open_host(env) as host:
            started = await host.call("stream_file", path=str(dialogue), pace="fast")
            stream_id = started.status["stream_id"]
            first, _ = await host.read_all(stream_id)
        async with open_host(env) as host:
            again, last = await host.read_all(stream_id)
            listed = await host.call("list_streams", stream_id=stream_id)
            ended = await host.call("end_stream", stream_id=stream_id)
    assert again == first
    assert last.status["state"] == listed.status["state"] == "ended"
    assert ended.status["notes"][-1] == "it was over before"


async def test_a_long_poll_reports_that_it_goes_on(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    reports: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        reports.append((progress, message))

    async with joined(standin, tmp_path, dialogue.parent) as (host, _):
        started = await host.call("start_stream")
        await host.client.call_tool(
            "poll_events",
            {"stream_id": started.status["stream_id"], "cursor": 1, "wait_s": 6},
            progress_callback=on_progress,
        )
    assert reports == [(5.0, "open: 0 s of media, 1 message from the stand-in")]
