"""What we say about a stream, beside its messages."""

from __future__ import annotations

from ih_mcp.streams.stream import Stream


def status_of(stream: Stream) -> dict[str, object]:
    """The status of a live stream, for block 0."""
    status: dict[str, object] = {"stream_id": stream.id, **stream.record()}
    status["last_cursor"] = stream.log.last
    if stream.leg and stream.leg.is_open and not stream.is_over:
        limits = stream.leg.session.limits
        status["limits"] = {
            name: value
            for name in ("min_segment_seconds", "max_segment_bytes", "max_idle_seconds")
            if (value := getattr(limits, name)) is not None
        }
    return status
