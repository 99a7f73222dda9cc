"""The status of a stream in an answer, short or full."""

from __future__ import annotations

from collections.abc import Mapping

from ih_mcp.streams.registry import live_record
from ih_mcp.streams.stream import Stream

_SHORT = (
    "state", "reason", "error", "retryable", "retry_after_s", "what_now", "lost", "gaps",
    "held", "clock_jumps", "segments", "media_seconds",
)  # fmt: skip
_MOST_GAPS = 3  # chosen: a day's stream has 24, and a model pays for each in every answer


def short_status(stream: Stream) -> dict[str, object]:
    """The part of a stream's status that every answer has."""
    return {"stream_id": stream.id, **shorten(stream.record())}


def shorten(record: Mapping[str, object]) -> dict[str, object]:
    """The short form of a status record: of many gaps the newest, and how many came before."""
    short = {name: record[name] for name in _SHORT if name in record}
    gaps = record.get("gaps")
    if isinstance(gaps, list) and len(gaps) > _MOST_GAPS:
        short |= {"gaps": gaps[-_MOST_GAPS:], "earlier_gaps": len(gaps) - _MOST_GAPS}
    return short


def full_status(stream: Stream) -> dict[str, object]:
    """The status of a live stream, for block 0."""
    status: dict[str, object] = {"stream_id": stream.id, **live_record(stream)}
    if stream.leg and stream.leg.is_open and not stream.is_over:
        limits = stream.leg.session.limits
        status["limits"] = {
            name: value
            for name in ("min_segment_seconds", "max_segment_bytes", "max_idle_seconds")
            if (value := getattr(limits, name)) is not None
        }
    return status
