"""A timeline as PNG or SVG, drawn by matplotlib.

Why matplotlib: it is kept by many, draws both kinds from one description, and brings its own
fonts, so that a machine without any still gets words. It is large (about 40 MB with numpy) and
slow to load, so it is an extra and loaded in a worker thread when a picture is asked for.
"""

from __future__ import annotations

import importlib.util
import io
import threading
from typing import TYPE_CHECKING, Any, Literal

from ih_mcp.errors import ConfigurationError
from ih_mcp.printable import escape_unprintable

from .bounds import left_out
from .model import Drawing
from .rows import Mark, TimelineRow, clock, make_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Format = Literal["png", "svg"]
_COLOURS = {  # those of timeline.css, light
    "high": "#0b5cad", "medium": "#8dbdf0", "low": "#d6e7fa", "engagement": "#cfe8d5",
    "quality": "#7a3fb0", "dropped": "#f6c7bd", "degraded": "#f7e2ae", "segment": "#dfe3e9",
}  # fmt: skip
_INK, _SOFT, _SHEET = "#16202c", "#4d5a6a", "#f3f5f8"
_DRAWING = threading.Lock()  # the library's settings are the process's, and calls come in threads
_WIDTH_INCHES, _ROW_INCHES, _EDGE_INCHES = 11.0, 0.42, 1.1
_DOTS_PER_INCH = 110
_MAX_TITLE_CHARS = 100
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
    """The picture's bytes; blocks for about a second, so call it in a thread.

    Each mark of an SVG is a group whose id is `SIGNAL-NUMBER`, such as `hesitation-0`.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    require_library()
    import matplotlib as mpl  # noqa: PLC0415 - large; see the module's first lines
    from matplotlib.figure import Figure  # noqa: PLC0415 - no window, no global state

    found = make_rows(drawing)
    seconds = max(float(str(drawing["seconds"])), 10.0)
    out = io.BytesIO()
    same = {"Date": None} if kind == "svg" else None  # the same values give the same bytes
    with _DRAWING, mpl.rc_context():
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ih-mcp"})
        mpl.rcParams["text.parse_math"] = False  # dollar signs are dollar signs
        figure = Figure(
            figsize=(_WIDTH_INCHES, _EDGE_INCHES + _ROW_INCHES * max(1, len(found))),
            dpi=_DOTS_PER_INCH,
            layout="constrained",
        )
        axes = figure.add_subplot()
        _frame(axes, found, seconds)
        for place, row in enumerate(found):
            _row(axes, row, place, seconds)
        axes.set_title(_title(drawing), loc="left", fontsize=10, color=_INK)
        figure.savefig(out, format=kind, metadata=same)
    return out.getvalue()


def _title(drawing: Drawing) -> str:
    source = drawing["source"] or drawing["label"] or drawing["stream_id"]
    named = escape_unprintable(str(source)[:_MAX_TITLE_CHARS])
    head = f"{named} · {drawing['state']} · {drawing['messages']} messages"
    notes = [str(drawing["stand_in"])] if drawing["stand_in"] else []
    return "\n".join([head, *notes, *left_out(drawing)])


def _frame(axes: Axes, found: list[TimelineRow], seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.set_ylim(max(1, len(found)) - 0.5, -0.5)
    axes.set_yticks(range(len(found)), [row.name for row in found], fontsize=9, color=_INK)
    axes.xaxis.set_major_formatter(lambda at, _: clock(at))
    axes.tick_params(length=0, labelsize=9, labelcolor=_SOFT)
    axes.tick_params(axis="y", labelcolor=_INK)
    axes.grid(visible=True, axis="x", color="#c9d1db", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _row(axes: Axes, row: TimelineRow, place: int, seconds: float) -> None:
    axes.axhspan(place - 0.42, place + 0.42, color=_SHEET, zorder=0.4)
    for number, mark in enumerate(row.marks):
        if row.look != "quality":
            _mark(axes, mark, place, f"{row.name.replace(' ', '-')}-{number}")
        room = (mark.end_seconds - mark.start_seconds) / seconds * _CHARS_PER_WIDTH
        if mark.text and len(mark.text) < room:
            axes.text(
                mark.start_seconds + seconds * 0.004,
                place - (0.32 if row.look == "quality" else 0),
                mark.text,
                fontsize=7.5,
                va="center",
                color="#ffffff" if mark.look == "high" else _INK,
                clip_on=True,
                zorder=3,
            )
    if row.look == "quality":
        _line(axes, row, place)


def _mark(axes: Axes, mark: Mark, place: int, name: str) -> None:
    width = max(mark.end_seconds - mark.start_seconds, 0.05)
    style: dict[str, Any] = {"hatch": "///"} if mark.look in {"dropped", "degraded"} else {}
    (bar,) = axes.barh(
        [place],
        [width],
        left=[mark.start_seconds],
        height=0.72,
        color=_COLOURS[mark.look],
        edgecolor="#5c1408" if style else "#ffffff",
        linewidth=0.8,
        zorder=2,
        **style,
    )
    bar.set_gid(name)


def _line(axes: Axes, row: TimelineRow, place: int) -> None:
    known = [mark for mark in row.marks if mark.value is not None]
    times = [at for mark in known for at in (mark.start_seconds, mark.end_seconds)]
    heights = [place + 0.38 - 0.76 * (mark.value or 0.0) / 100 for mark in known for _ in range(2)]
    axes.plot(times, heights, color=_COLOURS["quality"], linewidth=2, zorder=2, gid="quality-line")
