"""How long, and how much of, the messages of streams are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .store import StreamRow


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


def find_expired(rows: Sequence[StreamRow], retention: Retention, now: float) -> list[int]:
    """Numbers of the ended streams that are too old, or over the total, oldest first."""
    ended = [(row, row.ended_at) for row in rows if row.ended_at is not None]
    kept = sum(row.disk_bytes for row in rows)
    expired = []
    for row, ended_at in sorted(ended, key=lambda pair: pair[1]):
        if now - ended_at > retention.max_age_seconds or kept > retention.max_bytes:
            expired.append(row.no)
            kept -= row.disk_bytes
    return expired
