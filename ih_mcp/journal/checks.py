"""Detects damaged entries: SQLite itself does not notice a bit that flipped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence

from ih_mcp.errors import JournalError, UnknownStreamError
from ih_mcp.redaction import redact

_SPREAD = 0x9E3779B1  # Knuth: so that streams and cursors do not cancel out
_DAMAGED = json.dumps({"state": "failed", "reason": "journal_damaged"})


def compute_checksums(rows: Sequence[tuple[int, int, int, str | bytes]]) -> Iterator[int]:
    """CRC-32 of each message, begun with its place: one that moved is seen too.

    A binary message begins with the complement: text that reads as bytes is seen too.
    Lazy: this runs for every message.
    """
    for place, _, _, body in rows:
        start = place ^ (place >> 32) * _SPREAD  # of it, CRC-32 takes the low half
        yield (
            zlib.crc32(body, ~start)
            if isinstance(body, bytes)
            else zlib.crc32(body.encode(), start)
        )


def is_whole(fields: Sequence[object], written: object) -> bool:
    """Whether an entry is unchanged. A damaged file may give values of any type."""
    place, leg, received_at, body = fields
    if not isinstance(place, int) or not isinstance(leg, int) or not isinstance(received_at, int):
        return False
    if not isinstance(body, str | bytes):
        return False
    if written is None:
        return True
    return written == next(compute_checksums([(place, leg, received_at, body)]))


def damaged_error(stream_id: str, cursor: int) -> JournalError:
    """The error for an entry that differs from what was written."""
    return JournalError(
        f"the journal is damaged: message {cursor} of {stream_id} is not as it was written",
        code="journal_damaged",
        help=f"Messages before it can be read; poll_events(cursor={cursor}) continues after it.",
        facts={"stream_id": stream_id, "damaged_cursor": cursor},
    )


def unknown_stream_error(stream_id: str) -> UnknownStreamError:
    """The error for an id that names no stream."""
    return UnknownStreamError(f"there is no stream {stream_id}", facts={"stream_id": stream_id})


def lost_lease_error() -> JournalError:
    """The error for a stream of a process that was declared dead."""
    return JournalError(
        "this process did not renew its lease in time, so its streams were ended",
        help="Start a new stream; what was shown before is kept.",
    )


def busy_error() -> JournalError:
    """The error for what was not written, since what came before it still waits."""
    return JournalError(
        "the journal still waits for what was to be written before this",
        help="Try again in a few seconds.",
        retry=True,
    )


def record_to_json(record: Mapping[str, object]) -> str:
    """A record for the disk, without secrets: we wrote its texts."""
    return redact(json.dumps(record))


def record_or_damaged(record: object) -> str:
    """The record of a stream; where it is damaged, a record of that failure."""
    try:
        known = json.loads(record) if isinstance(record, str) else None
    except ValueError:
        known = None
    return record if isinstance(record, str) and isinstance(known, dict) else _DAMAGED
