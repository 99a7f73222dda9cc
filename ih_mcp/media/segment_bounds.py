"""The limits of one segment, and lengths that leave room for the segments that follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

from ih_mcp.wire.dialects import Framing, Limits

MARGIN_BYTES = 1 << 16  # chosen: kept free below the maximum of the API
MAX_WHOLE_SECONDS = 30.0  # chosen: where the API declares none; a longer GOP is encoded
_SHORT_SECONDS = 1.0  # skill: stream-analyze v2, "1 to 3 s per frame"
EPSILON_SECONDS = 1e-4  # container clocks are rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one segment; all ends included."""

    target_seconds: float
    min_seconds: float
    joined_below_seconds: float
    """A shorter rest joins the segment before it where it fits, though it could stand alone."""
    max_seconds: float
    is_max_declared: bool
    """Whether `max_seconds` is the API's; ours gives way to the minima."""
    min_bytes: int
    max_bytes: int
    """Of media; what is kept free below the API's maximum takes the header."""
    needs_key: bool
    """Whether a segment has to begin with a key frame."""
    needs_picture: bool = False
    """Whether sound without a picture is no segment: where the picture stays for long, it is
    encoded, and so repeated."""
    total_seconds: float = 0.0
    """Of the whole stream; 0 where it is not known. Where its rest would be too short and could
    join nothing, segments become about even shares of what is left."""
    total_bytes: int = 0
    """Of the whole stream, about; 0 where it is not known."""

    def of_stream(self, seconds: float, size: int) -> Bounds:
        """The same for a stream of so many seconds and bytes, each 0 where it is not known.

        Where its rest would be too short and could join nothing, the target is an even share, so
        that key frames can be put there.
        """
        target = _period(self.target_seconds, seconds, self.min_seconds, self.max_seconds)
        return replace(self, target_seconds=target, total_seconds=seconds, total_bytes=size)


def bounds(
    limits: Limits,
    framing: Framing,
    *,
    target_seconds: float,
    needs_picture: bool = False,
) -> Bounds:
    """What holds for the segments of one file.

    Args:
        limits: Of the API session, or of the dialect until it is open.
        framing: What segments are to each other.
        target_seconds: Wished; raised to the minimum and lowered to the maximum.
        needs_picture: Whether a picture that stays can still be encoded.
    """
    is_whole = framing is Framing.WHOLE
    longest = limits.max_segment_seconds or (MAX_WHOLE_SECONDS if is_whole else float("inf"))
    shortest = limits.min_segment_seconds or 0.0
    return Bounds(
        target_seconds=min(max(target_seconds, shortest), longest),
        min_seconds=shortest,
        joined_below_seconds=max(shortest, _SHORT_SECONDS),
        max_seconds=longest,
        is_max_declared=limits.max_segment_seconds is not None,
        min_bytes=limits.min_segment_bytes,
        max_bytes=limits.max_segment_bytes - min(MARGIN_BYTES, limits.max_segment_bytes // 8),
        needs_key=is_whole,
        needs_picture=is_whole and needs_picture,
    )


def _period(target: float, seconds: float, shortest: float, longest: float) -> float:
    rest = seconds % target
    if rest < EPSILON_SECONDS or rest >= shortest or target + rest <= longest:
        return target
    shares = (seconds / count for count in (seconds // target + 1, seconds // target) if count)
    return next((share for share in shares if shortest <= share <= longest), target)


def even_length(
    target: float, left: float, shortest: float, longest: float, step: float
) -> float | None:
    """How long to make a segment, so that those after it can be within the limits too.

    None where no length does that.

    Args:
        target: The wished length.
        left: Seconds from the start of the segment to the end of the stream.
        shortest: The minimum of a segment.
        longest: The maximum of a segment.
        step: How far apart the places are where the stream can be cut.
    """
    if left <= longest:  # a rest that is too short joins
        return target
    wished = max(target, shortest)
    if wished + step + shortest <= longest:  # each joins a rest that is too short
        return target
    if wished + step <= longest and _has_room(left - wished, shortest, longest, step):
        return target
    if step:  # no segment can be longer or shorter than its places allow
        longest = floor(longest / step + EPSILON_SECONDS) * step or longest
        shortest = ceil(shortest / step - EPSILON_SECONDS) * step
    count = _count(left, shortest, longest)
    if not count:
        return None
    return max(shortest, left - (count - 1) * longest, left / count - step / 2)


def _has_room(after: float, shortest: float, longest: float, step: float) -> bool:
    """Whether segments can cover what is left wherever, within a step, each of them ends."""
    if longest <= step:
        return False
    return ceil(after / (longest - step)) * (shortest + step) <= after


def _count(seconds: float, shortest: float, longest: float) -> int:
    """How many segments cover it, with as much room to both limits as can be; 0 where none do."""
    least = ceil(seconds / longest - EPSILON_SECONDS)
    wished = round(2 * seconds / (shortest + longest))
    most = floor(seconds / shortest + EPSILON_SECONDS) if shortest else max(least, wished)
    return max(least, min(wished, most)) if least <= most else 0
