"""A timeline as PNG or SVG, drawn by matplotlib; `picture_process` calls it.

Why matplotlib: it is kept by many, draws both kinds from one description, and brings its own
fonts, so that a machine without any still gets words. It is large (about 40 MB with numpy) and
slow to load, so it is an extra and loaded where a picture is drawn.
"""

from __future__ import annotations

import importlib.util
import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ih_mcp.errors import ConfigurationError

from .model import Drawing
from .rows import Mark, TimelineRow, clock, gap_marks, legend, make_rows, make_scale, shown_part
from .summary import head, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]
Dashes = Literal["-", "--", "-.", ":"] | tuple[float, Sequence[float]]
_COLOURS = {  # those of timeline.css, light
    "high": "#0b5cad", "medium": "#8dbdf0", "low": "#d6e7fa", "unknown": "#ffffff",
    "engaged": "#8fd0a3", "neutral": "#e4e7ec", "disengaged": "#e9b872", "state": "#ffffff",
    "dropped": "#f6c7bd", "lost": "#f6c7bd", "not_sent": "#f6c7bd", "degraded": "#f7e2ae",
    "segment": "#dfe3e9",
}  # fmt: skip
_HATCHES = {
    "dropped": "///", "lost": "xxx", "not_sent": "\\\\\\", "degraded": "...", "unknown": "--",
}  # fmt: skip
_EDGES = {
    "dropped": "#5c1408", "lost": "#5c1408", "not_sent": "#5c1408", "degraded": "#4a3503",
    "unknown": "#aab6c4", "state": "#4d5a6a",
}  # fmt: skip
_LINES: Mapping[str, tuple[str, Dashes, float]] = {  # of quality: colour, dashes, width
    "quality_index": ("#16202c", "-", 2.2), "clarity": ("#0b5cad", "-", 1.2),
    "authority": ("#7a3fb0", "--", 1.2), "energy": ("#b3401c", "-.", 1.2),
    "rapport": ("#1f7a3d", ":", 1.6), "learning": ("#8a6a00", (0, (5, 1)), 1.2),
}  # fmt: skip
_INK, _SOFT, _SHEET = "#16202c", "#4d5a6a", "#f3f5f8"
_WIDTH_INCHES, _ROW_INCHES, _LAYER_INCHES, _QUALITY_ROWS = 11.0, 0.42, 0.24, 3.0
_EDGE_INCHES, _LINE_INCHES = 1.1, 0.16
_DOTS_PER_INCH = 110
_SAME_SECONDS = 0.01
_LINE_CHARS, _MAX_WRAPPED = 150, 4
_CHARS_PER_WIDTH = 150  # of the small letters, across the whole picture


def require_library() -> None:
    """Fail early where there is nothing to draw with.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError(
            "a PNG or SVG needs matplotlib, which is not installed",
            help="Ask for format html, which needs nothing, or install ih-mcp[pictures].",
            code="no_pictures",
        )


def draw(drawing: Drawing, kind: Format) -> bytes:
    """The picture's bytes; blocks for a second, and keeps the interpreter for much of it.

    Each mark of an SVG is a group whose id is `SIGNAL-NUMBER`, such as `hesitation-0`.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    require_library()
    import matplotlib as mpl  # noqa: PLC0415 - large; see the module's first lines
    from matplotlib.figure import Figure  # noqa: PLC0415 - no window, no global state

    rows = [PlacedRow(*pair) for pair in _placed(make_rows(drawing))]
    start, end = shown_part(drawing)
    height = rows[-1].bottom if rows else 1.0
    about = [head(drawing), *lines(drawing)]
    if drawing.get("part"):
        about.insert(1, f"{clock(start)} to {clock(end)}")
    text = [part for line in about for part in _wrapped(line)]
    out = io.BytesIO()
    same = {"Date": None} if kind == "svg" else None  # the same values give the same bytes
    with mpl.rc_context():
        mpl.rcdefaults()  # not what a file `matplotlibrc` says
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ih-mcp"})
        mpl.rcParams["text.parse_math"] = False  # dollar signs are dollar signs
        mpl.rcParams["hatch.linewidth"] = 0.5
        edges = _EDGE_INCHES + _LINE_INCHES * len(text)
        figure = Figure(
            figsize=(_WIDTH_INCHES, edges + _ROW_INCHES * height),
            dpi=_DOTS_PER_INCH,
            layout="constrained",
        )
        axes = figure.add_subplot()
        _frame(axes, rows, drawing, height)
        for row in rows:
            _draw_row(axes, row, start, end)
        _shade_gaps(axes, rows)
        _write_legend(figure, rows)
        axes.set_title("\n".join(text), loc="left", fontsize=8.5, color=_INK, linespacing=1.35)
        figure.savefig(out, format=kind, metadata=same)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row of the timeline and where it lies, in heights of a usual row from the top."""

    row: TimelineRow
    top: float

    @property
    def height(self) -> float:
        if self.row.look == "quality":
            return _QUALITY_ROWS
        return 1 + (self.row.layers - 1) * _LAYER_INCHES / _ROW_INCHES

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def layer(self, number: int) -> tuple[float, float]:
        """The top and the height of a layer of marks; all layers of a row are alike."""
        height = (self.height - 0.28) / self.row.layers
        return self.top + 0.14 + number * height, height

    def level(self, score: float) -> float:
        """Where a score of 0 to 100 lies."""
        return self.bottom - 0.2 - (self.height - 0.4) * score / 100


def _wrapped(line: str) -> list[str]:
    found = textwrap.wrap(line, _LINE_CHARS) or [""]
    return found if len(found) <= _MAX_WRAPPED else [*found[: _MAX_WRAPPED - 1], "…"]


def _placed(rows: Iterable[TimelineRow]) -> Iterator[tuple[TimelineRow, float]]:
    top = 0.0
    for row in rows:
        yield row, top
        top = PlacedRow(row, top).bottom


def _frame(axes: Axes, rows: Sequence[PlacedRow], drawing: Drawing, height: float) -> None:
    axes.set_xlim(*shown_part(drawing))
    axes.set_ylim(height, 0)
    middles = [(placed.top + placed.bottom) / 2 for placed in rows]
    axes.set_yticks(middles, [placed.row.name for placed in rows], fontsize=9, color=_INK)
    scale = make_scale(drawing, 10)
    axes.set_xticks([at for at, _ in scale], [text for _, text in scale])
    axes.tick_params(length=0, labelsize=9, labelcolor=_SOFT)
    axes.tick_params(axis="y", labelcolor=_INK)
    axes.grid(visible=True, axis="x", color="#c9d1db", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_row(axes: Axes, placed: PlacedRow, start: float, end: float) -> None:
    seconds = end - start
    axes.axhspan(placed.top + 0.08, placed.bottom - 0.08, color=_SHEET, zorder=0.4)
    if placed.row.look == "quality":
        _draw_quality(axes, placed, end)
        return
    for number, mark in enumerate(placed.row.marks):
        name = f"{placed.row.name.replace(' ', '-')}-{number}"
        _draw_mark(axes, mark, placed.layer(mark.layer), name)
        room = (mark.end_seconds - mark.start_seconds) / seconds * _CHARS_PER_WIDTH
        if mark.text and len(mark.text) < room:
            _write_in(axes, mark, placed, seconds)
    _outline_spans(axes, placed)


def _write_in(axes: Axes, mark: Mark, placed: PlacedRow, seconds: float) -> None:
    top, height = placed.layer(mark.layer)
    axes.text(
        mark.start_seconds + seconds * 0.004,
        top + height / 2,
        mark.text,
        fontsize=7.5,
        va="center",
        color="#ffffff" if mark.look == "high" else _INK,
        clip_on=True,
        zorder=4,
        bbox={"facecolor": _COLOURS[mark.look], "edgecolor": "none", "pad": 0.6}
        if mark.look in _HATCHES
        else None,
    )


def _draw_mark(axes: Axes, mark: Mark, layer: tuple[float, float], name: str) -> None:
    (bar,) = axes.barh(
        [layer[0]],
        [max(mark.end_seconds - mark.start_seconds, 0.05)],
        left=[mark.start_seconds],
        height=layer[1],
        align="edge",
        color=_COLOURS[mark.look],
        edgecolor=_EDGES.get(mark.look, "#ffffff"),
        hatch=_HATCHES.get(mark.look),
        linewidth=0.8,
        zorder=2,
    )
    bar.set_gid(name)


def _outline_spans(axes: Axes, placed: PlacedRow) -> None:
    """A line around all phases of a span; open to the right where no message ended it."""
    spans: dict[int, list[Mark]] = {}
    for mark in placed.row.marks:
        if mark.span is not None:
            spans.setdefault(mark.span, []).append(mark)
    for number, phases in spans.items():
        top, height = placed.layer(phases[0].layer)
        start, end = phases[0].start_seconds, phases[-1].end_seconds
        end = max(end, start + 0.05)
        across, down = [end, start, start, end], [top, top, top + height, top + height]
        if not (phases[-1].is_open or phases[-1].ends_implicitly):
            across.append(end)
            down.append(top)
        gid = f"span-{placed.row.name.replace(' ', '-')}-{number}"
        axes.plot(across, down, color=_SOFT, linewidth=0.9, zorder=3, gid=gid)


def _draw_quality(axes: Axes, placed: PlacedRow, end: float) -> None:
    """A line for each score, on an axis from 0 to 100."""
    for score in (0, 50, 100):
        level = placed.level(score)
        axes.axhline(level, color="#c9d1db", linewidth=0.6, zorder=1)
        axes.text(end, level, f" {score}", fontsize=7, va="center", color=_SOFT, clip_on=False)
    for name, (colour, dashes, width) in _LINES.items():
        axes.plot(
            *_steps(placed, name), color=colour, linestyle=dashes, linewidth=width, zorder=2,
            gid=f"quality-{name}",
        )  # fmt: skip


def _steps(placed: PlacedRow, name: str) -> tuple[list[float], list[float]]:
    """A score as a line in steps, with a hole where no period says anything."""
    times: list[float] = []
    levels: list[float] = []
    for mark in placed.row.marks:
        if name not in mark.values:
            continue
        if times and mark.start_seconds > times[-1] + _SAME_SECONDS:
            times.append(mark.start_seconds)
            levels.append(math.nan)
        times += [mark.start_seconds, mark.end_seconds]
        levels += [placed.level(mark.values[name])] * 2
    return times, levels


def _shade_gaps(axes: Axes, rows: Sequence[PlacedRow]) -> None:
    """Across all rows: where nothing stands, nobody looked."""
    for mark in gap_marks(placed.row for placed in rows):
        axes.axvspan(
            mark.start_seconds,
            mark.end_seconds,
            facecolor=_COLOURS[mark.look],
            edgecolor=_EDGES[mark.look],
            hatch=_HATCHES[mark.look],
            linewidth=0,
            alpha=0.4,
            zorder=2.6,
        )


def _write_legend(figure: Figure, rows: Sequence[PlacedRow]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - large; see the module's first lines
    from matplotlib.patches import Patch  # noqa: PLC0415

    keys: list[Any] = [
        Patch(
            facecolor=_COLOURS[look],
            edgecolor=_EDGES.get(look, _SOFT),
            hatch=_HATCHES.get(look),
            linewidth=0.5,
            label=words,
        )
        for look, words in legend(placed.row for placed in rows)
    ]
    scores = {name for placed in rows for mark in placed.row.marks for name in mark.values}
    keys += [
        Line2D(
            [], [], color=colour, linestyle=dashes, linewidth=width, label=name.replace("_", " ")
        )
        for name, (colour, dashes, width) in _LINES.items()
        if name in scores
    ]
    if keys:
        figure.legend(
            handles=keys, loc="outside lower left", ncols=8, fontsize=7.5, frameon=False,
            labelcolor=_INK,
        )  # fmt: skip
