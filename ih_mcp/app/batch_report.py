"""The report of a batch: a table to read (HTML) and one for programs (CSV)."""

from __future__ import annotations

import csv
import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ih_mcp.printable import escape_unprintable
from ih_mcp.private_files import write_private
from ih_mcp.timeline.exports import count_formulas
from ih_mcp.wire.minutes import to_minutes

from .batch import BatchItem

NAMES = ("report.csv", "report.html")
_COLUMNS = (
    "file", "state", "minutes", "found", "not_analysed_seconds", "stream_id", "outputs", "error",
    "notes", "label",
)  # fmt: skip
_STYLE = """:root { color-scheme: light dark; }
body { font: 1rem/1.45 system-ui, sans-serif; margin: 1rem auto; padding: 0 1rem;
 max-width: 75rem; background: #fff; color: #16202c; }
a { color: #0b5cad; }
@media (prefers-color-scheme: dark) {
 body { background: #10161d; color: #e8edf3; }
 a { color: #6cb0ff; }
}
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
 border-bottom: 1px solid #8888; }
td:nth-child(3) { white-space: nowrap; }
@media (max-width: 40rem) {
 thead { display: none; }
 tr, td { display: block; }
 tr { padding: .5rem 0; border-bottom: 1px solid #8888; }
 td { padding: 0; border: 0; overflow-wrap: anywhere; }
 td:empty { display: none; }
 td::before { content: attr(data-name) ": "; opacity: .75; }
}"""


def read_states(folder: Path) -> dict[str, str]:
    """The state of each file in the report of an earlier run; empty where none can be read."""
    try:
        text = (folder / NAMES[0]).read_text("utf-8", "surrogateescape")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, csv.Error):
        return {}
    return {row["file"]: row["state"] or "" for row in rows if row.get("file") and "state" in row}


def write_report(folder: Path, items: Sequence[BatchItem], about: str) -> None:
    """Write both tables; blocks.

    Raises:
        OSError: They cannot be written.
    """
    for name, text in zip(NAMES, (make_csv(items), make_html(items, about)), strict=True):
        write_private(folder / name, text.encode("utf-8", "backslashreplace"))


def count(items: Sequence[BatchItem]) -> str:
    """How many files have each state, as `3 done, 1 skipped`."""
    counts = Counter(item.state.value for item in items)
    return ", ".join(f"{number} {state}" for state, number in counts.items()) or "no file"


def make_csv(items: Sequence[BatchItem]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(map(_row, items))
    return text.getvalue()


def count_report_formulas(items: Sequence[BatchItem]) -> int:
    """How many texts of the report a spreadsheet would run: names of files may be anything."""
    return count_formulas(map(_row, items))


def _row(item: BatchItem) -> list[object]:
    return [
        item.name,
        item.state.value,
        to_minutes(item.seconds, up=True),
        item.found,
        "" if item.not_analysed_seconds is None else round(item.not_analysed_seconds, 3),
        item.stream_id,
        " ".join(item.outputs),
        item.error,
        " ".join(item.notes),
        item.label,
    ]


def make_html(items: Sequence[BatchItem], about: str) -> str:
    """A page without scripts that links the outputs."""
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in _COLUMNS)
    minutes = to_minutes(sum(item.seconds for item in items), up=True)
    rows = "".join(f"<tr>{''.join(_cells(item))}</tr>\n" for item in items)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Batch: {_text(count(items))}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Batch</h1>
<p>{_text(about)}</p>
<p>{_text(count(items))}; {minutes:g} minutes of media.</p>
<div tabindex="0" role="region" aria-label="Files">
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
</body>
</html>
"""


def _cells(item: BatchItem) -> list[str]:
    links = " ".join(map(_link, item.outputs))
    values = map(str, _row(item))
    return [
        f'<td data-name="{name.replace("_", " ")}">'
        f"{links if name == 'outputs' else _text(value)}</td>"
        for name, value in zip(_COLUMNS, values, strict=True)
    ]


def _link(name: str) -> str:
    address = html.escape(quote(name, errors="surrogateescape"))
    return f'<a href="{address}">{_text(Path(name).suffix[1:])}</a>'


def _text(text: str) -> str:
    return html.escape(escape_unprintable(text))
