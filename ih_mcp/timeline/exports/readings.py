"""What exports have of a stream: one row for each phase, state, score and gap, with its messages.

The same fold as in pictures, but nothing is rounded, cut or left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace

from anyio import to_thread

from ih_mcp.garbage_collector import leaving_out
from ih_mcp.journal import Entry, Journal, follow
from ih_mcp.streams.kept_status import read_status
from ih_mcp.streams.status import StreamStatus
from ih_mcp.timeline.about import about
from ih_mcp.timeline.media_time import end_of_media, leg_offsets, lost_media, unsent_media
from ih_mcp.timeline.model import Timeline, free_items, make_timeline
from ih_mcp.timeline.rows import DIMENSIONS
from ih_mcp.wire.spans import Lifecycle, MessagePlace

_PAGE, _PAGE_CHARS = 1000, 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One row of a table; its fields are the last columns, in this order."""

    kind: str
    """`signal`, `engagement`, `quality` or `gap`."""
    name: str
    """The signal, the dimension of quality, or the kind of gap."""
    start_seconds: float | None
    """Of media of the stream; None where only an amount is known."""
    end_seconds: float | None
    """None while it goes on."""
    probability: str | None = None
    """Of a signal, the word as it came; ordered low, medium, high."""
    state: str | None = None
    """Of engagement."""
    score: float | None = None
    """Of quality, from 0 to 100."""
    rationale: str | None = None
    ends_implicitly: bool = False
    """Whether no message ended it: the session did."""
    span: int | None = None
    """Phases of one span have one number."""
    leg: int | None = None
    first_cursor: int | None = None
    """The message that began it."""
    last_cursor: int | None = None
    """The message that ended it."""

    @property
    def duration_seconds(self) -> float | None:
        """None while it goes on, or where only an amount is known."""
        if self.start_seconds is None or self.end_seconds is None:
            return None
        return round(self.end_seconds - self.start_seconds, 6)

    @property
    def value(self) -> str:
        """What stands in a tier or a subtitle beside the name."""
        if self.kind == "signal":
            return self.probability or "no probability named"
        if self.kind == "quality":
            return "no score" if self.score is None else f"{self.score:g}"
        return self.state or self.name.replace("_", " ")


_STREAM_COLUMNS = (
    "stream_id", "source", "label", "api", "endpoint", "stand_in", "analyst", "started_at", "state",
    "reason", "notes",
)  # fmt: skip
STREAM_COLUMNS = tuple("stream_state" if name == "state" else name for name in _STREAM_COLUMNS)
"""Of a table: what is said of a stream."""
_FIELDS = [each.name for each in fields(ExportRow)]
_TIMES = _FIELDS.index("end_seconds") + 1
_ROW_COLUMNS = (*_FIELDS[:_TIMES], "duration_seconds", *_FIELDS[_TIMES:])
COLUMNS = STREAM_COLUMNS + _ROW_COLUMNS
"""Of a table of rows: those of the stream, then those of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReadings:
    """A stream for an export."""

    stream_id: str
    status: StreamStatus
    rows: list[ExportRow]
    seconds: float
    """The end of its media, with what was not sent, or the newest time that is known."""
    entries: list[Entry] = field(default_factory=list)
    """The messages as they came, where the format wants them."""
    media_path: str = ""
    """Of its file, as seen from the folder of the export; empty where that is not known."""

    @property
    def about(self) -> str:
        """Whose readings these are, and what their readers should know, in one line."""
        status = self.status
        whose = about(status, stream_id=self.stream_id, api=status.api)
        return " ".join([*whose, *(f"Note: {note}" for note in status.notes)])

    @property
    def stream_values(self) -> tuple[object, ...]:
        """The values of `STREAM_COLUMNS`."""
        known = [getattr(self.status, name) for name in _STREAM_COLUMNS[1:-1]]
        return self.stream_id, *known, " ".join(self.status.notes)

    def free(self) -> None:
        """Free the rows and messages; blocks, but never keeps the interpreter for long."""
        free_items(self.rows)
        free_items(self.entries)


async def read_stream(
    journal: Journal,
    stream_id: str,
    *,
    keeps_entries: bool = False,
    on_read: Callable[[int, int], None] | None = None,
) -> StreamReadings:
    """Read a stream as the journal has it now.

    Args:
        keeps_entries: Whether the format wants the messages themselves.
        on_read: Called with the newest cursor that was read, and with the newest there is.

    Raises:
        UnknownStreamError: There is no such stream.
    """
    status = await read_status(journal, stream_id)
    timeline = make_timeline(stream_id, status)
    entries: list[Entry] = []
    following = follow(journal, stream_id, limit=_PAGE, max_chars=_PAGE_CHARS, waits=False)
    async with aclosing(following) as pages:
        async for page in pages:
            await to_thread.run_sync(timeline.fold_all, page.entries, status)
            if keeps_entries:
                entries += page.entries
            if on_read:
                on_read(page.cursor, page.last)
            if page.is_final:
                await to_thread.run_sync(timeline.close, status)
    return StreamReadings(
        stream_id=stream_id,
        status=status,
        rows=await to_thread.run_sync(make_rows_once, timeline, status),
        seconds=max(timeline.lifecycle.latest_seconds, end_of_media(status)),
        entries=entries,
    )


def make_rows_once(timeline: Timeline, status: StreamStatus) -> list[ExportRow]:
    """All rows; frees the timeline. Blocks, and may take long."""
    rows = list(leaving_out(make_export_rows(timeline.lifecycle, status)))
    if timeline.not_kept:
        rows.append(_amount("not_kept", f"The first {timeline.not_kept} messages are gone."))
    timeline.discard({})
    return rows


def entry_to_line(reading: StreamReadings, entry: Entry) -> dict[str, object]:
    """A message as it came, and where its leg begins in the media of the stream."""
    offset = leg_offsets(reading.status).get(entry.leg, 0.0)
    return {
        "stream_id": reading.stream_id,
        "cursor": entry.cursor,
        "leg": entry.leg,
        "received_at": entry.received_at / 1000,
        "media_offset_s": offset,
    }


def make_export_rows(life: Lifecycle, status: StreamStatus) -> Iterator[ExportRow]:
    """All rows of a stream: signals, engagement, quality, then gaps; each kind in order."""
    for phase in life.phases:
        row = ExportRow(
            kind="signal",
            name=phase.signal_type,
            start_seconds=phase.start_seconds,
            end_seconds=phase.end_seconds,
            probability=None if phase.probability is None else str(phase.probability),
            rationale=phase.rationale,
            ends_implicitly=phase.ends_implicitly,
            span=phase.span,
        )
        yield _placed(row, phase.begins, phase.ends)
    for state in life.engagement:
        row = ExportRow(
            kind="engagement",
            name="engagement",
            start_seconds=state.start_seconds,
            end_seconds=state.end_seconds,
            state=state.state,
            ends_implicitly=state.ends_implicitly,
        )
        yield _placed(row, state.begins, state.ends)
    yield from _quality_rows(life)
    yield from _gap_rows(life, status)


def _quality_rows(life: Lifecycle) -> Iterator[ExportRow]:
    for period in life.quality_timeline:
        start, end, values = (period.fields.get(name) for name in ("start", "end", "values"))
        if not isinstance(values, Mapping):
            continue
        known = [name for name in DIMENSIONS if name in values]
        for name in [*known, *(name for name in values if name not in DIMENSIONS)]:
            score = values[name]
            if isinstance(score, bool) or not isinstance(score, int | float):
                continue
            row = ExportRow(
                kind="quality",
                name=str(name),
                start_seconds=_finite(start),
                end_seconds=_finite(end),
                score=_finite(score),
            )
            yield _placed(row, period.place, period.place)


def _gap_rows(life: Lifecycle, status: StreamStatus) -> Iterator[ExportRow]:
    for name, ranges in (("not_analysed", life.dropped), ("degraded", life.degraded)):
        for item in ranges:
            row = ExportRow(
                kind="gap",
                name=name,
                start_seconds=item.start_seconds,
                end_seconds=item.end_seconds,
            )
            yield _placed(row, item.place, item.place)
    lost = status.lost
    for start, end in lost_media(status):
        yield ExportRow(kind="gap", name="lost", start_seconds=start, end_seconds=end)
    for start, end in unsent_media(status):
        yield ExportRow(kind="gap", name="not_sent", start_seconds=start, end_seconds=end)
    if lost and lost.let_go_s:
        yield _amount("not_sent", f"{lost.let_go_s:g} s of live media were never sent.")


def _amount(name: str, text: str) -> ExportRow:
    """A gap of which only the amount is known."""
    return ExportRow(kind="gap", name=name, start_seconds=None, end_seconds=None, rationale=text)


def _placed(row: ExportRow, begins: MessagePlace, ends: MessagePlace | None) -> ExportRow:
    last = ends.cursor if ends else None
    return replace(row, leg=begins.leg, first_cursor=begins.cursor, last_cursor=last)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def table_rows(readings: Iterable[StreamReadings]) -> Iterator[tuple[object, ...]]:
    """The rows of all streams; each value belongs to the name at its place in `COLUMNS`."""
    for reading in readings:
        stream_values = reading.stream_values
        for row in reading.rows:
            yield (*stream_values, *(getattr(row, name) for name in _ROW_COLUMNS))
