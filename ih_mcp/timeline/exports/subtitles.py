r"""Exports as subtitles: WebVTT and SRT, a cue for each row; cues may overlap.

Both are written here and not by pysubs2 (1.8), which takes `{…}` and `\N` in a text for its own
markup, drops blank lines, and leaves `&` and `<` of WebVTT as they are.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

from ih_mcp.printable import escape_unprintable

from .readings import ExportRow, StreamReadings

_ABOUT_SECONDS = 5.0


def write_vtt(reading: StreamReadings) -> bytes:
    """WebVTT; a note says whose readings these are."""
    cues = [
        f"{_time(start, '.')} --> {_time(end, '.')}\n{html.escape(text, quote=False)}"
        for start, end, text in _cues(reading)
    ]
    about = html.escape(_line(reading.about), quote=False)
    return _joined(["WEBVTT", f"NOTE {about}", *cues])


def write_srt(reading: StreamReadings) -> bytes:
    """SRT, which has no notes: the first cue says whose readings these are."""
    first = (0.0, _ABOUT_SECONDS, _line(reading.about))
    cues = [first, *_cues(reading)]
    return _joined(
        f"{number}\n{_time(start, ',')} --> {_time(end, ',')}\n{text}"
        for number, (start, end, text) in enumerate(cues, start=1)
    )


def count_cues(reading: StreamReadings) -> int:
    """How many cues there are; SRT has one more."""
    return sum(1 for _ in _placed(reading))


def _placed(reading: StreamReadings) -> Iterator[ExportRow]:
    return (row for row in reading.rows if row.start_seconds is not None)


def _cues(reading: StreamReadings) -> Iterator[tuple[float, float, str]]:
    placed = _placed(reading)
    for row in sorted(placed, key=lambda row: row.start_seconds or 0.0):
        start = row.start_seconds or 0.0
        end = reading.seconds if row.end_seconds is None else row.end_seconds
        yield start, max(end, start + 0.001), _text(row)


def _text(row: ExportRow) -> str:
    """One line, so that no text of a message can end a cue or begin another."""
    name = row.name.replace("_", " ")
    probability = f"probability {row.probability}" if row.probability else row.value
    special = {"gap": name, "signal": f"{name} · {probability}"}
    said = special.get(row.kind, f"{name}: {row.value}")
    return _line(f"{said} - {row.rationale}" if row.rationale else said)


def _line(text: str) -> str:
    return escape_unprintable(" ".join(text.split()))


def _time(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


def _joined(blocks: Iterable[str]) -> bytes:
    return ("\n\n".join(blocks) + "\n").encode("utf-8")
