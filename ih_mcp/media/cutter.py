"""The bytes of one container stream become segments.

The reader looks, the packer decides; this holds the bytes, and sets the clocks of segments that
stand alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ih_mcp.errors import MediaError
from ih_mcp.wire.dialects import Framing

from .clock_jumps import ClockJump, Jumps
from .containers.container import HeaderTemplate, MediaUnit, Reader, TimeJump, TimestampField
from .containers.container_types import AheadPicture
from .containers.h264_recovery import recovers_late
from .planner import Cut, OversizeError, Packer
from .segment_bounds import Bounds


@dataclass(frozen=True, slots=True)
class Segment:
    """The media of one binary message."""

    data: bytes
    start_seconds: float
    """In the source."""
    end_seconds: float
    headed: bool
    """Whether it begins with a container header."""
    key_offset: int | None
    """Where in it a decoder can begin that has the header: before its first key frame, which is not
    always at its beginning. 0 where that, or only its own header, comes first; None where it has no
    key frame."""
    has_leading: bool
    """Whether a decoder that begins there cannot show a few pictures before that key frame, since
    they need what came before (open GOP); never, where it stands alone."""
    first_seconds: float
    """In the source, of the earliest track from there on: sound can begin a little before the
    picture."""
    jumps: tuple[ClockJump, ...] = ()
    """Of the source's clock, in it or where it begins; they are left out, so that times in segments
    are those of the source less all that was left out before."""
    clocks: Clocks | None = field(default=None, repr=False, compare=False)
    """Of a continued segment."""

    @property
    def is_key(self) -> bool:
        """Whether a decoder can show it from its beginning on; always, where it stands alone."""
        return self.key_offset == 0

    def rebased(self, origin_seconds: float, *, headed: bool) -> bytes:
        """The same media as part of a container stream whose clocks are 0 at `origin_seconds`.

        So a new API session can begin with any segment that has a key frame, and go on with those
        that follow it. What stands alone is as it is.

        Args:
            origin_seconds: In the source: `first_seconds` of the segment that stream begins with.
            headed: Whether it is that segment, of which what is before `key_offset` is left out.

        Raises:
            ValueError: It would begin before 0.
        """
        if self.clocks is None:
            return self.data
        if headed and self.first_seconds < origin_seconds - _ROUNDED_SECONDS:
            raise ValueError(f"begins at {self.first_seconds}, before {origin_seconds}")
        media = self.clocks.rebased(self.data, origin_seconds)
        if not headed:
            return bytes(media[self.clocks.header_bytes :])
        return self.clocks.begun(media, origin_seconds, self.key_offset)


_BEGINNING_BYTES = 1 << 12  # of a picture: parameters and messages stand before it
_ROUNDED_SECONDS = 0.001  # clocks of WebM count milliseconds


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the clocks of a continued segment stand, and the header they belong to."""

    head: HeaderTemplate
    header_bytes: int
    """At its beginning."""
    begin_seconds: float
    """Where in the source its own container stream begins."""
    timestamps: tuple[tuple[int, TimestampField], ...]
    """With the place of each in the segment."""
    before_key: tuple[tuple[int, bytes], ...]
    """What to write where, for who begins at the key frame."""

    def rebased(self, data: bytes, origin_seconds: float) -> bytearray:
        """The same bytes, by clocks that are 0 at the origin."""
        media, late = bytearray(data), origin_seconds - self.begin_seconds
        for place, timestamp in self.timestamps:
            for at, written in timestamp.moves(place, late):
                media[at : at + len(written)] = written
        return media

    def begun(self, media: bytearray, origin_seconds: float, key_offset: int | None) -> bytes:
        """A header, then the media from the key frame on, without what only makes it unreadable."""
        for place, nothing in self.before_key:
            media[place : place + len(nothing)] = nothing
        head = self.head.filled(origin_seconds - self.begin_seconds, None, 0)
        return head + media[key_offset or self.header_bytes :]


@dataclass(slots=True)
class Draft:
    """A segment that is being filled."""

    header: bytes
    start_seconds: float
    end_seconds: float
    first_seconds: float
    stays_until_seconds: float
    skipped_seconds: float
    size: int
    """Of all that it holds, header included."""
    media: list[memoryview] = field(default_factory=list)
    """As it came."""
    changed: list[tuple[int, bytes]] = field(default_factory=list)
    """What is written over it at last, with the place of each in the segment."""
    key_offset: int | None = None
    """Where its first key frame begins, in the segment."""
    key_seconds: float = float("inf")
    """As `first_seconds`, from that key frame on."""
    before_key: tuple[tuple[int, bytes], ...] = ()
    """As of `MediaUnit`, by places in the segment."""
    has_leading: bool = False
    timestamps: list[tuple[int, TimestampField]] = field(default_factory=list)
    """With the place of each in the segment."""
    jumps: list[ClockJump] = field(default_factory=list)
    lengths: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """By track: of its last sample, as in `TrackSpan`, from the start of the segment."""
    ahead: dict[int, list[AheadPicture]] = field(default_factory=dict)
    """By track, with places in the segment."""

    def add(self, unit: MediaUnit, media: Sequence[memoryview]) -> None:
        start = self.size
        self.timestamps += [(start + timestamp.offset, timestamp) for timestamp in unit.timestamps]
        self.end_seconds = max(self.end_seconds, unit.end_seconds)
        self.first_seconds = min(self.first_seconds, unit.first_seconds)
        if (unit.is_key or unit.before_key) and self.key_offset is None:
            self.key_offset = start
            self.before_key = tuple((start + place, void) for place, void in unit.before_key)
            self.has_leading = unit.has_leading or bool(unit.before_key)
        if self.key_offset is not None:
            self.key_seconds = min(self.key_seconds, unit.first_seconds)
        self.stays_until_seconds = max(self.stays_until_seconds, unit.stays_until_seconds)
        self.media += media
        self.size += unit.size
        if unit.skipped_seconds:
            self._set_back(start, unit.timestamps, b"".join(media))
            self.changed += [(start + place, ticks) for place, ticks in unit.moved_ticks]
        for span in unit.spans:
            self.lengths.pop(span.track, None)  # of the unit before, whose samples are not the last
            if span.last_length:
                place, width, ticks = span.last_length
                self.lengths[span.track] = (start + place, width, ticks)
            for picture in span.ahead:
                placed = picture._replace(offset=start + picture.offset)
                self.ahead.setdefault(span.track, []).append(placed)

    def _set_back(self, start: int, timestamps: Iterable[TimestampField], media: bytes) -> None:
        for timestamp in timestamps:
            written = media[timestamp.offset : timestamp.offset + timestamp.width]
            self.changed.append((start + timestamp.offset, timestamp.written(written)))

    def shorten(self, tracks: Iterable[int]) -> None:
        """Let the last samples last as long as their neighbours: the clock jumps behind them."""
        for place, width, ticks in (self.lengths[t] for t in tracks if t in self.lengths):
            self.changed.append((place, ticks.to_bytes(width, "big")))

    def show_earlier(self, jumps: Mapping[int, TimeJump]) -> float:
        """Move pictures that are decoded before the clock of their track jumps, and shown after.

        Gives when the first of them is shown then.
        """
        first = float("inf")
        for track, jump in jumps.items():
            middle = (jump.from_seconds + jump.to_seconds) / 2
            moved = [
                picture.earlier(jump.to_seconds - jump.from_seconds)
                for picture in self.ahead.get(track, ())
                if picture.shown_seconds > middle
            ]
            self.ahead[track] = moved  # the clock may jump once more before they are shown
            self.changed += [(p.offset, p.ticks.to_bytes(4, "big")) for p in moved]
            first = min([first, *(p.shown_seconds for p in moved)])
        return first

    def join(self, other: Draft) -> None:
        """Append the media of the segment that follows."""
        moved = self.size - len(other.header)
        self.jumps += other.jumps
        self.timestamps += [(moved + place, timestamp) for place, timestamp in other.timestamps]
        self.changed += [(moved + place, written) for place, written in other.changed]
        self.end_seconds = max(self.end_seconds, other.end_seconds)
        self.first_seconds = min(self.first_seconds, other.first_seconds)
        if other.key_offset is not None and self.key_offset is None:
            self.key_offset, self.has_leading = moved + other.key_offset, other.has_leading
            self.before_key = tuple((moved + place, void) for place, void in other.before_key)
            self.key_seconds = other.key_seconds
        elif self.key_offset is not None:
            self.key_seconds = min(self.key_seconds, other.first_seconds)
        self.media += other.media
        self.size = moved + other.size

    def end_at(self, seconds: float) -> None:
        """What follows it begins there, or nothing follows."""
        self.end_seconds = max(self.start_seconds, seconds)

    def stand_alone(self, head: HeaderTemplate) -> None:
        """Write the header, and let the clocks start at 0."""
        seconds = self.end_seconds - self.first_seconds
        self.header = head.filled(self.first_seconds, seconds, self.size - head.size)
        for place, timestamp in self.timestamps:
            self.changed += timestamp.moves(place, self.first_seconds)

    def written(self) -> bytes:
        """All of it, as it is sent."""
        if not self.changed:
            return b"".join((self.header, *self.media))
        whole = bytearray().join((self.header, *self.media))
        for place, written in self.changed:
            whole[place : place + len(written)] = written
        return bytes(whole)


class Reached(NamedTuple):
    """Up to where a container stream was cut."""

    start_seconds: float
    """Where the next segment would begin."""
    first_seconds: float
    """Of the earliest track in it."""
    skipped_seconds: float
    """How much of the source's clock was left out before."""


class Cutter:
    """Cuts one container stream. `feed` it bytes, then `finish`; both tell finished segments.

    Args:
        reader: For the container of the stream.
        bounds: Of a segment.
        framing: What the segments are to each other.
        begin_seconds: Where the stream begins, in the time of segments.
        skipped_seconds: How much of the source's clock was left out before it.
        max_pause_seconds: Of all tracks at once; what is longer is left out. See `clock_jumps`.
        max_stay_seconds: How much longer than its neighbours the last picture may last.
        known_jumps: What was left out of the stream when it was made.
        is_live: Whether segments are given at once, so that a short rest joins nothing.
    """

    def __init__(
        self,
        reader: Reader,
        bounds: Bounds,
        framing: Framing,
        *,
        begin_seconds: float = 0.0,
        max_pause_seconds: float = float("inf"),
        max_stay_seconds: float = float("inf"),
        known_jumps: Sequence[ClockJump] = (),
        skipped_seconds: float = 0.0,
        is_live: bool = False,
    ) -> None:
        self._reader = reader
        self._packer = Packer(bounds, holds=not is_live)
        self._is_whole = framing is Framing.WHOLE
        self._begin = begin_seconds
        self._skipped = skipped_seconds
        self._jumps = Jumps(max_pause_seconds, known_jumps)
        self._max_stay = max_stay_seconds
        self._skips = 0.0
        """How much of the clock of the stream was left out so far."""
        self._waiting = deque[bytes]()
        """What was fed and is in no segment yet."""
        self._waiting_offset = 0
        """Of its beginning, in the stream."""
        self._head: HeaderTemplate | None = None
        self._held: Draft | None = None
        self._open: Draft | None = None
        self.end_seconds = begin_seconds
        """In the source, of what was read."""
        self.is_begun = False
        """Whether a segment was given."""

    def feed(self, data: bytes) -> Iterator[Segment]:
        """The segments these bytes complete; iterate to the end.

        Raises:
            OversizeError: One cannot be made; `complete` gives those before it.
        """
        self._waiting.append(data)
        for unit in self._reader.feed(data):
            yield from self._place(unit)

    def finish(self) -> Iterator[Segment]:
        """The last segments; the stream has ended.

        Raises:
            MediaError: What is left cannot be sent; the segments before it were given.
        """
        for unit in self._reader.finish():
            yield from self._place(unit)
        if self._open:
            self._open.end_at(self._open.stays_until_seconds)
        try:
            is_joined = self._packer.ends_joined()
        except MediaError:
            self._open = None
            yield from self._remaining()
            raise
        if is_joined and self._held and self._open:
            self._held.join(self._open)
            self._open = None
        yield from self._remaining()

    def reached(self, failure: MediaError) -> Reached:
        """Up to where segments are complete after a failure."""
        if not self.is_begun and self._held is None:  # sound may begin before the first picture
            return Reached(self._begin, self._begin, self._skipped)
        reached = self._reached_seconds(failure)
        drafts = (draft for draft in (self._held, self._open) if draft)
        following = next((d for d in drafts if d.start_seconds >= reached), None)
        skips, first = self._skips, reached
        if following:
            skips, first = following.skipped_seconds, following.first_seconds
        return Reached(self._begin + reached, self._begin + first, self._skipped + skips)

    def _reached_seconds(self, failure: MediaError) -> float:
        if isinstance(failure, OversizeError):
            return failure.start_seconds
        return self._open.start_seconds if self._open else 0.0

    def complete(self, failure: MediaError) -> Iterator[Segment]:
        """The segments that are complete, after a failure."""
        reached = self._reached_seconds(failure)
        for draft in (self._held, self._open):
            if draft and draft.start_seconds < reached:
                yield self._made(draft)
        self._held = self._open = None

    def _remaining(self) -> Iterator[Segment]:
        for draft in (self._held, self._open):
            if draft:
                yield self._made(draft)
        self._held = self._open = None

    def _place(self, unit: MediaUnit) -> Iterator[Segment]:
        if self._head is None:
            unit = replace(unit, is_first=True)
        unit = self._jumps.placed(self._known_key(unit))
        ends = self._begin + self._skipped + unit.stays_until_seconds + unit.skipped_seconds
        self.end_seconds = max(self.end_seconds, ends)
        unit = unit.bounded(self._max_stay)
        jumps_at = self._leave_out(self._jumps.jumped, unit.start_seconds)
        step = self._packer.add(unit)
        if step.settles and self._held:
            yield self._made(self._held)
        if step.cut is Cut.BEFORE:
            if self._open:
                self._open.end_at(unit.start_seconds)
            self._held, self._open = self._open, self._draft(unit)
        assert self._open is not None
        self._note_jump(unit, max(jumps_at, self._open.start_seconds))
        self._open.add(unit, self._media(unit.offset, unit.size))
        if step.releases and self._held:
            held, self._held = self._held, None
            yield self._made(held)

    def _media(self, offset: int, size: int) -> list[memoryview]:
        """The bytes from a place of the stream on, as far as they came; those before are passed."""
        while self._waiting and offset >= self._waiting_offset + len(self._waiting[0]):
            self._waiting_offset += len(self._waiting.popleft())
        media, at = list[memoryview](), offset - self._waiting_offset
        for data in self._waiting:
            if size <= 0:
                break
            media.append(memoryview(data)[at : at + size])
            size, at = size - len(media[-1]), 0
        return media

    def _known_key(self, unit: MediaUnit) -> MediaUnit:
        """The same unit, no key where a decoder that begins with it shows its pictures late."""
        if unit.h264_offset is None or not unit.is_key:
            return unit
        # From the beginning of the unit on: what is before the place that is asked for is passed.
        media = self._media(unit.offset, unit.h264_offset + _BEGINNING_BYTES)
        is_late = recovers_late(b"".join(media)[unit.h264_offset :])
        return replace(unit, is_key=unit.is_first) if is_late else unit

    def _leave_out(self, jumps: Mapping[int, TimeJump], at_seconds: float) -> float:
        """Change what came, where clocks jump before what comes; gives where the jump is shown."""
        if not jumps:
            return at_seconds
        if self._open:
            self._open.shorten(jumps)
        drafts = (draft for draft in (self._held, self._open) if draft)
        return min([at_seconds, *(draft.show_earlier(jumps) for draft in drafts)])

    def _note_jump(self, unit: MediaUnit, at_seconds: float) -> None:
        assert self._open is not None
        if (seconds := unit.skipped_seconds - self._skips) > 0:
            self._open.jumps.append(ClockJump(self._begin + at_seconds, seconds))
            self._skips = unit.skipped_seconds

    def _draft(self, unit: MediaUnit) -> Draft:
        is_first = self._head is None
        self._head = self._head or self._reader.head()
        header = b""
        if self._is_whole:
            header = bytes(self._head.size)  # written when the length is known
        elif is_first:
            header = self._reader.header or b""
        return Draft(
            header,
            unit.start_seconds,
            unit.end_seconds,
            unit.first_seconds,
            unit.stays_until_seconds,
            unit.skipped_seconds,
            len(header),
        )

    def _made(self, draft: Draft) -> Segment:
        self.is_begun = True
        assert self._head is not None  # a draft is made with it
        if self._is_whole:
            draft.stand_alone(self._head)
        is_whole = self._is_whole
        has_key = draft.key_offset is not None and not is_whole
        begins_key = draft.key_offset == len(draft.header)
        return Segment(
            data=draft.written(),
            start_seconds=self._begin + draft.start_seconds,
            end_seconds=self._begin + draft.end_seconds,
            headed=bool(draft.header),
            key_offset=0 if is_whole or begins_key else draft.key_offset,
            has_leading=draft.has_leading and not is_whole,
            first_seconds=self._begin + (draft.key_seconds if has_key else draft.first_seconds),
            jumps=tuple(draft.jumps),
            clocks=None if is_whole else self._clocks(draft, self._head),
        )

    def _clocks(self, draft: Draft, head: HeaderTemplate) -> Clocks:
        timestamps, header_bytes = tuple(draft.timestamps), len(draft.header)
        return Clocks(head, header_bytes, self._begin, timestamps, draft.before_key)
