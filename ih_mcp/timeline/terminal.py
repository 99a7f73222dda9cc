"""A timeline in characters, for a terminal: shades and words say the same as colours do."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from ih_mcp.printable import escape_unprintable

from .bounds import left_out
from .model import Drawing
from .rows import Mark, TimelineRow, clock, make_rows, tick_seconds

_CELLS = {"high": "█", "medium": "▓", "low": "░", "dropped": "x", "degraded": "~", "segment": "─"}
_STYLES = {
    "high": "bold cyan", "medium": "cyan", "low": "cyan", "engagement": "green",
    "quality": "magenta", "dropped": "bold red", "degraded": "yellow", "segment": "dim",
}  # fmt: skip
_LINE = "▁▂▃▄▅▆▇█"
_NAME_WIDTH = 20
_LEAST_WIDTH = 10
_MAX_NEWEST = 6


class TerminalTimeline:
    """A drawing that fits the console it is printed on."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        drawing = self._drawing
        found = make_rows(drawing)
        seconds = max(float(str(drawing["seconds"])), 1.0)
        stand_in = [str(drawing["stand_in"])] if drawing["stand_in"] else []
        width = max(_LEAST_WIDTH, options.max_width - _NAME_WIDTH - 1)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=width, no_wrap=True)
        grid.add_row(Text("time", style="dim"), _scale(seconds, width))
        for row in found:
            grid.add_row(Text(row.name), _track(row, seconds, width))
        yield Group(
            Text(_head(drawing), style="bold"),
            grid,
            *_newest_signals(found),
            *(Text(line, style="yellow") for line in (*stand_in, *left_out(drawing))),
            Text(_foot(drawing), style="dim"),
        )


def _head(drawing: Drawing) -> str:
    source = drawing["source"] or drawing["label"]
    named = f" · {escape_unprintable(str(source))}" if source else ""
    return f"{drawing['stream_id']}{named} · {drawing['state']}"


def _foot(drawing: Drawing) -> str:
    receipts = drawing["receipts"]
    assert isinstance(receipts, dict)
    lost = drawing["lost"]
    assert isinstance(lost, dict)
    gone = f", {lost['let_go_s']} s dropped" if lost.get("let_go_s") else ""
    counts = ", ".join(f"{count} {name}" for name, count in receipts.items())
    return (
        f"{clock(float(str(drawing['seconds'])))} of media, {drawing['messages']} messages"
        f"{f', segments: {counts}' if counts else ''}{gone} · █ high ▓ medium ░ low x not analysed"
    )


def _scale(seconds: float, width: int) -> Text:
    cells = [" "] * width
    step = tick_seconds(seconds, width / 9)
    for at in range(0, int(seconds) + 1, step):
        place = int(at / seconds * width)
        word = "│" + clock(at)
        if place + len(word) <= width:
            cells[place : place + len(word)] = word
    return Text("".join(cells), style="dim")


def _track(row: TimelineRow, seconds: float, width: int) -> Text:
    cells: list[tuple[str, str]] = [("·", "dim")] * width
    for mark in row.marks:
        first = min(width - 1, int(mark.start_seconds / seconds * width))
        last = max(first + 1, min(width, round(mark.end_seconds / seconds * width)))
        for place, cell in zip(range(first, last), _cells(mark, last - first), strict=True):
            cells[place] = (cell, _STYLES[mark.look])
    text = Text()
    for cell, style in cells:
        text.append(cell, style=style)
    return text


def _cells(mark: Mark, count: int) -> str:
    """The characters of one mark: its text where it fits, else its shade."""
    if mark.look == "quality":
        level = 0 if mark.value is None else min(7, int(mark.value / 12.5))
        return _LINE[level] * count
    if mark.look == "engagement":
        return f"{mark.text[: count - 1]:<{count - 1}}|" if count > 1 else "|"
    return _CELLS[mark.look] * count


def _newest_signals(found: list[TimelineRow]) -> list[Text]:
    """The newest signals, each with its probability and rationale."""
    marks = [(mark, row.name) for row in found if row.look == "signal" for mark in row.marks]
    marks.sort(key=lambda pair: pair[0].start_seconds)
    lines = []
    for mark, name in marks[-_MAX_NEWEST:]:
        until = "now" if mark.is_open else clock(mark.end_seconds)
        line = Text(f"{clock(mark.start_seconds)}-{until} ", style="dim")
        line.append(name, style=_STYLES[mark.look])
        line.append(
            f"{f' ({mark.text})' if mark.text else ''}{f': {mark.more}' if mark.more else ''}"
        )
        lines.append(line)
    return lines
