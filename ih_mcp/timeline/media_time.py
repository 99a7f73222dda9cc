"""Places in a stream's file as times of its media: where the file's clock jumps, they differ.

The status names places in the file; messages, and so pictures and exports, count the media that was
sent, in which nothing stands for a jump.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ih_mcp.streams.status import StreamStatus
from ih_mcp.wire.endings import EndReason

_UNSEEN_SECONDS = 0.05  # chosen: less than two pictures
_LENGTHS_DIFFER_SECONDS = 0.5  # chosen: its tracks, and so what is sent, may end before a file


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


def unsent_media(status: StreamStatus) -> Sequence[tuple[float, float]]:
    """What of its file a stream that is over did not send, in media seconds of the stream."""
    is_of_file = status.pace and status.duration_s is not None
    if not (status.is_over and is_of_file) or status.reason == EndReason.END_OF_FILE:
        return []
    start = _sent_seconds(status)
    end = round(media_seconds(status, status.duration_s or 0.0), 3)
    is_stopped = status.reason == EndReason.STOPPED
    least = _UNSEEN_SECONDS if is_stopped else _LENGTHS_DIFFER_SECONDS
    return [(start, end)] if end - start >= least else []


def end_of_media(status: StreamStatus) -> float:
    """Where the media of a stream ends, with what of its file was not sent."""
    return max(status.media_seconds, *(end for _, end in unsent_media(status)), 0.0)


def _sent_seconds(status: StreamStatus) -> float:
    """How much media was given to a connection; accepted may have been more."""
    if not status.usage:
        return status.media_seconds if status.bytes_sent else 0.0
    is_all_sent = status.state == "ended" and not (status.lost and status.lost.segments_not_sent)
    delivered = status.usage.get("delivered_s", 0.0)
    return status.media_seconds if is_all_sent else min(status.media_seconds, delivered)
