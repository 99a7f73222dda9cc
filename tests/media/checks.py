"""What has to hold for the segments of any file; PyAV judges."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import is_headed
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.recipes import RAW_PICTURES
from ih_mcp.media.splitter import Segment, split
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing, Limits
from tests.reliability.budget import often

from . import oracle
from .oracle import Media, digests
from .sample_files import SAMPLE_FILES, SampleFile, SampleFolder

DIALECTS = {Framing.WHOLE: V0, Framing.CONTINUED: V1}
FRAME_SECONDS = 0.1  # the slowest file shows ten pictures a second
MAX_SHIFT_SECONDS = 0.02
ROUNDED_SECONDS = 0.0015  # clocks of some containers count milliseconds


@dataclass(slots=True)
class Outcome:
    segments: list[Segment] = field(default_factory=list)
    error: MediaError | None = None

    @property
    def code(self) -> str:
        return self.error.code if self.error else ""


async def cut(
    path: Path,
    ffmpeg: Ffmpeg,
    dialect: Dialect = V0,
    *,
    target_seconds: float | None = None,
    start_seconds: float = 0.0,
    **limits: float | None,
) -> Outcome:
    """All segments of a file, and the error that followed them."""
    outcome = Outcome()
    segments = split(
        path,
        ffmpeg=ffmpeg,
        limits=limited(dialect, **limits),
        framing=dialect.framing,
        target_seconds=target_seconds or dialect.target_segment_seconds,
        start_seconds=start_seconds,
    )
    try:
        async with aclosing(segments):
            async for segment in segments:
                outcome.segments.append(segment)
    except MediaError as error:
        outcome.error = error
    return outcome


def limited(dialect: Dialect, **limits: float | None) -> Limits:
    return replace(dialect.limits, **limits)  # type: ignore[arg-type]  # names are checked there


def read_all(segments: Sequence[Segment], framing: Framing) -> list[Media]:
    """Whole segments one by one, a continued stream joined."""
    if framing is Framing.WHOLE:
        return [oracle.read(segment.data) for segment in segments]
    return [oracle.read(b"".join(segment.data for segment in segments))]


async def check_sample(name: str, sample: SampleFolder, ffmpeg: Ffmpeg, framing: Framing) -> None:
    """Everything the issue asks of one file and one framing."""
    sample_file, path, dialect = SAMPLE_FILES[name], sample(name), DIALECTS[framing]
    outcome = await cut(path, ffmpeg, dialect)
    assert outcome.code == sample_file.ends
    if outcome.segments:
        source = oracle.read(path)
        parts = read_all(outcome.segments, framing)
        check_media(source, parts, sample_file)
        check_times(outcome.segments, parts, sample_file, framing)
        if (
            "video" in sample_file.encodes and path.suffix[1:] not in RAW_PICTURES
        ):  # those have no times
            check_picture_times(source, outcome.segments, parts)
        check_limits(outcome.segments, dialect.limits, sample_file, framing)
        check_heads(outcome.segments, framing)


def joined(segments: Sequence[Segment]) -> bytes:
    return b"".join(segment.data for segment in segments)


def begun_anew(segments: Sequence[Segment]) -> bytes:
    """What an API session gets that begins with the first of them."""
    origin = segments[0].first_seconds
    return b"".join(
        segment.rebased(origin, headed=index == 0) for index, segment in enumerate(segments)
    )


def pictures(*parts: Media) -> list[bytes]:
    return [digest for part in parts for digest in digests(part.pictures)]


def sound(*parts: Media) -> list[bytes]:
    return [digest for part in parts for digest in digests(part.sound)]


async def check_begun_anew(name: str, sample: SampleFolder, ffmpeg: Ffmpeg) -> None:
    """At key segments a stream ends and another begins, and nothing is lost or twice.

    Where there are many, one in the middle and the last are looked at; at night the second too.
    """
    segments = (await cut(sample(name), ffmpeg, V2, target_seconds=1.0)).segments
    whole = oracle.read(joined(segments))
    keys = [index for index, segment in enumerate(segments) if segment.is_key]
    assert keys[0] == 0
    second = often(0, nightly=keys[1 % len(keys)])
    for index in sorted({0, second, keys[len(keys) // 2], keys[-1]}):
        later = oracle.read(begun_anew(segments[index:]))
        before = [oracle.read(joined(segments[:index]))] if index else []
        lost = len(whole.pictures) - len(pictures(*before, later))
        assert 0 <= lost <= (4 if segments[index].has_leading else 0)
        assert pictures(*before, later) == pictures(whole) or lost
        assert sound(*before, later) == sound(whole)
        assert lost or SAMPLE_FILES[name].is_damaged or not later.errors
        assert abs(later.start) <= 0.03
        assert oracle.shift_seconds(whole, [later]) <= MAX_SHIFT_SECONDS
        lasts = segments[-1].end_seconds - segments[index].first_seconds
        assert abs(later.end - lasts) <= SAMPLE_FILES[name].slack_seconds + FRAME_SECONDS


def check_media(source: Media, parts: Sequence[Media], sample_file: SampleFile) -> None:
    """Copied tracks are the same, byte for byte and in order; of others nothing is missing."""
    pictures = [digest for part in parts for digest in digests(part.pictures)]
    sound = [digest for part in parts for digest in digests(part.sound)]
    encodes = sample_file.encodes | sample_file.hides
    if "video" in encodes:
        assert len(pictures) == len(source.pictures)
        assert all(part.codecs["video"] == "h264" for part in parts)
        assert all(part.pixel_format == "yuv420p" for part in parts)
        assert all(part.width % 2 == part.height % 2 == 0 for part in parts)
    elif not sample_file.is_damaged:
        assert pictures == digests(source.pictures)
    if "audio" in encodes:
        assert all(part.codecs["audio"] == "aac" for part in parts)
        heard = sum(part.sound[-1].time - part.sound[0].time for part in parts)
        shown = [item.time for item in source.sound if not item.is_hidden]
        wanted = shown[-1] - shown[0]
        assert abs(heard - wanted) < 0.1 * (len(parts) + 1)  # packets are longer in some codecs
    else:
        assert sound == digests(source.sound)
    assert sample_file.is_damaged or not any(part.errors for part in parts)
    assert oracle.shift_seconds(source, parts) <= MAX_SHIFT_SECONDS


def check_times(
    segments: Sequence[Segment], parts: Sequence[Media], sample_file: SampleFile, framing: Framing
) -> None:
    """Segments join without a gap, add up to the whole, and declare what they are."""
    for before, after in pairwise(segments):
        assert abs(before.end_seconds - after.start_seconds) <= FRAME_SECONDS
    total = sum(segment.end_seconds - segment.start_seconds for segment in segments)
    allowed = sample_file.slack_seconds + FRAME_SECONDS * (len(segments) - 1)
    assert abs(total - sample_file.seconds) <= allowed
    if framing is Framing.WHOLE:
        for segment, part in zip(segments, parts, strict=True):
            seconds = segment.end_seconds - segment.start_seconds
            assert abs(part.start) <= 0.05
            assert abs(part.end - part.start - seconds) <= sample_file.slack_seconds + FRAME_SECONDS
            # PyAV counts a track of fragments from 0, and adds where it begins once more.
            late = part.pictures[0].time - part.start if part.pictures else 0.0
            over = part.declared_seconds - (part.end - part.start)
            assert min(abs(over), abs(over - late)) <= 0.12


def check_picture_times(source: Media, segments: Sequence[Segment], parts: Sequence[Media]) -> None:
    """Every picture is shown when it was in the source, after the one before it."""
    begins = [segment.first_seconds for segment in segments[: len(parts)]]
    found = [
        begin + item.time
        for begin, part in zip(begins, parts, strict=True)
        for item in part.pictures
    ]
    assert all(before < after for before, after in pairwise(found))
    wanted = [item.time - source.pictures[0].time for item in source.pictures]
    assert [time - found[0] for time in found] == pytest.approx(wanted, abs=ROUNDED_SECONDS)


def check_limits(
    segments: Sequence[Segment], limits: Limits, sample_file: SampleFile, framing: Framing
) -> None:
    for segment in segments:
        seconds = segment.end_seconds - segment.start_seconds
        assert limits.min_segment_bytes <= len(segment.data) <= limits.max_segment_bytes
        assert seconds >= (limits.min_segment_seconds or 0) - 1e-3
        longest = 8.0 if framing is Framing.CONTINUED else sample_file.whole_of or 8.6
        assert seconds <= longest + sample_file.slack_seconds


def check_heads(segments: Sequence[Segment], framing: Framing) -> None:
    """Whole segments have a header each; of a continued stream only the first has one."""
    expected = [framing is Framing.WHOLE or index == 0 for index in range(len(segments))]
    assert [segment.headed for segment in segments] == expected
    assert [is_headed(segment.data) for segment in segments] == expected
    if framing is Framing.CONTINUED:
        begins = {segment.data[4:8] for segment in segments[1:]} | {
            segment.data[:4] for segment in segments[1:]
        }
        assert not segments[1:] or begins & {b"moof", b"\x1f\x43\xb6\x75"}
