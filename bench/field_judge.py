"""Judges what the splitter makes of one file; see `field`."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import anyio
import av
import numpy as np

from ih_mcp.errors import MediaError, PathError
from ih_mcp.media.ffmpeg.probe import Facts, probe, require_tracks
from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.media.splitter import Segment
from ih_mcp.wire.dialects import V0, V1, V2, Dialect, Framing
from tests.media import oracle
from tests.media.oracle import Item, Media, digests

from . import field_lengths
from .segments import segments_of

_TIMES_SECONDS = 0.05
_SOUND_SECONDS = 0.3
"""How much the length of encoded sound may differ: packets of some codecs are long, and the
first and the last of each segment are filled up."""
_PER_SEGMENT_SECONDS = 0.06
_STAYS_SECONDS = 0.9
"""Until a picture is repeated."""
_JUMP_SECONDS, _REORDERED_SECONDS = 10.0, 0.5
"""What ffmpeg takes for a jump of a clock, and how far pictures may go back."""
_ONE_VERSIONS = frozenset({"no_audio", "no_video", "too_short", "ends_early"})
"""Codes with which one version may refuse what another one takes."""
_SIDE, _LOOKED_AT, _MAX_DIFFERENCE = 16, 12, 24.0


_DIALECTS = (V0, V1, V2)


def judged(path: Path) -> tuple[str, str]:
    return anyio.run(_judge, path, find_ffmpeg())


async def _judge(path: Path, ffmpeg: Ffmpeg) -> tuple[str, str]:
    try:
        facts = await probe(ffmpeg, path)
    except (MediaError, PathError) as refusal:
        return "refused", f"{refusal.code}: {refusal.what}"
    said, refusals, unfit = list[str](), list[str](), list[str]()
    source = _source(path)
    for dialect in _DIALECTS:
        outcome = await _outcome(ffmpeg, path, facts, dialect)
        if outcome.refusal and not outcome.segments:
            text = f"{dialect.name}: {outcome.refusal.code}: {outcome.refusal.what}"
            (refusals if outcome.refusal.code in _ONE_VERSIONS else unfit).append(text)
        elif source is not None:
            said += [
                f"{dialect.name}: {what}" for what in _complaints(source, facts, outcome, path)
            ]
    if len(refusals) + len(unfit) == len(_DIALECTS):
        late = ["once a session was open"] if unfit else []
        return "refused", "; ".join([*late, *unfit, *refusals])
    if said or unfit:
        return "wrong", "; ".join([*said, *unfit])
    if source is None:
        return "unsure", "the judge cannot read it"
    return "right", "; ".join([*facts.notes(), *refusals])


@dataclass(slots=True)
class Outcome:
    dialect: Dialect
    segments: list[Segment]
    refusal: MediaError | None = None

    @property
    def parts(self) -> list[bytes]:
        """What decodes alone."""
        data = [segment.data for segment in self.segments]
        return data if self.dialect.framing is Framing.WHOLE else [b"".join(data)]


async def _outcome(ffmpeg: Ffmpeg, path: Path, facts: Facts, dialect: Dialect) -> Outcome:
    outcome = Outcome(dialect, [])
    try:
        require_tracks(facts, video=dialect.needs_video, audio=dialect.needs_audio)
        async with segments_of(path, dialect, ffmpeg, facts=facts) as segments:
            async for segment in segments:
                outcome.segments.append(segment)
    except MediaError as refusal:
        outcome.refusal = refusal
    return outcome


def _source(path: Path) -> Media | None:
    try:
        source = oracle.read(path)
    except (av.FFmpegError, OSError, ValueError, ArithmeticError):
        return None
    return source if source.pictures or source.sound else None


def _complaints(source: Media, facts: Facts, outcome: Outcome, path: Path) -> list[str]:
    """What is wrong with what was sent; nothing where nothing is."""
    try:
        parts = [oracle.read(data) for data in outcome.parts]
    except (av.FFmpegError, OSError, ValueError) as error:
        return [f"what is sent cannot be read: {error}"]
    found = [
        *_pictures(source, parts, facts, outcome, path),
        *_sound(source, parts, facts, outcome),
        *_lengths(source, parts, outcome),
    ]
    if outcome.refusal:
        if outcome.refusal.code != "ends_early" or not found:
            found = [f"{outcome.refusal.code}: {outcome.refusal.what}", *found]
        if outcome.refusal.code == "ends_early" and _is_cut_off(source, path):
            return []  # and that is said
    shift = oracle.shift_seconds(source, parts)
    if shift > _TIMES_SECONDS:
        found.append(f"sound and picture are {shift * 1000:.0f} ms further apart")
    return found


def _lengths(source: Media, parts: Sequence[Media], outcome: Outcome) -> list[str]:
    pieces = field_lengths.pieces_of([s.data for s in outcome.segments], outcome.dialect.framing)
    known = frozenset(digests(source.pictures))
    copied = [known.issuperset(digests(part.pictures)) for part in parts]
    if outcome.dialect.framing is not Framing.WHOLE:
        copied *= len(pieces)
    return field_lengths.complaints(pieces, outcome.dialect, copied)


def _is_cut_off(source: Media, path: Path) -> bool:
    """Whether no track reaches as far as the file says that it does, or the end is damaged."""
    ends = [0.0]
    with av.open(str(path), "r") as container, suppress(av.FFmpegError):
        ends.extend(
            float((packet.pts + (packet.duration or 0)) * packet.time_base)
            for packet in container.demux()
            if packet.pts is not None and packet.time_base is not None
        )
    return bool(source.errors) or max(ends) < source.declared_seconds - 0.2


def _pictures(
    source: Media, parts: Sequence[Media], facts: Facts, outcome: Outcome, path: Path
) -> list[str]:
    if facts.video is None:
        return []
    sent = [item for part in parts for item in part.pictures]
    if digests(sent) == digests(source.pictures):
        return [] if _go_back(parts) <= _go_back([source]) else ["pictures share a time or go back"]
    if not any(part.codecs.get("video") == "h264" for part in parts):
        return [f"pictures are not those of the file ({len(sent)} of {len(source.pictures)})"]
    if len(sent) != len(source.pictures):
        is_right = (
            # Where the clock goes back, the judge's decoder drops some.
            len(sent) == _packets_of_pictures(path)
            if facts.set_backs
            else len(sent) > len(source.pictures) and _are_repeated(source.pictures, parts, outcome)
        )
        return [] if is_right else [f"{len(sent)} of {len(source.pictures)} pictures"]
    found = list[str]()
    if _go_back(parts):
        found.append("pictures share a time or go back")
    if outcome.dialect.framing is Framing.CONTINUED:
        off = _off_seconds(source.pictures, sent)
        if off > _TIMES_SECONDS:
            found.append(f"pictures are up to {off * 1000:.0f} ms off")
    different = _difference(path.read_bytes(), outcome.parts, min(len(sent), len(source.pictures)))
    if different > _MAX_DIFFERENCE:
        found.append(f"pictures look different ({different:.0f} of 255)")
    return found


def _go_back(parts: Sequence[Media]) -> int:
    """How often a picture is shown no later than the one before, of those that tell when."""
    shown = ([item.time for item in part.pictures if item.time] for part in parts)
    return sum(a >= b for times in shown for a, b in pairwise(times))


def _packets_of_pictures(path: Path) -> int:
    with av.open(str(path), "r") as container:
        video = next(s for s in container.streams.video if not s.disposition & 0x400)
        return sum(1 for packet in container.demux(video) if packet.size)


def _are_repeated(source: Sequence[Item], parts: Sequence[Media], outcome: Outcome) -> bool:
    """Whether there is one at each time of the file, and others between pictures that stay."""
    begins = [segment.first_seconds for segment in outcome.segments[: len(parts)]]
    pairs = zip(begins, parts, strict=True)
    sent = [begin + item.time for begin, part in pairs for item in part.pictures]
    shown = [sent[0] + item.time - source[0].time for item in source]
    off = max(min(abs(at - time) for time in sent) for at in shown)
    others = [time for time in sent if min(abs(at - time) for at in shown) > _TIMES_SECONDS]
    near = [time for time in others if any(0 < time - at < _STAYS_SECONDS for at in shown)]
    at_shown = len(sent) - len(others)  # one that is repeated can come just before the next
    return off <= _TIMES_SECONDS and not near and len(shown) <= at_shown <= 2 * len(shown)


def _off_seconds(source: Sequence[Item], sent: Sequence[Item]) -> float:
    """How far times differ once the first are the same."""
    steps = (after.time - before.time for before, after in pairwise(source))
    if any(-_REORDERED_SECONDS < step <= 0 for step in steps):
        return 0.0  # the judge has no times
    pairs = zip(_steady(source), _steady(sent), strict=True)
    return max((abs(theirs - ours) for theirs, ours in pairs), default=0.0)


def _steady(items: Sequence[Item]) -> list[float]:
    """Times from 0 on, without the jumps of a clock that was set anew."""
    times, now = [0.0], 0.0
    for before, after in pairwise(items):
        gap = after.time - before.time
        now += gap if -_REORDERED_SECONDS < gap < _JUMP_SECONDS else before.seconds
        times.append(now)
    return times


def _sound(source: Media, parts: Sequence[Media], facts: Facts, outcome: Outcome) -> list[str]:
    if facts.audio is None:
        return []
    sent = [item for part in parts for item in part.sound]
    if digests(sent) == digests(source.sound):
        return []
    if not sent:
        return ["the sound is missing"]
    if any(part.codecs.get("audio") != "aac" for part in parts):
        return [f"packets of sound are not those of the file ({len(sent)} of {len(source.sound)})"]
    heard = sum(_steady(part.sound)[-1] for part in parts if part.sound)
    wanted = _steady([item for item in source.sound if not item.is_hidden])[-1]
    if abs(heard - wanted) > _SOUND_SECONDS + _PER_SEGMENT_SECONDS * len(outcome.segments):
        return [f"{heard:.2f} of {wanted:.2f} s of sound"]
    return []


def _difference(source: bytes, parts: Sequence[bytes], count: int) -> float:
    """How much pictures look different at most, by small grey ones; turned as the file may be."""
    places = frozenset(np.linspace(0, count - 1, _LOOKED_AT).astype(int).tolist())
    ours, theirs = _small(parts, places), _small([source], places)
    turned = [
        np.abs(ours - np.rot90(theirs, turn, axes=(1, 2))).mean(axis=(1, 2)).max()
        for turn in range(4)
    ]
    return float(min(turned))


def _small(parts: Sequence[bytes], places: Container[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The pictures that have these places."""
    return np.array(
        [
            frame.reformat(_SIDE, _SIDE, "gray").to_ndarray()
            for place, frame in enumerate(chain.from_iterable(map(_decoded, parts)))
            if place in places
        ],
        dtype=np.float64,
    )


def _decoded(data: bytes) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(data), "r") as container:
        video = next(s for s in container.streams.video if not s.disposition & 0x400)
        yield from container.decode(video)
