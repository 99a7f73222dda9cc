"""Streams as rows of a table: how long each is, what of it has readings, and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ih_mcp.timeline.summary import covered_seconds

from .readings import STREAM_COLUMNS, ExportRow, StreamReadings

STREAM_SECONDS = (
    "file_seconds", "media_seconds", "analysed_seconds", "not_analysed_seconds",
    "degraded_seconds", "lost_seconds", "not_sent_seconds",
)  # fmt: skip
STREAM_COUNTS = ("messages", "signals", "spans", "phases")
STREAM_TABLE = (*STREAM_COLUMNS, *STREAM_SECONDS, *STREAM_COUNTS)
"""The columns; what is not known is empty."""


def stream_rows(readings: Iterable[StreamReadings]) -> Iterator[tuple[object, ...]]:
    """A row for each stream; each value belongs to the name at its place in `STREAM_TABLE`."""
    for reading in readings:
        yield (*reading.stream_values, *_seconds(reading), *_counts(reading))


def _seconds(reading: StreamReadings) -> Iterator[float | None]:
    status = reading.status
    gaps = [row for row in reading.rows if row.kind == "gap"]
    yield status.duration_s
    yield status.media_seconds
    yield status.usage.get("analysed_s") if status.usage else None
    yield _covered(gaps, "not_analysed")
    yield _covered(gaps, "degraded")
    yield _covered(gaps, "lost")
    unsent = status.lost.let_go_s if status.lost else 0.0
    yield round(_covered(gaps, "not_sent") + unsent, 3)


def _covered(gaps: Iterable[ExportRow], name: str) -> float:
    """How many seconds the gaps of a name cover; those that overlap count once."""
    placed = (
        (gap.start_seconds, gap.end_seconds)
        for gap in gaps
        if gap.name == name and gap.start_seconds is not None and gap.end_seconds is not None
    )
    return round(covered_seconds(placed), 3)


def _counts(reading: StreamReadings) -> Iterator[int]:
    phases = [row for row in reading.rows if row.kind == "signal"]
    yield reading.status.messages
    yield len({row.name for row in phases})
    yield len({row.span for row in phases})
    yield len(phases)
