"""The sound of any file as samples."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import ClockJump
from ih_mcp.media.ffmpeg import commands
from ih_mcp.media.ffmpeg.decode import Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.sound import SoundPieces, sound
from ih_mcp.media.segment_bounds import Bounds, bounds
from ih_mcp.wire.dialects import V2

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


def cut(size: int, limits: Bounds, *, hertz: int = 1_000) -> tuple[list[Sound], str]:
    """The pieces of so many bytes, and the code of the error that followed."""
    pieces, made = SoundPieces(hertz, limits, []), list[Sound]()
    for at in range(0, size, 1_000):
        made += pieces.feed(bytes(min(1_000, size - at)))
    try:
        for piece in pieces.finish():
            made.append(piece)
    except MediaError as error:
        return made, error.code
    return made, ""


@given(
    samples=st.integers(1, 20_000),
    target=st.floats(0.5, 5.0),
    shortest=st.none() | st.floats(0.5, 1.7),
    longest=st.none() | st.floats(4.0, 8.0),
    least=st.integers(1, 3_400),
    most=st.none() | st.integers(8_000, 20_000),
)
def test_pieces_are_within_what_the_session_takes(
    samples: int,
    target: float,
    shortest: float | None,
    longest: float | None,
    least: int,
    most: int | None,
) -> None:
    limits = replace(
        V2.limits,
        min_segment_seconds=shortest,
        max_segment_seconds=longest,
        min_segment_bytes=least,
        max_segment_bytes=most or V2.limits.max_segment_bytes,
    )
    limited = bounds(limits, V2.framing, target_seconds=target)
    pieces, code = cut(2 * samples, limited)
    total = sum(len(piece.samples) for piece in pieces)
    for piece in pieces:
        seconds = piece.end_seconds - piece.start_seconds
        assert least <= len(piece.samples) <= limits.max_segment_bytes
        assert (shortest or 0.0) - 1e-9 <= seconds <= (longest or 1e9) + 1e-9
    can_be_cut = 2 * samples >= least and samples / 1_000 >= (shortest or 0.0)
    assert (code == "") == can_be_cut
    assert total == 2 * samples or (not can_be_cut and not pieces)


async def test_sound_that_is_too_short_for_a_session_is_told(base: Path, ffmpeg: Ffmpeg) -> None:
    limits = replace(V2.limits, min_segment_seconds=20.0)
    with pytest.raises(MediaError) as caught:
        async with aclosing(sound(base, ffmpeg=ffmpeg, limits=limits)) as pieces:
            [_ async for _ in pieces]
    assert caught.value.code == "too_short"


def test_what_is_left_and_fits_nowhere_is_told() -> None:
    limits = replace(V2.limits, min_segment_seconds=4.0, max_segment_seconds=4.5)
    pieces, code = cut(2 * 5_000, bounds(limits, V2.framing, target_seconds=3.0))
    assert [piece.end_seconds for piece in pieces] == [4.5]
    assert code == "too_short"


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [(8.0, [4.0, 8.0]), (9.0, [4.5, 9.0]), (10.0, [6.0, 10.0]), (6.0, [6.0])],
)
def test_what_is_left_is_two_pieces_where_it_is_too_long_for_one(
    seconds: float, ends: list[float]
) -> None:
    limits = replace(V2.limits, min_segment_seconds=4.0, max_segment_seconds=6.0)
    pieces, code = cut(int(2_000 * seconds), bounds(limits, V2.framing, target_seconds=6.0))
    assert ([piece.end_seconds for piece in pieces], code) == (ends, "")


def test_a_jump_is_told_with_the_piece_that_is_behind_it() -> None:
    jumps = [ClockJump(at, 1.0) for at in (0.0, 1.0, 2.0, 4.0, 5.9)]
    made = SoundPieces(1_000, bounds(V2.limits, V2.framing, target_seconds=2.0), jumps)
    pieces = [*made.feed(bytes(2_000 * 6)), *made.finish()]
    told = [[jump.at_seconds for jump in piece.jumps] for piece in pieces]
    assert told == [[0.0, 1.0], [2.0], [4.0, 5.9]]


async def test_sound_that_ffmpeg_breaks_off_is_an_error(
    base: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.stdout.write(64_000 * 'x'); sys.exit('Invalid data found')"
    command = [sys.executable, "-I", "-c", script]
    monkeypatch.setattr(commands, "sound", lambda *_, **__: command)
    with pytest.raises(MediaError) as broken:
        await heard(base, ffmpeg)
    assert broken.value.code == "not_media"
