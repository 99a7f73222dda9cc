"""The sound of any file as samples."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.decode import Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.sound import sound

from .sample_files import SampleFolder


async def heard(path: Path, ffmpeg: Ffmpeg, hertz: int = 16_000) -> list[Sound]:
    async with aclosing(sound(path, ffmpeg=ffmpeg, hertz=hertz)) as pieces:
        return [piece async for piece in pieces]


@pytest.mark.parametrize("hertz", [16_000, 24_000])
async def test_samples_come_in_whole_seconds_at_the_rate_asked(
    hertz: int, base: Path, ffmpeg: Ffmpeg
) -> None:
    pieces = await heard(base, ffmpeg, hertz)
    assert [piece.start_seconds for piece in pieces] == [float(n) for n in range(len(pieces))]
    assert {len(piece.samples) for piece in pieces[:-1]} == {hertz * 2}
    total = sum(len(piece.samples) for piece in pieces) / 2 / hertz
    assert total == pytest.approx(12.0, abs=0.05)


@pytest.mark.parametrize("name", ["vp8", "transport", "two_audio_subtitles", "audio_only_mp3"])
async def test_any_file_with_sound_serves(name: str, sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    pieces = await heard(sample(name), ffmpeg)
    assert sum(len(piece.samples) for piece in pieces) / 32_000 == pytest.approx(12.0, abs=0.1)
    assert any(any(piece.samples) for piece in pieces)


async def test_a_small_file_serves_too(
    sample: SampleFolder, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """Samples are many times as large as what is written of little sound."""
    small = tmp_path / "small.mp3"
    small.write_bytes(sample("audio_only_mp3").read_bytes()[:8_000])
    pieces = await heard(small, ffmpeg)
    assert sum(len(piece.samples) for piece in pieces) / 32_000 == pytest.approx(1.0, abs=0.2)


async def test_late_sound_has_silence_before_it(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    pieces = await heard(sample("late_audio"), ffmpeg)
    assert not any(byte for piece in pieces[:4] for byte in piece.samples)
    assert any(pieces[5].samples)


async def test_a_file_without_sound_is_refused(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    with pytest.raises(MediaError) as caught:
        await heard(sample("no_audio"), ffmpeg)
    assert caught.value.code == "no_audio"


@pytest.mark.parametrize("name", ["sparse_sound", "sparse_sound_mp4"])
async def test_silence_that_a_file_only_claims_is_left_out_and_told(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    pieces = await heard(sample(name), ffmpeg)
    total = sum(len(piece.samples) for piece in pieces) / 32_000
    assert total == pytest.approx(20.0, abs=0.2)
    [jump] = [jump for piece in pieces for jump in piece.jumps]
    assert jump.at_seconds == pytest.approx(10.0, abs=0.1)
    assert jump.seconds == pytest.approx(80_000.0, abs=0.1)
    assert all(any(piece.samples) for piece in pieces)


async def test_a_shorter_silence_is_kept_since_the_position_tells_the_time(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    pieces = await heard(sample("silent_for_half_a_minute"), ffmpeg)
    assert sum(len(piece.samples) for piece in pieces) / 32_000 == pytest.approx(50.0, abs=0.2)
    assert not any(any(piece.samples) for piece in pieces[12:38])
    assert not any(piece.jumps for piece in pieces)


@pytest.mark.parametrize("name", ["torn", "torn_webm"])
async def test_sound_that_ends_early_is_told(
    name: str, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    pieces = list[Sound]()

    async def listen() -> None:
        async with aclosing(sound(sample(name), ffmpeg=ffmpeg)) as found:
            async for piece in found:
                pieces.append(piece)

    with pytest.raises(MediaError) as caught:
        await listen()
    assert caught.value.code == "ends_early"
    assert pieces[-1].end_seconds == pytest.approx(8.3, abs=0.3)
