"""Places in a stream's file as times of its media: where the file's clock jumps, they differ.

The status names places in the file; messages, and so pictures and exports, count the media that was
sent, in which nothing stands for a jump.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ih_mcp.streams.status import StreamStatus


def media_seconds(status: StreamStatus, place_seconds: float) -> float:
    """The time of media at a place in the file; within a jump, where the jump begins."""
    seconds = place_seconds
    for jump in status.clock_jumps:
        if jump.at_s is not None and jump.left_out_s is not None and seconds > jump.at_s:
            seconds = max(jump.at_s, seconds - jump.left_out_s)
    return seconds


def leg_offsets(status: StreamStatus) -> Mapping[int, float]:
    """Where the clock of each leg begins, in media seconds of the stream; 0 where not named."""
    return {
        gap.legs[1]: media_seconds(status, gap.media_offset_s)
        for gap in status.gaps
        if gap.clock == "from_zero" and gap.media_offset_s is not None
    }


def lost_media(status: StreamStatus) -> Sequence[tuple[float, float]]:
    """Media whose results may be missing, in media seconds of the stream."""
    ranges = status.lost.media_s if status.lost else ()
    return [
        (round(media_seconds(status, start), 3), round(media_seconds(status, end), 3))
        for start, end in ranges
    ]
