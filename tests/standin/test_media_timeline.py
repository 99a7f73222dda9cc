"""Real recordings of browsers through the real decoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.media_timeline import MediaTimeline
from ih_mcp.standin.analysis.placeholder import Placeholder
from ih_mcp.standin.credential_store import Grant
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder
from ih_mcp.standin.server.app import create_app
from ih_mcp.standin.server.state import StandinState
from ih_mcp.standin.sessions.envelope_session import EnvelopeSession
from ih_mcp.standin.sessions.server_session import SessionRequest
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.rest import STREAM_SCOPE
from tests.memory_socket import socket_pair

from .fakes import Json, MemoryClientSocket, open_toy, toy


async def told(segments: Sequence[bytes], ffmpeg: Ffmpeg) -> list[tuple[str, Json]]:
    """The messages of a session with these segments, without times and ids."""
    state: StandinState = create_app(ffmpeg=ffmpeg).state.standin
    ours, theirs = socket_pair(room=10_000)
    recorder = Recorder()
    service = EnvelopeSession(
        MemoryClientSocket(theirs),
        SessionRequest(dialect=V1, grant=Grant(scopes=frozenset({STREAM_SCOPE}))),
        options=Options(),
        record=recorder.begin(V1.path, "c", {}),
        recorder=recorder,
        open_decoder=state.open_decoder,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.run)
        for segment in segments:
            await ours.send_segment(segment)
        await ours.send_text('{"type":"session.close"}')
        with anyio.fail_after(20):
            await recorder.sessions[0].over.wait()
    frames = [json.loads(text) for text in recorder.sessions[0].texts]
    return [(f["type"], f["data"]) for f in frames if not f["type"].startswith("session.")]


def pieces(media: bytes, size: int) -> list[bytes]:
    return [media[at : at + size] for at in range(0, len(media), size)]


async def test_the_same_media_give_the_same_events_however_they_were_cut(
    continued: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    media = b"".join(continued)
    whole = await told([media], ffmpeg)
    assert len(whole) > 5
    assert await told(continued, ffmpeg) == whole
    assert await told(pieces(media, 60_001), ffmpeg) == whole


@pytest.mark.one_for_each(
    "recording",
    alike=[("chromium-vp8-250ms", "chromium-vp8-3s"), ("chromium-mp4-1s", "chromium-mp4-3s")],
)
@pytest.mark.parametrize(
    "recording",
    [
        "chromium-vp8-250ms",
        "chromium-vp8-3s",
        "chromium-vp8-noaudio-3s",
        "chromium-vp9-3s",
        "chromium-h264-3s",
        "chromium-mp4-3s",
        "chromium-mp4-1s",
        "firefox-vp8-1s",
    ],
)
async def test_recorder_chunks_are_one_line_of_media(
    recording: str, shared_media: Path, ffmpeg: Ffmpeg
) -> None:
    folder = anyio.Path(shared_media / "mediarecorder" / recording)
    chunks = [await p.read_bytes() for p in sorted([p async for p in folder.glob("chunk-*")])]
    messages = await told(chunks, ffmpeg)
    kinds = [kind for kind, _ in messages]
    assert "error" not in kinds
    assert "coverage.dropped" not in kinds
    assert "engagement.updated" in kinds


async def test_a_broken_clip_is_refused_and_the_next_one_decoded(
    continued: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    broken = b"\x1a\x45\xdf\xa3" + bytes(5000)
    messages = await told([broken, *continued], ffmpeg)
    errors = [data for kind, data in messages if kind == "error"]
    assert [(e["code"], e["segment"]) for e in errors] == [("ih5004", 1)]
    assert "engagement.updated" in [kind for kind, _ in messages]


async def test_items_carry_the_time_of_the_session() -> None:
    items: list[Picture | Sound] = []

    async def take(item: Picture | Sound) -> None:
        items.append(item)

    async with anyio.create_task_group() as tasks:
        line = MediaTimeline(open_toy, Placeholder().describe().senses, tasks, take)
        await line.feed(toy(0, 2), segment=1)
        await line.feed(toy(0, 2), segment=2)
        assert await line.finish() is None
    sounds = [item.start_seconds for item in items if isinstance(item, Sound)]
    assert sounds == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    assert line.end_seconds == 4.0


async def test_a_silent_recording_waits_two_seconds_for_sound() -> None:
    async with anyio.create_task_group() as tasks:
        line = MediaTimeline(open_toy, Placeholder().describe().senses, tasks, _ignore)
        await line.feed(toy(0, 20, sound=False), segment=1)
        await anyio.wait_all_tasks_blocked()
        assert line.reached_seconds == pytest.approx(17.54)
        await line.finish()
    assert line.reached_seconds == line.end_seconds == pytest.approx(19.54)


async def _ignore(_: Picture | Sound) -> None:
    pass
