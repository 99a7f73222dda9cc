"""The samples of an MP4 fragment: when they are shown, and what begins with a key frame.

Names as in ISO/IEC 14496-12: a `moof` holds a `traf` per track, its samples stand in `trun`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, repeat
from operator import add
from typing import NamedTuple

from .container_types import AheadPicture, MediaUnit, TimestampField, TrackSpan, bad_container
from .mp4_boxes import Movie, Mp4Track, children

_NOT_KEY = 0x10000  # sample_is_non_sync_sample
_H264 = frozenset({b"avc1", b"avc3"})
_BASE_DATA_OFFSET = 1  # base-data-offset-present
_FAR_AHEAD_SECONDS = 5.0  # chosen: less than any clock jumps; pictures are reordered over less
_KEY_AHEAD_SECONDS = 0.3  # chosen: a picture stays for longer than a slow rate tells
_MAX_REORDERED = 16  # H.264 and HEVC: so many pictures can wait for one that is shown before them
_NUMBER, _SIGNED, _TWO_NUMBERS = struct.Struct(">I"), struct.Struct(">i"), struct.Struct(">II")
_NO_TRACK = Mp4Track()


class SampleRun(NamedTuple):
    """The samples of one track in one fragment, in ticks of the track."""

    track: int
    decoded: int
    """Decoding time of the first sample."""
    duration: int
    """Of all samples."""
    offset: int
    """Composition offset of the first sample."""
    earliest: int
    """Smallest composition time."""
    is_key: bool
    timestamp: tuple[int, int]
    """Offset in the `moof` and width of the decoding time."""
    is_placed: bool
    """Whether it says where in the stream its media is, so that it cannot be moved."""
    last_length: tuple[int, int] | None
    """Where in the `moof` the duration of the last sample stands, and what others have there."""
    stays: int
    """How much longer the last sample lasts than others."""
    data_offset: int | None
    """Of the first sample, from the start of the `moof`; None where it is not known."""
    ahead: tuple[tuple[int, int, int], ...]
    """Samples that are shown long after they are decoded: where in the `moof` their composition
    offset stands, that offset, and their composition time. All, where the first one is a key."""
    latest: int | None = None
    """Greatest composition time, as far as pictures are reordered; None where they are not."""


def shown(run: SampleRun, movie: Movie) -> tuple[float, float]:
    """When the samples of a run are shown, in seconds.

    Between key frames pictures are shown in another order than they are decoded. There the result
    is the time of decoding plus the usual lag of the track, so that spans join without a gap.
    """
    track = movie.tracks[run.track]
    lag = run.offset if run.is_key else track.lag or 0
    start = (run.decoded + lag - track.skipped) / track.timescale + track.delay_seconds
    return start, start + run.duration / track.timescale


def runs_of(moof: bytes, movie: Movie) -> list[SampleRun]:
    return [
        run
        for kind, start, end in children(moof, 8, len(moof))
        if kind == b"traf" and (run := _run(moof, start, end, movie))
    ]


def _run(moof: bytes, start: int, end: int, movie: Movie) -> SampleRun | None:
    """The samples of one `traf`; None where it has none, or its track is not known."""
    number, duration, flags, decoded, timestamp, is_placed = 0, 0, 0, 0, (0, 0), False
    samples = Samples()
    for kind, at, _ in children(moof, start, end):
        if kind == b"tfhd":
            number, duration, flags, samples.default_length = _fragment_header(moof, at, movie)
            is_placed = bool(moof[at + 3] & _BASE_DATA_OFFSET)
        elif kind == b"tfdt":
            timestamp = (at + 4, 8 if moof[at] else 4)
            decoded = int.from_bytes(moof[timestamp[0] : timestamp[0] + timestamp[1]], "big")
        elif kind == b"trun":
            samples.add_run(moof, at, duration, flags)
    track = movie.tracks.get(number)
    if track is None or not samples.durations or not timestamp[1]:
        return None
    track.usual_duration = samples.usual_duration(track)
    if track.lag is None and samples.is_key:
        track.lag = samples.offsets[0]
    return samples.run(number, decoded, timestamp, is_placed=is_placed, track=track)


def _fragment_header(moof: bytes, at: int, movie: Movie) -> tuple[int, int, int, int | None]:
    """Track number, default duration and default flags of a `tfhd`; where that duration stands."""
    present, number = _TWO_NUMBERS.unpack_from(moof, at)
    track = movie.tracks.get(number, _NO_TRACK)
    at += 8 + (8 if present & 1 else 0) + (4 if present & 2 else 0)
    duration, flags, place = track.default_duration, track.default_flags, None
    if present & 8:
        (duration,), place = _NUMBER.unpack_from(moof, at), at
        at += 4
    if present & 0x20:
        (flags,) = _NUMBER.unpack_from(moof, at + (4 if present & 0x10 else 0))
    return number, duration, flags, place


class Samples:
    """The samples of one track in one fragment, as columns of numbers."""

    __slots__ = (
        "_by_default", "_places", "data_offset", "default_length", "durations", "is_key",
        "last_length", "offsets",
    )  # fmt: skip

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.offsets: list[int] = []
        self._places: list[Iterable[int]] = []
        """Where the offsets stand in the `moof`, for each `trun`; 0 where it has none."""
        self.is_key = False
        self.data_offset: int | None = None
        self.default_length: int | None = None
        """Where the duration of those that have none of their own stands in the `moof`."""
        self._by_default = 0
        """How many of them there are."""
        self.last_length: int | None = None
        """Where the duration of the last one stands in the `moof`, and that of no other; None where
        there is no such place."""

    def add_run(self, moof: bytes, at: int, duration: int, flags: int) -> None:
        """Add those of a `trun`."""
        present, count = _TWO_NUMBERS.unpack_from(moof, at)
        at += 8
        if present & 1:
            if not self.durations:
                (self.data_offset,) = _SIGNED.unpack_from(moof, at)
            at += 4
        if present & 4:
            (flags,) = _NUMBER.unpack_from(moof, at)
            at += 4
        fields = _FIELDS[present >> 8 & 0xF]
        width = len(fields)
        if count * max(1, width) * 4 > len(moof) - at and (fields or count > len(moof)):
            raise bad_container("a fragment of the MP4 stream claims more samples than it has")
        columns = _columns(moof, at, count, fields)
        if not self.durations and count:
            own = None if present & 4 else columns.get(_FLAGS)
            self.is_key = not (own[0] if own else flags) & _NOT_KEY
        if count:
            is_own = _DURATIONS in columns
            self._note_last_length(at + 4 * width * (count - 1) if is_own else None, count)
        self.durations += columns.get(_DURATIONS) or [duration] * count
        self.offsets += columns.get(_OFFSETS) or [0] * count
        places: Iterable[int] = repeat(0, count)
        if _OFFSETS in fields:
            first = at + 4 * fields.index(_OFFSETS)
            places = range(first, first + 4 * width * count, 4 * width)
        self._places.append(places)

    def _note_last_length(self, own: int | None, count: int) -> None:
        """Note where the last of `count` samples more has its duration: by default without `own`.

        What several have by default cannot be changed for the last of them alone.
        """
        self._by_default += 0 if own else count
        self.last_length = own or (self.default_length if self._by_default == 1 else None)

    def usual_duration(self, track: Mp4Track) -> int:
        """What a sample lasts: as the others here, else as those before, else a second at most."""
        if len(self.durations) > 1:
            return max(self.durations[:-1])
        usual = track.timescale if track.usual_duration is None else track.usual_duration
        return min(self.durations[-1], usual)

    def _ahead(self, decoded: int, track: Mp4Track) -> tuple[tuple[int, int, int], ...]:
        """Those that are shown long after they are decoded, see `SampleRun`."""
        lag, second = track.lag or 0, track.timescale
        begins_ahead = self.is_key and self.offsets[0] - lag >= _KEY_AHEAD_SECONDS * second
        least = float("-inf") if begins_ahead else lag + _FAR_AHEAD_SECONDS * second
        if max(self.offsets) < least:
            return ()
        times = accumulate(self.durations, initial=decoded)
        found = zip(chain.from_iterable(self._places), self.offsets, times, strict=False)
        return tuple(
            (at, offset, time + offset) for at, offset, time in found if at and offset >= least
        )

    def _latest(self, decoded_end: int) -> int:
        """The greatest composition time of the last samples."""
        durations, offsets = self.durations[-_MAX_REORDERED:], self.offsets[-_MAX_REORDERED:]
        times = accumulate(durations, initial=decoded_end - sum(durations))
        latest: int = max(map(add, times, offsets))
        return latest

    def run(
        self,
        number: int,
        decoded: int,
        timestamp: tuple[int, int],
        *,
        is_placed: bool,
        track: Mp4Track,
    ) -> SampleRun:
        """The samples as one run of a track; there is at least one."""
        usual_duration, duration = track.usual_duration or 0, sum(self.durations)
        earliest, latest, ahead = decoded, None, self._ahead(decoded, track)
        if any(self.offsets):
            latest = None if ahead else self._latest(decoded + duration)
            earliest = min(map(add, accumulate(self.durations, initial=decoded), self.offsets))
        return SampleRun(
            track=number,
            decoded=decoded,
            duration=duration,
            offset=self.offsets[0],
            earliest=earliest,
            is_key=self.is_key,
            timestamp=timestamp,
            is_placed=is_placed,
            stays=max(0, self.durations[-1] - usual_duration),
            last_length=(self.last_length, usual_duration) if self.last_length else None,
            data_offset=None if is_placed else self.data_offset,
            ahead=ahead,
            latest=latest,
        )


_DURATIONS, _SIZES, _FLAGS, _OFFSETS = range(4)
_FIELDS = tuple(tuple(field for field in range(4) if present >> field & 1) for present in range(16))
"""Of a sample in a `trun`, by the bits from 0x100 on that say which are there."""


def _columns(moof: bytes, at: int, count: int, fields: Sequence[int]) -> dict[int, Sequence[int]]:
    """A table of 32-bit numbers, column by column; composition offsets are signed.

    Without the sizes, which nobody asks for.
    """
    width = len(fields)
    if width <= (_SIZES in fields):
        return {}
    numbers = struct.unpack_from(f">{width * count}i", moof, at)
    return {field: numbers[index::width] for index, field in enumerate(fields) if field != _SIZES}


def media_unit_of(offset: int, runs: Sequence[SampleRun], movie: Movie) -> MediaUnit:
    """The fragment at `offset` with these samples; its size is known when it ends."""
    tracks, main_track = movie.tracks, movie.main
    main = next((run for run in runs if run.track == main_track), None)
    is_sound = main_track is None or tracks[main_track].kind != b"vide"
    ordered = runs
    if main is not None and main is not runs[0]:
        ordered = [main, *(run for run in runs if run is not main)]
    return MediaUnit(
        offset=offset,
        size=0,
        spans=tuple([_span(run, movie) for run in ordered]),
        is_key=is_sound or (main is not None and main.is_key),
        has_picture=is_sound or main is not None,
        has_leading=main is not None and main.earliest < main.decoded + main.offset,
        timestamps=tuple([_timestamp(run, tracks[run.track]) for run in runs]),
        h264_offset=main.data_offset if main and tracks[main.track].codec in _H264 else None,
    )


def _span(run: SampleRun, movie: Movie) -> TrackSpan:
    start, end = shown(run, movie)
    track = movie.tracks[run.track]
    begins = track.delay_seconds - track.skipped / track.timescale
    stays = run.stays / track.timescale
    late = (run.offset - (track.lag or 0)) / track.timescale if run.is_key else 0.0
    last_ends = end - stays
    if run.latest is not None:
        last_ends = begins + (run.latest + (track.usual_duration or 0)) / track.timescale
    return TrackSpan(
        track=run.track,
        start_seconds=start,
        first_seconds=start,
        end_seconds=end - stays,
        stays_seconds=stays,
        last_length=_last_length(run),
        ahead_seconds=max(0.0, late),
        ahead=_ahead(run, track),
        lead_seconds=max(0.0, start - begins - run.earliest / track.timescale),
        late_seconds=max(0.0, last_ends - (end - stays)),
    )


def _last_length(run: SampleRun) -> tuple[int, int, int] | None:
    return (run.last_length[0], 4, run.last_length[1]) if run.last_length else None


def _ahead(run: SampleRun, track: Mp4Track) -> tuple[AheadPicture, ...]:
    if not run.ahead:
        return ()
    begins = track.delay_seconds - track.skipped / track.timescale
    return tuple(
        AheadPicture(place, offset, track.timescale, time / track.timescale + begins)
        for place, offset, time in run.ahead
    )


def _timestamp(run: SampleRun, track: Mp4Track) -> TimestampField:
    ticks = run.decoded - track.skipped + track.shown_lag
    clock = TimestampField(*run.timestamp, ticks, track.timescale, track.delay_seconds, run.track)
    if not run.ahead or not run.is_key:
        return clock
    return clock._replace(ahead=_ahead(run, track), last_length=_last_length(run))
