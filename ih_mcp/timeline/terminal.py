"""A timeline in characters, for a terminal: shades and words say the same as colours do."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from .model import Drawing
from .rows import (
    DIMENSIONS,
    Mark,
    TimelineRow,
    axis_seconds,
    clock,
    gap_marks,
    legend,
    make_rows,
    make_scale,
)
from .summary import head, lines

_CELLS = {
    "high": "█", "medium": "▓", "low": "░", "unknown": "?", "engaged": "+", "neutral": "=",
    "disengaged": "-", "state": "*", "dropped": "x", "lost": "!", "degraded": "~",
    "not_sent": "/", "segment": "─",
}  # fmt: skip
_STYLES = {
    "high": "bold cyan", "medium": "cyan", "low": "cyan", "unknown": "cyan", "engaged": "green",
    "neutral": "white", "disengaged": "bold yellow", "state": "white", "quality": "magenta",
    "dropped": "bold red", "lost": "bold red", "not_sent": "bold red", "degraded": "yellow",
    "segment": "dim",
}  # fmt: skip
_LEVELS = "▁▂▃▄▅▆▇█"
_NAME_WIDTH = 20
_LEAST_WIDTH = 10
_MAX_NEWEST = 6
_NOTHING = ("·", "dim")
_ON_GROUND = {"signal", "engagement", "quality"}
"""Rows that show what nobody analysed; the others say it themselves."""
Cells = list[tuple[str, str]]
"""A line of characters, each with its style."""


class TerminalTimeline:
    """A drawing that fits the console it is printed on."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        rows = make_rows(self._drawing)
        seconds = axis_seconds(self._drawing)
        width = max(_LEAST_WIDTH, options.max_width - _NAME_WIDTH - 1)
        ground = _ground(rows, seconds, width)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=width, no_wrap=True)
        grid.add_row(Text("time", style="dim"), _scale(self._drawing, width))
        for row in rows:
            for name, cells in _tracks(row, ground, seconds):
                grid.add_row(Text(name), _joined(cells))
        yield Group(
            Text(head(self._drawing), style="bold"),
            *(Text(line, style="yellow") for line in lines(self._drawing)),
            grid,
            *_newest_signals(rows),
            Text(_foot(self._drawing, rows), style="dim"),
        )


def _foot(drawing: Drawing, rows: list[TimelineRow]) -> str:
    receipts = drawing["receipts"]
    assert isinstance(receipts, dict)
    counts = ", ".join(f"{count} {name}" for name, count in receipts.items())
    key = " ".join(f"{_CELLS[look]} {words}" for look, words in legend(rows))
    return (
        f"{drawing['messages']} messages{f', segments: {counts}' if counts else ''}"
        f"{f' · {key}' if key else ''}"
    )


def _scale(drawing: Drawing, width: int) -> Text:
    cells = [" "] * width
    seconds = axis_seconds(drawing)
    *ticks, (end, last) = make_scale(drawing, width / 9)
    for at, text in ticks:
        place, word = int(at / seconds * width), f"│{text}"
        if place + len(word) <= width:
            cells[place : place + len(word)] = word
    last = f" {last}│"[-width:]
    place = max(0, min(width, round(end / seconds * width)) - len(last))
    cells[place : place + len(last)] = last
    return Text("".join(cells), style="dim")


def _ground(rows: list[TimelineRow], seconds: float, width: int) -> Cells:
    """What stands where a row has no mark: nothing was found there, or nobody looked."""
    cells = [_NOTHING] * width
    for mark in reversed(gap_marks(rows)):  # what nobody analysed wins over what is degraded
        for place in _places(mark, seconds, width):
            cells[place] = (_CELLS[mark.look], _STYLES[mark.look])
    return cells


def _tracks(row: TimelineRow, ground: Cells, seconds: float) -> Iterator[tuple[str, Cells]]:
    """The lines of a row, each with its name: one for each layer, one for each score."""
    if row.look == "quality":
        yield from _score_tracks(row, ground, seconds)
        return
    ground = ground if row.look in _ON_GROUND else [_NOTHING] * len(ground)
    for layer in range(row.layers):
        marks = [mark for mark in row.marks if mark.layer == layer]
        yield row.name if layer == 0 else f"  ({layer + 1})", _track(marks, ground, seconds)


def _track(marks: list[Mark], ground: Cells, seconds: float) -> Cells:
    cells = list(ground)
    taken: dict[int, int | None] = {}
    for mark in marks:
        places = _places(mark, seconds, len(cells))
        for place, cell in zip(places, _cells(mark, len(places)), strict=True):
            cells[place] = (cell, _STYLES[mark.look])
        if mark.span is not None and taken.get(places[0] - 1, mark.span) != mark.span:
            cells[places[0]] = ("|", _STYLES[mark.look])  # another span begins where one ended
        taken.update(dict.fromkeys(places, mark.span))
    return cells


def _score_tracks(row: TimelineRow, ground: Cells, seconds: float) -> Iterator[tuple[str, Cells]]:
    for name in DIMENSIONS:
        marks = [mark for mark in row.marks if name in mark.values]
        if not marks:
            continue
        cells = list(ground)
        for mark in marks:
            for place in _places(mark, seconds, len(cells)):
                level = min(7, int(mark.values[name] / 12.5))
                cells[place] = (_LEVELS[level], _STYLES["quality"])
        words = "quality, 0 to 100" if name == DIMENSIONS[0] else f"  {name}"
        yield f"{words} {marks[-1].values[name]:.0f}"[:_NAME_WIDTH], cells


def _places(mark: Mark, seconds: float, width: int) -> range:
    first = max(0, min(width - 1, int(mark.start_seconds / seconds * width)))
    return range(first, max(first + 1, min(width, round(mark.end_seconds / seconds * width))))


def _cells(mark: Mark, count: int) -> str:
    """The characters of one mark; of a state of engagement its word, where it fits."""
    cell = _CELLS[mark.look]
    if mark.look in {"engaged", "neutral", "disengaged", "state"} and len(mark.text) < count:
        return f"{mark.text} ".ljust(count, cell)
    return cell * count


def _joined(cells: Cells) -> Text:
    text = Text()
    for cell, style in cells:
        text.append(cell, style=style)
    return text


def _newest_signals(rows: list[TimelineRow]) -> list[Text]:
    """The newest phases of signals, each with its probability and rationale."""
    marks = [(mark, row) for row in rows if row.look == "signal" for mark in row.marks]
    marks.sort(key=lambda pair: pair[0].start_seconds)
    found = []
    for mark, row in marks[-_MAX_NEWEST:]:
        label = row.label(mark)
        until = "now" if mark.is_open else clock(mark.end_seconds)
        line = Text(f"{clock(mark.start_seconds)}-{until} ", style="dim")
        line.append(row.name, style=_STYLES[mark.look])
        line.append(f"{f' ({label})' if label else ''}{f': {mark.more}' if mark.more else ''}")
        found.append(line)
    return found
