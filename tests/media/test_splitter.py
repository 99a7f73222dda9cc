"""Files become segments; PyAV says whether they are right. All of them: `sample_files_all.py`."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import anyio
import imageio_ffmpeg
import pytest
from blockbuster import BlockBuster

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.media.splitter import FfmpegRun, SplitJob, split
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing

from . import oracle
from .checks import (
    DIALECTS,
    check_heads,
    check_limits,
    check_sample,
    check_times,
    cut,
    pictures,
    read_all,
)
from .oracle import digests
from .sample_files import SAMPLE_FILES, SampleFile, SampleFolder

SHORT = (
    "base",
    "audio_only",
    "late_audio",
    "long_audio",
    "slideshow",
    "open_gop",
    "transport",
    "av1",
    "vp8",
    "packed_b_in_avi",
    "variable_rate_in_milliseconds",
    "odd_size",
    "torn",
)
REAL = {
    "film-dialogue-6s.mp4": SampleFile("mp4", seconds=6.17),
    "talking-head-5s.mp4": SampleFile("mp4", seconds=4.88),
    "portrait-noaudio-22s.mp4": SampleFile("mp4", seconds=22.0, whole_of=12.0),
    "talking-head-longgop-6s.mp4": SampleFile("mp4", seconds=6.63),
    "talking-head-mpeg4-8s.mp4": SampleFile("mp4", seconds=8.0, encodes=frozenset({"video"})),
    "flower-vp8-vorbis-5s.webm": SampleFile("webm", seconds=5.01),
}
COPIED = (
    "film-dialogue-6s.mp4",
    "talking-head-5s.mp4",
    "portrait-noaudio-22s.mp4",
    "talking-head-longgop-6s.mp4",
)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", SHORT)
async def test_a_file_is_cut_right(
    name: str, framing: Framing, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    await check_sample(name, sample, ffmpeg, framing)


@pytest.mark.one_for_each("name", alike=[COPIED])
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("name", REAL)
async def test_a_real_clip_is_cut_right(
    name: str, framing: Framing, shared_media: Path, ffmpeg: Ffmpeg
) -> None:
    sample_file, path, dialect = REAL[name], (shared_media / name).resolve(), DIALECTS[framing]
    outcome = await cut(path, ffmpeg, dialect)
    assert outcome.error is None
    source, parts = oracle.read(path), read_all(outcome.segments, framing)
    pictures = [digest for part in parts for digest in digests(part.pictures)]
    if sample_file.encodes:
        assert len(pictures) == len(source.pictures)
    else:
        assert pictures == digests(source.pictures)
    assert [d for part in parts for d in digests(part.sound)] == digests(source.sound)
    check_times(outcome.segments, parts, sample_file, framing)
    check_limits(outcome.segments, dialect.limits, sample_file, framing)
    check_heads(outcome.segments, framing)


async def test_a_continued_stream_has_short_segments_from_one_long_gop(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("gop_whole"), ffmpeg, V2, target_seconds=2.0)
    assert [round(s.end_seconds - s.start_seconds, 1) for s in outcome.segments] == [2.0] * 6


async def test_a_rest_under_a_second_joins_where_no_minimum_is_declared(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("tail_11s"), ffmpeg, V2, target_seconds=2.1)
    lengths = [s.end_seconds - s.start_seconds for s in outcome.segments]
    assert min(lengths) >= 1.0
    assert abs(sum(lengths) - 11.07) < 0.1


async def test_splitting_can_begin_later_in_the_source(base: Path, ffmpeg: Ffmpeg) -> None:
    outcome = await cut(base, ffmpeg, V1, start_seconds=6.0)
    first, last = outcome.segments[0], outcome.segments[-1]
    assert first.headed
    assert abs(first.start_seconds - 6.0) < 0.1
    assert abs(last.end_seconds - 12.0) < 0.1
    late, all_of_it = read_all(outcome.segments, Framing.CONTINUED)[0], oracle.read(base)
    assert digests(late.pictures) == digests(all_of_it.pictures)[-len(late.pictures) :]


async def test_nothing_blocks_the_event_loop(base: Path, ffmpeg: Ffmpeg) -> None:
    guard = BlockBuster()
    guard.activate()
    try:
        outcome = await cut(base, ffmpeg)
    finally:
        guard.deactivate()
    assert len(outcome.segments) == 2


async def test_ffmpeg_is_gone_when_the_iteration_is_left_early(film: Path, ffmpeg: Ffmpeg) -> None:
    before = children()
    segments = split(  # a file that does not fit into a pipe: ffmpeg has to wait
        film, ffmpeg=ffmpeg, limits=V1.limits, framing=V1.framing, target_seconds=3.0
    )
    async with aclosing(segments):
        await anext(segments)
        assert children() - before
    assert not children() - before


async def test_ffmpeg_is_gone_when_the_consumer_is_cancelled(base: Path, ffmpeg: Ffmpeg) -> None:
    before = children()
    with anyio.CancelScope() as scope:
        segments = split(
            base, ffmpeg=ffmpeg, limits=V1.limits, framing=V1.framing, target_seconds=3.0
        )
        async with aclosing(segments):
            await anext(segments)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not children() - before


async def test_the_death_of_ffmpeg_is_one_clear_error(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    before = children()
    segments = split(
        sample("fat"), ffmpeg=ffmpeg, limits=V2.limits, framing=V2.framing, target_seconds=1.0
    )
    async with aclosing(segments):
        await anext(segments)
        (running,) = children() - before
        os.kill(int(running), signal.SIGKILL)
        with pytest.raises(MediaError) as caught:
            async for _ in segments:
                pass
    assert caught.value.code == "ffmpeg_failed"
    assert "-9" in str(caught.value)


WITHOUT = """#!/bin/sh
for word in "$@"; do case "$word" in {lacks})
    echo "Unknown encoder '$word'" >&2; exit 8 ;;
esac; done
exec {real} "$@"
"""


def lacking(lacks: str, folder: Path) -> Ffmpeg:
    """The wheel's ffmpeg as a build without some encoders."""
    path = folder / "ffmpeg"
    path.write_text(WITHOUT.format(lacks=lacks, real=imageio_ffmpeg.get_ffmpeg_exe()))
    path.chmod(0o700)
    return Ffmpeg(str(path), "9.0", "IH_MCP_FFMPEG")


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
async def test_a_build_without_libx264_encodes_with_another(
    sample: SampleFolder, tmp_path: Path
) -> None:
    outcome = await cut(sample("mjpeg"), lacking("libx264", tmp_path), target_seconds=3.0)
    assert outcome.error is None
    parts = read_all(outcome.segments, Framing.WHOLE)
    assert sum(len(part.pictures) for part in parts) == 150
    assert {part.codecs["video"] for part in parts} == {"h264"}
    gop = await cut(
        sample("gop_whole"),
        lacking("libx264", tmp_path),
        max_segment_seconds=5.0,
        target_seconds=3.0,
    )
    assert len(gop.segments) == 4


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
async def test_a_build_without_any_encoder_is_told(sample: SampleFolder, tmp_path: Path) -> None:
    outcome = await cut(sample("mjpeg"), lacking("libx264|libopenh264", tmp_path))
    assert (outcome.code, outcome.segments) == ("encoder_missing", [])


async def test_a_first_segment_may_be_taken_under_a_deadline(base: Path, ffmpeg: Ffmpeg) -> None:
    segments = split(base, ffmpeg=ffmpeg, limits=V1.limits, framing=V1.framing, target_seconds=3.0)
    async with aclosing(segments):
        with anyio.fail_after(5):
            first = await anext(segments)
        rest = [segment async for segment in segments]
    assert first.headed
    assert len(rest) == 3


async def test_a_file_without_media_for_the_limits_is_refused_before_a_segment(
    sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    outcome = await cut(sample("short_2s"), ffmpeg)
    assert (outcome.segments, outcome.code) == ([], "too_short")


async def test_an_error_names_what_helps(sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    outcome = await cut(sample("torn_index_last"), ffmpeg)
    assert isinstance(outcome.error, MediaError)
    assert "still being recorded" in outcome.error.help


def children() -> set[str]:
    """Processes this one has started and not reaped."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip(f"no list of children on {os.name}")
    return {pid for task in tasks.iterdir() for pid in _children_of(task)}


def _children_of(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # the thread ended while we looked
        return []


def test_the_short_list_is_of_sample_files() -> None:
    assert set(SHORT) <= {
        name for name, sample_file in SAMPLE_FILES.items() if sample_file.is_media
    }


def test_the_dialects_have_the_framings_that_are_checked() -> None:
    assert (V0.framing, V1.framing, V2.framing) == (
        Framing.WHOLE,
        Framing.CONTINUED,
        Framing.CONTINUED,
    )


@pytest.mark.one_for_each("longest_seconds")
@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
@pytest.mark.parametrize("longest_seconds", [3.3, 3.6, 4.3, 4.9, 5.2, 5.5])
async def test_what_bytes_allow_is_shared_out_so_that_no_rest_is_too_short(
    dialect: Dialect, longest_seconds: float, base: Path, ffmpeg: Ffmpeg
) -> None:
    """As of 77 Mbit/s on v1, whose segments take no more than three seconds and a half of it."""
    size = (await anyio.Path(base).stat()).st_size
    allowed = int(longest_seconds / 12 * size * 8 / 7)
    outcome = await cut(base, ffmpeg, dialect, max_segment_bytes=allowed)
    assert outcome.error is None
    lengths = [segment.end_seconds - segment.start_seconds for segment in outcome.segments]
    assert sum(lengths) == pytest.approx(12, abs=0.1)
    assert max(len(segment.data) for segment in outcome.segments) <= allowed


@pytest.mark.one_for_each("longest_seconds")
@pytest.mark.parametrize("dialect", [V0, V1], ids=lambda d: d.name)
@pytest.mark.parametrize("longest_seconds", [3.1, 3.6])
async def test_where_bytes_allow_no_shares_the_picture_is_encoded_from_the_beginning(
    dialect: Dialect, longest_seconds: float, sample: SampleFolder, ffmpeg: Ffmpeg
) -> None:
    """As of 85 Mbit/s on v1: whole seconds make three segments of 3 s and a rest of 2 s."""
    path = sample("tail_11s")
    allowed = int(longest_seconds / 11 * path.stat().st_size * 8 / 7)
    outcome = await cut(path, ffmpeg, dialect, target_seconds=3.0, max_segment_bytes=allowed)
    assert outcome.error is None
    assert sum(s.end_seconds - s.start_seconds for s in outcome.segments) == pytest.approx(
        11.07, abs=0.1
    )
    assert max(len(segment.data) for segment in outcome.segments) <= allowed
    sent = pictures(*read_all(outcome.segments, dialect.framing))
    assert len(sent) == len(oracle.read(path).pictures)


@pytest.mark.parametrize(
    ("duration", "start", "is_copy", "seconds", "size"),
    [
        (20.0, 0.0, True, 20.0, 1_000),
        (20.0, 15.0, True, 5.0, 250),
        (20.0, 15.0, False, 5.0, 0),  # what is encoded has bytes of its own
        (20.0, 21.0, True, 0.0, 0),
        (None, 15.0, True, 0.0, 0),  # not known
    ],
)
def test_what_is_left_of_a_source_counts_with_its_bytes_where_they_are_copied(
    duration: float | None, start: float, is_copy: bool, seconds: float, size: int
) -> None:
    limits = bounds(V1.limits, Framing.WHOLE, target_seconds=5.0)
    facts = Facts(container="mp4", duration_seconds=duration, video=None, audio=None)
    ffmpeg = cast("Any", None)  # nothing is started
    job = SplitJob(Path("a.mp4"), ffmpeg, facts, Framing.WHOLE, limits, 1_000)
    left = job._bounds(FfmpegRun(start), is_copy=is_copy)
    assert (left.total_seconds, left.total_bytes) == (seconds, size)
