"""How long, and how much of, the messages of streams are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .store import StreamRow

_FIRST_END = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
"""MCP is of November 2024: no version of this program ended a stream before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how many messages are kept. Live streams are never removed."""

    max_bytes: int = 1 * 2**30
    """Of all messages on the disk. The streams that ended first are removed first."""
    max_stream_bytes: int = 256 * 2**20
    """Of one stream's messages on the disk; beyond it their oldest quarter is removed."""
    max_age_seconds: float = 30 * 86_400
    """Since a stream's end."""
    strict: bool = False
    """Whether an entry survives a power failure before it can be read; costs a sync per commit."""
    orphaned: Mapping[str, object] = field(default_factory=dict)
    """Written into the record of a stream whose process died."""


def find_end(row: StreamRow) -> float | None:
    """When a stream ended; None while it lives, or where the clock was plainly wrong at its end.

    A machine without a battery for its clock begins with 1970 or 2000, until it has asked for
    the time: such an end says nothing of the age.
    """
    return None if row.ended_at is None or row.ended_at < _FIRST_END else row.ended_at


def find_expired(rows: Sequence[StreamRow], retention: Retention, now: float) -> list[int]:
    """Numbers of the ended streams that are too old, or over the total, oldest first.

    Those whose age is not known go before the others, as they began, but only over the total.
    """
    ended = [(find_end(row) or 0.0, row.no, row) for row in rows if row.ended_at is not None]
    kept = sum(row.disk_bytes for row in rows)
    expired = []
    for ended_at, _, row in sorted(ended):
        is_too_old = ended_at and now - ended_at > retention.max_age_seconds
        if is_too_old or kept > retention.max_bytes:
            expired.append(row.no)
            kept -= row.disk_bytes
    return expired
