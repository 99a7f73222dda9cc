"""Where to cut: units and limits in, segments out; pure.

A cut may be made before a unit. In whole segments that has to be a key frame of a closed GOP,
since an open one begins with pictures that need what came before it. In a continued stream any unit
will do; those with a key frame are sought, since a new API session can begin there. The rest of a
stream that would be too short joins the segment before it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple, Protocol

from ih_mcp.errors import MediaError

from .segment_bounds import EPSILON_SECONDS, Bounds, even_length

_STAYS_SECONDS = 1.0  # chosen: a picture that lasts longer than its neighbours by so much stays
_STEPS = 8  # chosen: a place that is far from the last one, as behind a still picture, is forgotten
SPARE_SHARE = 0.95  # chosen: bit rates vary, so segments should not be full to the last byte


class PackedUnit(Protocol):
    """What a unit has to tell to be packed."""

    @property
    def size(self) -> int: ...
    @property
    def start_seconds(self) -> float: ...
    @property
    def end_seconds(self) -> float: ...
    @property
    def stays_until_seconds(self) -> float: ...
    @property
    def is_key(self) -> bool: ...
    @property
    def has_picture(self) -> bool: ...
    @property
    def has_leading(self) -> bool: ...


class Cut(Enum):
    """What to do with a unit."""

    NONE = auto()
    """It belongs to the open segment."""
    BEFORE = auto()
    """It begins a new segment."""


@dataclass(slots=True)
class Extent:
    """What a segment holds so far."""

    start_seconds: float
    end_seconds: float
    size: int
    has_picture: bool = True
    is_key: bool = True
    stays_until_seconds: float = 0.0
    """Where it ends if it is the last of the stream."""

    @property
    def seconds(self) -> float:
        return self.end_seconds - self.start_seconds

    def until(self, seconds: float) -> Extent:
        """The same, ended where what follows it begins."""
        end = max(self.start_seconds, seconds)
        return replace(self, end_seconds=end, stays_until_seconds=end)


class PackerStep(NamedTuple):
    """What follows from one unit."""

    cut: Cut
    settles: bool
    """Whether the segment held back so far is complete, before the cut makes another of them."""
    releases: bool
    """Whether the segment held back is complete, after the cut."""


class Packer:
    """Decides unit by unit.

    Holds back the segment before the open one until it is sure that nothing will join it. Both
    together never exceed the maximum, so whoever keeps the media keeps one segment.

    Call `add` for each unit and, at the end of the stream, `ends_joined` once.

    Args:
        limits: Of a segment.
        holds: False where waiting costs more than a short rest, as in live streams.
    """

    def __init__(self, limits: Bounds, *, holds: bool = True) -> None:
        self._bounds = limits
        self._holds = holds
        self._open: Extent | None = None
        self._held: Extent | None = None
        self._keys: tuple[float, float] | None = None
        """When the last key frame came and when the next is expected, in seconds."""
        self._origin_seconds: float | None = None
        """Where the stream begins."""
        self._packed_bytes = 0
        """What came before the open segment."""
        self._shown_seconds = 0.0
        """Until where there are pictures."""
        self._last_place_seconds = 0.0
        self._steps = deque([0.0], maxlen=_STEPS)
        """How far apart the last places to cut are, in seconds."""

    def add(self, piece: PackedUnit) -> PackerStep:
        """Take the next unit.

        Raises:
            OversizeError: It does not fit, and nothing can be cut before it.
        """
        settles = False
        if piece.is_key and piece.has_picture:
            last = self._keys[0] if self._keys else piece.start_seconds
            self._keys = (piece.start_seconds, 2 * piece.start_seconds - last)
        self._measure(piece)
        if self._open is None or self._cuts(self._open, piece):
            cut, settles = Cut.BEFORE, self._held is not None
            self._packed_bytes += self._open.size if self._open else 0
            self._held = self._open and self._until(self._open, piece.start_seconds)
            self._open = _extent(piece)
            fits = self._gives_way(self._open, self._open.size) or self._is_within(self._open)
        else:
            cut = Cut.NONE
            fits = self._may_extend(self._open, piece)
            _extend(self._open, piece)
        if not fits:
            raise OversizeError(self._open, self._bounds)
        return PackerStep(cut, settles, self._releases())

    def _measure(self, piece: PackedUnit) -> None:
        if self._origin_seconds is None:
            self._origin_seconds = self._last_place_seconds = piece.start_seconds
        if piece.has_picture:
            self._shown_seconds = piece.end_seconds
        if not self._bounds.needs_key or _stands_alone(piece):
            self._steps.append(piece.start_seconds - self._last_place_seconds)
            self._last_place_seconds = piece.start_seconds

    def _until(self, extent: Extent, seconds: float) -> Extent:
        """The extent, which ends there since something else begins, or the stream is over.

        Raises:
            OversizeError: Its last picture would stay for too long.
        """
        ended = extent.until(seconds)
        stays = ended.end_seconds > extent.end_seconds + _STAYS_SECONDS
        if stays and not self._is_within(ended) and not self._gives_way(extent, extent.size):
            raise OversizeError(ended, self._bounds)
        return ended

    def _may_extend(self, extent: Extent, piece: PackedUnit) -> bool:
        needs_more = self._bounds.needs_key and piece.has_picture and not _stands_alone(piece)
        if needs_more and not extent.has_picture:  # it began where the picture paused
            return False
        is_within = self._are_within(extent, piece)
        return is_within or self._gives_way(extent, extent.size + piece.size)

    def _gives_way(self, extent: Extent, size: int) -> bool:
        """Whether our own longest gives way, as a still picture takes long to fill a segment.

        Args:
            size: Of the segment that would be longer.
        """
        is_free = not self._bounds.is_max_declared and size <= self._bounds.max_bytes
        return is_free and not self._reaches_minimum(extent.seconds, extent.size)

    def ends_joined(self) -> bool:
        """The stream has ended: whether the open segment joins the one held back.

        Raises:
            MediaError: What is left is too short or too small and cannot be joined
                (`too_short`, `too_small`).
            OversizeError: Its last picture stays for too long.
        """
        if self._open is None:
            return False
        self._open = self._until(self._open, self._open.stays_until_seconds)
        if self._stands_well(self._open):
            return False
        if self._held and self._may_join(self._held, self._open):
            return True
        if self._reaches_minimum(self._open.seconds, self._open.size):
            return False
        raise too_little(self._open, self._bounds)

    def _cuts(self, extent: Extent, piece: PackedUnit) -> bool:
        seconds = max(0.0, piece.start_seconds - extent.start_seconds)
        if not self._reaches_minimum(seconds, extent.size):
            return False
        overflows = not self._are_within(extent, piece)
        if self._bounds.needs_key and not _stands_alone(piece):
            # Where the picture pauses or has ended, sound goes on; it is decodable anywhere.
            is_sound = not piece.has_picture and not self._bounds.needs_picture
            return is_sound and (overflows or self._has_ended(extent, piece))
        return overflows or (
            piece.start_seconds - extent.start_seconds
            >= self._wished(extent, piece) - EPSILON_SECONDS
        )

    def _has_ended(self, extent: Extent, piece: PackedUnit) -> bool:
        """Whether no picture came for so long that the next one is encoded as a key frame."""
        paused = piece.start_seconds - max(extent.start_seconds, self._shown_seconds)
        return paused >= self._bounds.target_seconds - EPSILON_SECONDS

    def _wished(self, extent: Extent, piece: PackedUnit) -> float:
        """How long the open segment should be if it ends before `piece`."""
        target, shortest = self._target_seconds(extent), self._bounds.joined_below_seconds
        if self._bounds.needs_key:
            return target
        if piece.is_key:
            return target if extent.is_key else min(target, shortest)
        left = self._keys[1] - extent.start_seconds if self._keys else 0.0
        if not target + EPSILON_SECONDS < left < target + shortest - EPSILON_SECONDS:
            return target
        # Cut at the target, what is left before the next key frame would be no segment.
        return left / 2 if left / 2 >= shortest else left

    def _target_seconds(self, extent: Extent) -> float:
        """How long the segment should be, as far as the length of the stream is known."""
        limits = self._bounds
        seconds = limits.total_seconds - (extent.start_seconds - (self._origin_seconds or 0.0))
        if seconds <= 0:
            return limits.target_seconds
        step = max(self._steps)
        for share in (SPARE_SHARE, 1.0):
            shortest, longest = self._lengths(seconds, share)
            made = even_length(limits.target_seconds, seconds, shortest, longest, step)
            if made is not None:
                return made
        return limits.target_seconds

    def _lengths(self, seconds: float, share: float) -> tuple[float, float]:
        """How short and how long a segment may be, by its bytes too where they are known."""
        limits = self._bounds
        size = limits.total_bytes - self._packed_bytes
        if size <= 0:
            return limits.min_seconds, limits.max_seconds
        seconds_per_byte = seconds / size
        return (
            max(limits.min_seconds, limits.min_bytes * seconds_per_byte / share),
            min(limits.max_seconds, limits.max_bytes * seconds_per_byte * share),
        )

    def _releases(self) -> bool:
        if self._held is None or self._open is None:
            return False
        if self._holds and self._may_join(self._held, self._open):
            return False
        self._held = None
        return True

    def _reaches_minimum(self, seconds: float, size: int) -> bool:
        limits = self._bounds
        return seconds >= limits.min_seconds - EPSILON_SECONDS and size >= limits.min_bytes

    def _may_join(self, held: Extent, extent: Extent) -> bool:
        """Whether the open segment would join the one before it if the stream ended now."""
        if self._stands_well(extent):
            return False
        is_within = self._are_within(held, extent)
        return is_within or self._gives_way(extent, held.size + extent.size)

    def _stands_well(self, extent: Extent) -> bool:
        is_long = extent.seconds >= self._bounds.joined_below_seconds - EPSILON_SECONDS
        return is_long and self._reaches_minimum(extent.seconds, extent.size)

    def _is_within(self, extent: Extent) -> bool:
        limits = self._bounds
        is_short = extent.seconds <= limits.max_seconds + EPSILON_SECONDS
        return is_short and extent.size <= limits.max_bytes

    def _are_within(self, extent: Extent, follower: Extent | PackedUnit) -> bool:
        """Whether both are no more than one segment may have."""
        limits = self._bounds
        if extent.size + follower.size > limits.max_bytes:
            return False
        end_seconds = max(extent.end_seconds, follower.end_seconds)
        return end_seconds - extent.start_seconds <= limits.max_seconds + EPSILON_SECONDS


class OversizeError(MediaError):
    """A segment that can neither be cut nor sent; from `start_seconds` on, encode."""

    default_code = "segment_too_large"

    def __init__(self, extent: Extent, limits: Bounds) -> None:
        self.start_seconds = extent.start_seconds
        super().__init__(
            f"at {extent.start_seconds:.1f} s, {extent.seconds:.1f} s of media with "
            f"{extent.size} bytes cannot be cut; a segment takes {limits.max_bytes} bytes"
            + (f" and {limits.max_seconds:g} s" if limits.max_seconds < float("inf") else ""),
            help="Encode the file with a lower bit rate and a key frame (closed GOP) every 2 s.",
            facts={"start_seconds": extent.start_seconds, "bytes": extent.size},
        )


def too_little(extent: Extent, limits: Bounds) -> MediaError:
    """The error for what is left of a stream and is no segment."""
    is_short = extent.seconds < limits.min_seconds - EPSILON_SECONDS
    needed = f"{limits.min_seconds:g} s" if is_short else f"{limits.min_bytes} bytes"
    return MediaError(
        f"from {extent.start_seconds:.1f} s on there are only {extent.seconds:.2f} s of media with "
        f"{extent.size} bytes; a segment needs {needed}",
        help="Give a longer file, or use a version of the API without this minimum.",
        code="too_short" if is_short else "too_small",
        facts={"seconds": extent.seconds, "bytes": extent.size},
    )


def _stands_alone(piece: PackedUnit) -> bool:
    return piece.is_key and not piece.has_leading


def _extent(piece: PackedUnit) -> Extent:
    return Extent(
        piece.start_seconds,
        piece.end_seconds,
        piece.size,
        piece.has_picture,
        piece.is_key,
        piece.stays_until_seconds,
    )


def _extend(extent: Extent, piece: PackedUnit) -> None:
    extent.end_seconds = max(extent.end_seconds, piece.end_seconds)
    extent.stays_until_seconds = max(extent.stays_until_seconds, piece.stays_until_seconds)
    extent.size += piece.size
    extent.has_picture = extent.has_picture or piece.has_picture
