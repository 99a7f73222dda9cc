"""What a container stream is made of, for whoever cuts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import sub
from typing import NamedTuple, Protocol

from ih_mcp.errors import MediaError

_AHEAD_SECONDS = 0.5  # chosen: sound nearly always begins a little before the picture
MAX_HEADER_BYTES = 1 << 20  # chosen: one of ffmpeg or a browser has some hundred bytes


class AheadPicture(NamedTuple):
    """A picture that is decoded long before it is shown: others stay meanwhile, or a clock jumps.

    Encoders that reorder pictures write so, since each is decoded when one of those before is
    shown.
    """

    offset: int
    """From the start of the unit: where it is written how much later it is shown; four bytes."""
    ticks: int
    """What is written there."""
    ticks_per_second: float
    shown_seconds: float

    def earlier(self, seconds: float) -> AheadPicture:
        """The same picture shown earlier, and decoded when it was."""
        ticks = max(0, self.ticks - round(seconds * self.ticks_per_second))
        return self._replace(ticks=ticks, shown_seconds=self.shown_seconds - seconds)


class TimestampField(NamedTuple):
    """A place where a clock is written."""

    offset: int
    """From the start of the unit."""
    width: int
    """In bytes, big endian, unsigned."""
    ticks: int
    """What belongs there when the stream starts at 0."""
    ticks_per_second: float
    delay_seconds: float = 0.0
    """What the header adds; it shrinks before the clock does."""
    track: int | None = None
    """Whose clock it is; None where it is that of all."""
    set_back: int = 0
    """By how many ticks it has to be set back where it stands."""
    ahead: tuple[AheadPicture, ...] = ()
    """The pictures behind it, where they are decoded long before they are shown."""
    last_length: tuple[int, int, int] | None = None
    """Of the last of those, as in `TrackSpan`."""

    def shifted(self, seconds: float) -> bytes:
        """What belongs there when the stream starts `seconds` later; never below zero."""
        return max(0, self._ticks_after(seconds)).to_bytes(self.width, "big")

    def _ticks_after(self, seconds: float) -> int:
        late = max(0.0, seconds - self.delay_seconds) if self.delay_seconds else seconds
        return self.ticks - round(late * self.ticks_per_second)

    def moves(self, place: int, seconds: float) -> Iterator[tuple[int, bytes]]:
        """What belongs where when the stream starts `seconds` later.

        Where the clock would be below zero, pictures are shown as much sooner after it.

        Args:
            place: Of the clock, in what is to be changed.
            seconds: In the time of the stream.
        """
        yield place, self.shifted(seconds)
        ticks, start = self._ticks_after(seconds), place - self.offset
        if ticks >= 0 or not self.ahead:
            return
        for picture in self.ahead:
            yield start + picture.offset, max(0, picture.ticks + ticks).to_bytes(4, "big")
        if self.last_length:
            at, width, length = self.last_length
            yield start + at, length.to_bytes(width, "big")

    def earlier(self, seconds: float) -> TimestampField:
        """The same clock, set back; it has still to be written."""
        ticks = round(seconds * self.ticks_per_second)
        return self._replace(ticks=self.ticks - ticks, set_back=self.set_back + ticks)

    def written(self, data: bytes) -> bytes:
        """What belongs where these bytes stand, which are as they came."""
        return max(0, int.from_bytes(data, "big") - self.set_back).to_bytes(self.width, "big")


_FARTHEST_TICKS = (1 << 15) - 1


class TrackSpan(NamedTuple):
    """When the samples of one track in a unit are shown, in seconds of the stream."""

    track: int
    start_seconds: float
    """Of its key frame, where it begins with one; else of its earliest sample."""
    first_seconds: float
    """Of its earliest sample."""
    end_seconds: float
    """Of its last sample, where that lasts no longer than its neighbours."""
    stays_seconds: float = 0.0
    """How much longer than its neighbours the last sample lasts by its length field: a picture
    stays, or the clock jumps."""
    last_length: tuple[int, int, int] | None = None
    """Where the length of the last sample is written, from the start of the unit: offset, width,
    and what its neighbours have there. None where nothing is written."""
    ahead_seconds: float = 0.0
    """How much longer than those before it its key frame is decoded before it is shown."""
    ahead: tuple[AheadPicture, ...] = ()
    """All pictures of it, where its key frame is one; else those that are."""
    lead_seconds: float = 0.0
    """How much before `first_seconds` a picture is shown, where that counts from the decoding."""
    late_seconds: float = 0.0
    """How much after `end_seconds` the last picture ends, where that counts from the decoding."""

    def earlier(self, seconds: float) -> TrackSpan:
        return self._replace(
            start_seconds=self.start_seconds - seconds,
            first_seconds=self.first_seconds - seconds,
            end_seconds=self.end_seconds - seconds,
            ahead=tuple(p._replace(shown_seconds=p.shown_seconds - seconds) for p in self.ahead),
        )

    def as_decoded(self) -> TrackSpan:
        """The same by when its samples are decoded, as if its key frame was shown soon after."""
        return self.earlier(self.ahead_seconds)._replace(ahead_seconds=0.0, ahead=self.ahead)


@dataclass(slots=True, kw_only=True)
class MediaUnit:
    """A fragment (`moof` and `mdat`) or a Cluster: the least that can be cut off.

    Times are presentation times in seconds of the stream. Not frozen, which would cost more than
    all else that is done with one; nobody changes it but its reader, until it is given.
    """

    offset: int
    """In the stream, in bytes."""
    size: int
    spans: tuple[TrackSpan, ...]
    """At least one; first that of the picture if it has any, else of the sound."""
    is_key: bool
    """Whether decoding can start here. True where there is no picture."""
    has_picture: bool
    """Whether it has any; where the file has none at all, it has all there is."""
    has_leading: bool
    """Whether pictures shown before the key frame need what came before it (open GOP)."""
    timestamps: tuple[TimestampField, ...]
    before_key: tuple[tuple[int, bytes], ...] = ()
    """Where a key frame stands in it behind other pictures: the places of those, from its start,
    and what to write over each so that a decoder can start here. Empty where none can or need be
    written over."""
    far_blocks: tuple[tuple[int, int, int], ...] = ()
    """Of a Cluster, blocks whose time is far from its own, as where a clock jumps: the place of
    their ticks (two bytes, signed) from its start, their track, and the ticks."""
    moved_ticks: tuple[tuple[int, bytes], ...] = ()
    """What to write there, where the tracks were moved by different times."""
    h264_offset: int | None = None
    """Where its first picture stands, from its start, if that is one of H.264 in MP4."""
    skipped_seconds: float = 0.0
    """How much of the stream's clock was left out before it."""
    is_first: bool = False
    """Whether nothing comes before it."""

    start_seconds: float = field(init=False)
    """Of the picture, or of the sound where there is no picture or where it pauses.

    At the beginning of the stream also where the sound begins long before the picture.
    """
    first_seconds: float = field(init=False)
    """Of its earliest sample."""
    end_seconds: float = field(init=False)
    """Of all its samples; a picture that stays counts as long as its neighbours."""
    stays_until_seconds: float = field(init=False)
    """Where it ends as the stream tells, if nothing comes after it."""

    def __post_init__(self) -> None:
        main, *others = self.spans
        first, end = main.first_seconds, main.end_seconds
        stays_until = end + main.stays_seconds
        for span in others:
            first, end = min(first, span.first_seconds), max(end, span.end_seconds)
            stays_until = max(stays_until, span.end_seconds + span.stays_seconds)
        starts_first = self.is_first and main.start_seconds - first > _AHEAD_SECONDS
        begins_first = starts_first or not self.has_picture
        self.start_seconds = first if begins_first else main.start_seconds
        self.first_seconds, self.end_seconds = first, end
        self.stays_until_seconds = stays_until

    def bounded(self, max_stay_seconds: float) -> MediaUnit:
        """The same unit, where no sample stays for longer than that."""
        if self.stays_until_seconds - self.end_seconds <= 0 or all(
            span.stays_seconds <= max_stay_seconds for span in self.spans
        ):
            return self
        spans = (
            span._replace(stays_seconds=min(span.stays_seconds, max_stay_seconds))
            for span in self.spans
        )
        return replace(self, spans=tuple(spans))

    def earlier(self, seconds: Mapping[int, float]) -> MediaUnit:
        """The same, each track so many seconds earlier."""
        skipped = max(seconds.values())
        far = {track for _, track, _ in self.far_blocks}
        tracks = {span.track for span in self.spans}
        common = min(seconds[track] for track in tracks - far or tracks)
        return replace(
            self,
            spans=tuple(span.earlier(seconds[span.track]) for span in self.spans),
            timestamps=tuple(
                timestamp.earlier(common if timestamp.track is None else seconds[timestamp.track])
                for timestamp in self.timestamps
            ),
            moved_ticks=tuple(
                (place, self._ticks_after(ticks, seconds[track] - common))
                for place, track, ticks in self.far_blocks
            ),
            skipped_seconds=skipped,
        )

    def _ticks_after(self, ticks: int, earlier_seconds: float) -> bytes:
        """The ticks of a block that is moved by so much more than its Cluster."""
        moved = ticks - round(earlier_seconds * self.timestamps[0].ticks_per_second)
        return max(-_FARTHEST_TICKS, min(_FARTHEST_TICKS, moved)).to_bytes(2, "big", signed=True)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A place where a decoder can begin that has the header."""

    offset: int
    """Of the unit, in the stream, in bytes."""
    seconds: float
    """When its key frame is shown, or its sound heard."""


JUMP_SECONDS = 0.5  # chosen: recorders' chunks are longer, and slow pictures have sound beside them


@dataclass(frozen=True, slots=True)
class TimeJump:
    """A place where the media does not go on at the time where it was."""

    from_seconds: float
    """Where it was expected to go on."""
    to_seconds: float
    """Where it goes on; earlier where it goes back."""


@dataclass(slots=True)
class StreamTimes:
    """The times of a stream as its media comes: how far they reach, and where they jump."""

    reached_seconds: float = 0.0
    """The latest time so far."""
    jump: TimeJump | None = None
    """The first one since this was set to None."""
    ends: dict[int, float] = field(default_factory=dict)
    """Of each track, as far as it came."""

    def copy(self) -> StreamTimes:
        return replace(self, ends=dict(self.ends))

    def goes_on(self, track: int, times: Sequence[float]) -> bool:
        """Whether a track goes on at these times as `add` takes it, whatever comes in between."""
        end = self.ends.get(track)
        if end is None:
            return False
        steps: list[float] = list(map(sub, times, (end, *times)))
        return max(steps) <= JUMP_SECONDS and min(steps) >= -JUMP_SECONDS

    def reach(self, track: int, times: Sequence[float]) -> None:
        """Media of a track that goes on at these times."""
        self.ends[track] = times[-1]
        self.reached_seconds = max(self.reached_seconds, *times)

    def add(self, track: int, start_seconds: float, end_seconds: float) -> None:
        """Media of a track: a jump is forward of all there is, or back behind its own."""
        expected = self.reached_seconds
        if start_seconds < expected:
            expected = min(expected, self.ends.get(track, start_seconds))
        if self.jump is None and abs(start_seconds - expected) > JUMP_SECONDS:
            self.jump = TimeJump(expected, start_seconds)
        self.ends[track] = end_seconds
        self.reached_seconds = max(self.reached_seconds, end_seconds)


class HeaderTemplate(Protocol):
    """A header for media that begins anew: a segment that stands alone, or one and what follows."""

    @property
    def size(self) -> int:
        """In bytes; the same for each segment that stands alone."""
        ...

    def filled(self, start_seconds: float, seconds: float | None, payload_bytes: int) -> bytes:
        """For the media that begins at `start_seconds` of the stream and lasts `seconds`.

        Where `seconds` is None the media goes on: the header names neither length nor size.
        """
        ...


class Reader(Protocol):
    """Reads one container stream, in whatever pieces it comes."""

    @property
    def header(self) -> bytes | None:
        """What stands before the first unit.

        None until it is complete, and where it is too large to be kept (`MAX_HEADER_BYTES`).
        """
        ...

    @property
    def has_media(self) -> bool:
        """Whether more than a header was seen."""
        ...

    @property
    def entries(self) -> Sequence[EntryPoint]:
        """What the last `feed` made known to be one, often before the unit is complete."""
        ...

    @property
    def reached_seconds(self) -> float:
        """The latest time seen so far; 0 before there is any."""
        ...

    @property
    def jump(self) -> TimeJump | None:
        """Where the times of what was fed last do not go on from those before; the first place."""
        ...

    def copy(self) -> Reader:
        """Another one that goes on from here; what it is fed, this one has not seen."""
        ...

    def feed(self, data: bytes) -> Sequence[MediaUnit]:
        """Take the next bytes; tells the units they complete.

        Raises:
            MediaError: This is not the container it was taken for (`bad_container`).
        """
        ...

    def finish(self) -> Sequence[MediaUnit]:
        """The stream has ended; tells a unit that only its end completes, drops a torn one."""
        ...

    def head(self) -> HeaderTemplate:
        """For media that begins anew. Call it when there is media.

        Raises:
            MediaError: The header was too large to be kept.
        """
        ...


MAX_TRACKS = 64  # chosen: a movie with many languages has some thirty


def too_many_tracks(container: str, tracks: int) -> MediaError:
    return bad_container(f"the {container} stream has {tracks} tracks")


def too_large_header(size: int) -> MediaError:
    return bad_container(
        f"the header has {size} bytes; {MAX_HEADER_BYTES} can be put before segments"
    )


def bad_container(what: str) -> MediaError:
    return MediaError(
        what,
        help="The bytes are damaged, or a segment before them is missing. Push that one first, or "
        "begin a new recording with its header.",
        code="bad_container",
    )
