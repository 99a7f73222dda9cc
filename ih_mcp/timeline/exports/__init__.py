"""Exports of streams into files that other programs read; a row of `EXPORTS` for each format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ih_mcp.timeline.formats import EXPORT_KINDS, ExportKind

from .annotations import write_boris, write_eaf, write_textgrid
from .readings import StreamReadings, read_stream
from .subtitles import count_cues, write_srt, write_vtt
from .tables import (
    count_csv_formulas,
    count_formulas,
    count_streams_formulas,
    describe_formulas,
    write_csv,
    write_jsonl,
    write_parquet,
    write_streams_csv,
    write_streams_parquet,
)

__all__ = [
    "EXPORTS",
    "EXPORT_KINDS",
    "STREAM_TABLES",
    "ExportFormat",
    "ExportKind",
    "StreamReadings",
    "count_formulas",
    "describe_formulas",
    "read_stream",
]


def _no_formula(_: Sequence[StreamReadings]) -> int:
    return 0  # no spreadsheet opens it


def _count_nothing(_: StreamReadings) -> dict[str, int]:
    return {}  # a program shows tiers, which are not of one row each


def _count_rows(reading: StreamReadings) -> dict[str, int]:
    return {"rows": len(reading.rows)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """How one format is written."""

    write: Callable[[Sequence[StreamReadings]], bytes]
    """Blocks. Raises `ConfigurationError` where a package is missing."""
    holds_many: bool = True
    """Whether one file holds several streams; else `write` takes one."""
    wants_entries: bool = False
    """Whether it has the messages themselves."""
    count: Callable[[StreamReadings], dict[str, int]] = _count_nothing
    """How much of a stream its file has, by the name of what is counted."""
    count_formulas: Callable[[Sequence[StreamReadings]], int] = _no_formula
    """How many of its texts a spreadsheet would run. Blocks."""


def _one(write: Callable[[StreamReadings], bytes]) -> Callable[[Sequence[StreamReadings]], bytes]:
    def write_only(readings: Sequence[StreamReadings]) -> bytes:
        (reading,) = readings
        return write(reading)

    return write_only


EXPORTS: Mapping[ExportKind, ExportFormat] = {
    "csv": ExportFormat(write=write_csv, count=_count_rows, count_formulas=count_csv_formulas),
    "parquet": ExportFormat(write=write_parquet, count=_count_rows),
    "jsonl": ExportFormat(
        write=write_jsonl,
        count=lambda reading: {"lines": 1 + len(reading.entries)},
        wants_entries=True,
    ),
    "vtt": ExportFormat(
        write=_one(write_vtt),
        count=lambda reading: {"cues": count_cues(reading)},
        holds_many=False,
    ),
    "srt": ExportFormat(
        write=_one(write_srt),
        count=lambda reading: {"cues": 1 + count_cues(reading)},  # the first one: who is the source
        holds_many=False,
    ),
    "eaf": ExportFormat(write=_one(write_eaf), holds_many=False),
    "textgrid": ExportFormat(write=_one(write_textgrid), holds_many=False),
    "boris": ExportFormat(write=write_boris),
}
STREAM_TABLES: Mapping[ExportKind, ExportFormat] = {
    "csv": ExportFormat(write=write_streams_csv, count_formulas=count_streams_formulas),
    "parquet": ExportFormat(write=write_streams_parquet),
}
"""Formats that can also have one row for each stream, instead of rows of readings."""
