"""The status of a stream as the journal keeps it, completed where its process was killed.

The record is written at times, each message before it is shown, and the table of used minutes
before each segment is sent. So a record may not know all that its process received and sent.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ih_mcp.journal import Journal, StreamRow
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.minutes import MediaUse

from .ids import IdKind
from .status import LossStatus, StreamStatus


async def read_status(journal: Journal, stream_id: str) -> StreamStatus:
    """The status of a stream of any process.

    Raises:
        UnknownStreamError: There is no such stream.
    """
    row = await journal.find_stream(stream_id)
    status = kept_status(row)
    if not _was_killed(row, status):
        return status
    return kept_status(row, await journal.read_usage(lambda table: table.find_use(stream_id)))


def kept_status(row: StreamRow, use: MediaUse | None = None) -> StreamStatus:
    """The status that a row of the journal has.

    Args:
        use: What the table of used minutes has of the stream.
    """
    status = replace(StreamStatus.from_json(json.loads(row.record)), messages=row.last)
    if use is None:
        return status
    if _was_killed(row, status):
        status = complete_status(status, use)
    return replace(status, usage=use.to_json())


def _was_killed(row: StreamRow, status: StreamStatus) -> bool:
    is_stopped = status.reason == EndReason.HOST_STOPPED and not status.error
    return is_stopped and IdKind.STREAM.has(row.id)


def complete_status(status: StreamStatus, use: MediaUse) -> StreamStatus:
    """Add what a killed process sent: what the service had not reported on may be lost."""
    end = min(use.delivered_seconds, status.duration_s or use.delivered_seconds)
    lost = status.lost
    if use.unknown_seconds:
        lost = lost or LossStatus()
        unknown = (round(max(0.0, end - use.unknown_seconds), 3), round(end, 3))
        lost = replace(lost, media_s=(*lost.media_s, unknown))
    seconds = round(max(status.media_seconds, end), 3)
    return replace(status, media_seconds=seconds, lost=lost)
