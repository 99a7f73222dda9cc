"""The status of a stream in an answer, short or full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.registry import live_status
from ih_mcp.streams.sources.pushed import PushedSource
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.minutes import to_minutes

_SHORT = (
    "state", "endpoint", "stand_in",
    "reason", "error", "retryable", "retry_after_s", "what_now", "lost", "gaps",
    "held", "clock_jumps", "segments", "media_seconds", "next_seq",
)  # fmt: skip
_MOST_GAPS = 3  # chosen: a day's stream has 24, and a model pays for each in every answer


def short_status(stream: Stream) -> dict[str, object]:
    """The part of a stream's status that every answer has."""
    return {"stream_id": stream.id, **shorten(live_status(stream))}


def shorten(status: StreamStatus) -> dict[str, object]:
    """The short form of a status."""
    return with_few_gaps(status, _SHORT)


def with_few_gaps(status: StreamStatus, names: Sequence[str] = ()) -> dict[str, object]:
    """A status with the newest of many gaps, and how many came before; or these fields of it."""
    earlier = len(status.gaps) - _MOST_GAPS
    if earlier <= 0:
        return status.to_json(names)
    newest = replace(status, gaps=status.gaps[-_MOST_GAPS:])
    return newest.to_json(names) | {"earlier_gaps": earlier}


def count_segments(stream: Stream) -> dict[str, object]:
    """How much was pushed, where it is a caller that pushes; how much was sent, and waits."""
    pushed = {}
    if stream.feeder in {None, Feeder.PUSH}:
        size = stream.source.pushed_bytes if isinstance(stream.source, PushedSource) else 0
        pushed = {"pushed": {"segments": stream.next_seq - 1, "bytes": size}}
    return {
        **pushed,
        "sent": {"segments": stream.sent_segments, "bytes": stream.sent_bytes},
        "waiting": {"segments": stream.waiting_segments, "bytes": stream.waiting_bytes},
    }


BILLING = {
    "billing": "The service bills minutes_analysed (analysed_today is the sum), what it analysed "
    "and delivered; the media it dropped is free, and unknown_s of usage may be billed too. "
    "used_today is what limits count, and no bill: what was sent (a token's max_video_seconds "
    "too), less what was dropped. Each figure is rounded up, so rows may add to more than their "
    "sum. The stand-in bills nothing."
}
_MINUTES = {"minutes_sent": "delivered_s", "minutes_analysed": "analysed_s"}


def minutes_of(usage: object) -> dict[str, float]:
    """How many minutes of a stream or an upload were sent and analysed, as far as it is known."""
    known = usage if isinstance(usage, Mapping) else {}
    return {
        name: to_minutes(seconds, up=True)
        for name, key in _MINUTES.items()
        if isinstance(seconds := known.get(key), int | float)
    }


def full_status(stream: Stream) -> dict[str, object]:
    """The status of a live stream, for block 0."""
    status: dict[str, object] = {"stream_id": stream.id, **live_status(stream).to_json()}
    status |= count_segments(stream)
    if stream.is_open and not stream.is_over:
        limits = stream.limits
        status["limits"] = {
            name: value
            for name in ("min_segment_seconds", "max_segment_bytes", "max_idle_seconds")
            if (value := getattr(limits, name)) is not None
        }
    return status


def add_notes(status: Mapping[str, object], notes: Iterable[str]) -> dict[str, object]:
    """A status with more notes behind its own; they are one list, and left out where empty."""
    known = status.get("notes", ())
    assert isinstance(known, list | tuple)
    found = [*known, *notes]
    return {**status, "notes": found} if found else {**status}
