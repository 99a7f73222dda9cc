"""Exports as tables (CSV, Parquet) and as the messages themselves (JSON lines).

Texts stay exact, also those that begin like a formula: a table that changed them could not be
compared with the messages. `count_formulas` finds them, so that people learn of them.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ih_mcp.timeline.about import read_time

from .extra import require_package
from .readings import COLUMNS, StreamReadings, entry_to_line, table_rows
from .stream_table import STREAM_COUNTS, STREAM_SECONDS, STREAM_TABLE, stream_rows

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBERS = {"start_seconds": "float64", "end_seconds": "float64", "score": "float64",
    "duration_seconds": "float64",
    "ends_implicitly": "bool_", "span": "int64", "leg": "int64", "first_cursor": "int64",
    "last_cursor": "int64", **dict.fromkeys(STREAM_SECONDS, "float64"),
    **dict.fromkeys(STREAM_COUNTS, "int64")}  # fmt: skip


def write_csv(readings: Sequence[StreamReadings]) -> bytes:
    """RFC 4180 in UTF-8; a value that is not known is an empty field."""
    return _csv(COLUMNS, table_rows(readings))


def write_streams_csv(readings: Sequence[StreamReadings]) -> bytes:
    """The same of streams, one in a row."""
    return _csv(STREAM_TABLE, stream_rows(readings))


def _csv(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode("utf-8", "backslashreplace")


def write_jsonl(readings: Sequence[StreamReadings]) -> bytes:
    """For each stream a line with its status, then a line for each message with its exact text."""
    lines: list[dict[str, object]] = []
    for reading in readings:
        lines.append({"stream_id": reading.stream_id, "status": reading.status.to_json()})
        for entry in reading.entries:
            body = entry.body
            raw = {"raw": body} if isinstance(body, str) else {"base64": _base64(body)}
            lines.append({**entry_to_line(reading, entry), **raw})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def write_parquet(readings: Sequence[StreamReadings]) -> bytes:
    """The columns of the CSV with their types; the schema's metadata say whose readings it has.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    return _parquet(COLUMNS, table_rows(readings), readings)


def write_streams_parquet(readings: Sequence[StreamReadings]) -> bytes:
    """The same of streams, one in a row; raises as `write_parquet`."""
    return _parquet(STREAM_TABLE, stream_rows(readings), readings)


def _parquet(
    columns: Sequence[str],
    rows: Iterable[Iterable[object]],
    readings: Sequence[StreamReadings],
) -> bytes:
    pyarrow: Any = require_package("pyarrow", "Parquet")
    parquet: Any = require_package("pyarrow.parquet", "Parquet")
    types = {name: getattr(pyarrow, _NUMBERS.get(name, "string"))() for name in columns}
    schema = pyarrow.schema(
        types | {"started_at": pyarrow.timestamp("us", tz="UTC")},
        metadata={"ih-mcp": _as_utf8(" ".join(dict.fromkeys(each.about for each in readings)))},
    )
    out = io.BytesIO()
    typed = [_typed_row(columns, row) for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(typed, schema=schema), out)
    return out.getvalue()


def _typed_row(columns: Sequence[str], row: Iterable[object]) -> dict[str, object]:
    """A row by name, with its time as one."""
    named = dict(zip(columns, map(_as_utf8, row), strict=True))
    return named | {"started_at": read_time(str(named["started_at"]))}


def count_formulas(rows: Iterable[Iterable[object]]) -> int:
    """How many texts of a table a spreadsheet would run as a formula."""
    return sum(
        isinstance(value, str) and value.startswith(_FORMULA) for row in rows for value in row
    )


def count_csv_formulas(readings: Sequence[StreamReadings]) -> int:
    """How many such texts `write_csv` writes."""
    return count_formulas(table_rows(readings))


def count_streams_formulas(readings: Sequence[StreamReadings]) -> int:
    """How many such texts `write_streams_csv` writes."""
    return count_formulas(stream_rows(readings))


def describe_formulas(count: int) -> list[str]:
    """What whoever opens a CSV with so many of them should know, as sentences."""
    if not count:
        return []
    begin = "1 text begins" if count == 1 else f"{count:,} texts begin"
    said = (
        f"{begin} with =, +, -, @ or a tab, and a spreadsheet may run that as a formula. They are "
        "written exactly: import those columns as text, or use parquet."
    )
    return [said]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _as_utf8(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()
