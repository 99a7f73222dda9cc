"""Real clips: what is found, and what is never said (study, section 7, levels 3 and 4)."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.decode import Decoder, Picture, Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.cues import NEVER
from tests.conftest import REPOSITORY
from tests.reliability.budget import often

from . import long
from .session import Told, engine, observed, signals

pytestmark = pytest.mark.timeout(90)
_AGAIN = ["-c:v", "mpeg4", "-q:v", "4", "-c:a", "libopus"]  # the quickest to encode
HEADS = (
    "talking-head-5s.mp4",
    pytest.param("talking-head-longgop-6s.mp4", marks=long),
    "talking-head-mpeg4-8s.mp4",
)


async def decoded(ffmpeg: Ffmpeg, clip: Path, *filters: str) -> list[Picture | Sound]:
    """As a session has it; `filters` make another recording of the clip.

    In Matroska, since an MP4 with its index behind cannot be read from a pipe.
    """
    command = [ffmpeg.path, "-v", "error", "-i", str(clip)]
    if filters and not {"-c", "-c:v"} & {*filters}:
        command += _AGAIN
    command += filters or ["-c", "copy"]
    command += ["-f", "matroska", "-"]
    stream = (await anyio.run_process(command)).stdout
    items: list[Picture | Sound] = []
    decoder = Decoder(
        ffmpeg, pictures_per_second=15, picture_width=640, picture_height=480, keeps_aspect=True
    )
    async with decoder, anyio.create_task_group() as tasks:

        async def feed() -> None:
            await decoder.feed(stream)
            await decoder.finish()

        tasks.start_soon(feed)
        async for item in decoder:
            items.append(item)  # noqa: PERF401 - fed by another task
    return items


def shares(told: list[Told]) -> list[tuple[str, str]]:
    return sorted((name, probability) for item in told for name, probability in item.names.items())


@pytest.mark.parametrize("name", HEADS)
async def test_who_talks_to_the_camera_is_seen_and_heard(
    name: str, ffmpeg: Ffmpeg, shared_media: Path
) -> None:
    by = engine()
    items = await decoded(ffmpeg, shared_media / name)
    told = observed(items, by)
    assert told
    measures = by.measure(told[0].window)
    assert measures.head is not None
    assert measures.voice is not None
    assert measures.head.found_share >= 0.9
    assert measures.voice.speech_share > 0.5
    found = signals(told)
    assert found.keys() <= {"engagement", "hesitation"}  # no nod or shake of one who talks
    assert {probability for _, probability in found.get("hesitation", [])} <= {"low"}


async def test_a_clip_without_sound_gives_no_voice_cue_and_says_so(
    ffmpeg: Ffmpeg, shared_media: Path
) -> None:
    by = engine()
    clip = shared_media / "portrait-noaudio-22s.mp4"
    told = observed(await decoded(ffmpeg, clip, "-t", often("11", nightly="22"), "-c", "copy"), by)
    assert len(told) > 1
    assert by.measure(told[0].window).no_voice == "no sound"
    assert signals(told) == {}
    assert {item.engagement for item in told} == {"neutral"}


async def test_a_flower_is_nobody(ffmpeg: Ffmpeg, shared_media: Path) -> None:
    told = observed(await decoded(ffmpeg, shared_media / "flower-vp8-vorbis-5s.webm"), engine())
    assert [(item.signals, item.engagement) for item in told] == [((), None)]


async def test_a_film_dialogue_gives_no_gesture_and_what_the_quick_start_asks_for(
    ffmpeg: Ffmpeg, dialogue: Path
) -> None:
    told = observed(await decoded(ffmpeg, dialogue), engine())
    page = (REPOSITORY / "docs" / "quick-start.md").read_text(encoding="utf-8")
    asked = re.findall(r"When does somebody show (\w+),", page)
    (answered,) = re.findall(r"answer: from second (\d+) to (\d+),", page)
    windows = [item.window for item in told if asked[0] in item.names]
    assert (windows[0].start_seconds, windows[-1].end_seconds) == tuple(map(float, answered))
    found = signals(told)
    assert not found.keys() & {*NEVER, "agreement", "disagreement", "disengagement", "uncertainty"}


_VP8 = (
    *("-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-cpu-used", "8"),
    *("-c:a", "libopus"),
)
CHANGES = {
    "1.5 Mbit/s": (*_VP8, "-b:v", "1500k", "-b:a", "64k"),
    "150 kbit/s": (*_VP8, "-b:v", "150k", "-b:a", "16k"),
    "twice the size": ("-vf", "scale=iw*2:-2"),
    "mirrored": ("-vf", "hflip"),
    "half the size": ("-vf", "scale=iw/2:-2"),
    "ten pictures a second": ("-r", "10"),
    "blurred and noisy": ("-vf", "scale=iw/2:-2,scale=iw*2:-2,noise=alls=8"),
    "quieter": ("-af", "volume=-14dB"),
    "darker": ("-vf", "eq=brightness=-0.12"),
}


_ALL_AT_ONCE = ("-vf", "hflip,scale=iw/2:-2,eq=brightness=-0.12", "-af", "volume=-14dB", "-r", "15")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((*_ALL_AT_ONCE, *CHANGES["150 kbit/s"]), id="all at once"),
        *(pytest.param(change, marks=long, id=name) for name, change in CHANGES.items()),
    ],
)
async def test_how_it_was_recorded_changes_no_signal(
    change: tuple[str, ...], ffmpeg: Ffmpeg, shared_media: Path
) -> None:
    clip = shared_media / "talking-head-mpeg4-8s.mp4"
    plain = shares(observed(await decoded(ffmpeg, clip), engine()))
    assert shares(observed(await decoded(ffmpeg, clip, *change), engine())) == plain
