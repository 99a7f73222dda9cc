"""A container stream as pictures and sound, however it was cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.decode import Decoder, Picture, Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.wire.dialects import V2

from . import oracle
from .checks import cut
from .sample_files import SampleFolder

ALL_PICTURES = 1_000.0  # per second: each has a place of its own on the grid


async def decoded(
    ffmpeg: Ffmpeg, pieces: Sequence[bytes], pictures_per_second: float = 5.0
) -> list[Picture | Sound]:
    items = list[Picture | Sound]()
    async with Decoder(ffmpeg, pictures_per_second=pictures_per_second) as decoder:

        async def feed() -> None:
            for piece in pieces:
                await decoder.feed(piece)
            await decoder.finish()

        async with anyio.create_task_group() as group:
            group.start_soon(feed)
            items = [item async for item in decoder]
    return items


def pictures(items: Sequence[Picture | Sound]) -> list[Picture]:
    return [item for item in items if isinstance(item, Picture)]


def sounds(items: Sequence[Picture | Sound]) -> list[Sound]:
    return [item for item in items if isinstance(item, Sound)]


@pytest.mark.parametrize("name", ["fragmented", "mkv", "transport", "av1"])
async def test_a_stream_gives_pictures_and_sound_in_order(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    if name == "av1":
        data = b"".join(s.data for s in (await cut(sample(name), ffmpeg, V2)).segments)
    else:
        data = await anyio.Path(sample(name)).read_bytes()
    items = await decoded(ffmpeg, [data])
    assert len(pictures(items)) == pytest.approx(60, abs=1)
    assert {(p.width, p.height, len(p.gray)) for p in pictures(items)} == {(64, 48, 64 * 48)}
    assert {sound.hertz for sound in sounds(items)} == {16_000}
    heard = sum(len(sound.samples) for sound in sounds(items)) / 2 / 16_000
    assert heard == pytest.approx(12.0, abs=0.1)
    for kind in (pictures(items), sounds(items)):
        times = [
            item.time_seconds if isinstance(item, Picture) else item.start_seconds for item in kind
        ]
        assert times == sorted(times)


@pytest.mark.parametrize("name", ["fragmented", "vp8", "transport"])
async def test_the_same_bytes_give_the_same_items_however_they_were_cut(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    data = await anyio.Path(sample(name)).read_bytes()
    chance = random.Random(3)  # noqa: S311 - no secret
    pieces, at = list[bytes](), 0
    while at < len(data):
        size = chance.choice([1, 7, 900, 5_000, 70_000])
        pieces.append(data[at : at + size])
        at += size
    assert await decoded(ffmpeg, pieces) == await decoded(ffmpeg, [data])


async def test_sound_alone_and_pictures_alone_are_decoded(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    alone = await decoded(ffmpeg, [await anyio.Path(sample("audio_only_webm")).read_bytes()])
    assert pictures(alone) == []
    assert sounds(alone)
    silent = (await cut(sample("no_audio"), ffmpeg, V2)).segments
    items = await decoded(ffmpeg, [segment.data for segment in silent])
    assert sounds(items) == []
    assert pictures(items)


async def test_pictures_come_while_the_stream_goes_on(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    segments = (await cut(sample("base"), ffmpeg, V2)).segments
    async with Decoder(ffmpeg, pictures_per_second=5.0) as decoder:
        await decoder.feed(segments[0].data)
        with anyio.fail_after(10):  # nothing more is fed before most of three seconds came
            async for item in decoder:
                if isinstance(item, Picture) and item.time_seconds >= 2.0:
                    break


async def test_what_is_not_media_is_an_error_with_the_reason(ffmpeg: Ffmpeg) -> None:
    async with Decoder(ffmpeg) as decoder:
        await decoder.feed(b"this is not media, just some words. " * 200)
        await decoder.finish()
        with pytest.raises(MediaError) as caught:
            async for _ in decoder:
                pass
    assert caught.value.code in {"not_media", "format_not_allowed"}


async def test_a_stream_that_is_cut_off_gives_what_came(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    data = await anyio.Path(sample("vp8")).read_bytes()
    items = await decoded(ffmpeg, [data[: len(data) // 2]])
    assert 3.0 < pictures(items)[-1].time_seconds < 9.0


@pytest.mark.parametrize(
    "folder", ["chromium-vp8-250ms", "chromium-mp4-1s", "firefox-vp8-1s", "chromium-vp8-noaudio-3s"]
)
async def test_no_picture_of_a_recording_is_lost(
    folder: str, recordings: Path, ffmpeg: Ffmpeg
) -> None:
    data = b"".join(path.read_bytes() for path in sorted((recordings / folder).glob("chunk-*")))
    items = await decoded(ffmpeg, [data], ALL_PICTURES)
    assert len(pictures(items)) == oracle.count_pictures(data)
