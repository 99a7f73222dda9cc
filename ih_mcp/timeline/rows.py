"""A drawing as rows of marks, for a terminal and for a drawing library.

The page draws the same rows with its own script, so that each mark can be pointed at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from ih_mcp.printable import escape_unprintable

from .bounds import bounded
from .model import Drawing, items_of, ranges_of

LEGEND = (
    ("high", "high"), ("medium", "medium"), ("low", "low probability"),
    ("unknown", "no probability named"), ("engaged", "engaged"), ("neutral", "neutral"),
    ("disengaged", "disengaged"), ("dropped", "not analysed"),
    ("lost", "lost with the connection"), ("degraded", "analysed in part"),
    ("not_sent", "not sent"),
)  # fmt: skip
"""Looks that need a word, in order; a picture has those that it shows."""
GAPS = ("dropped", "lost", "degraded", "not_sent")
"""Looks of media that nobody analysed, or not all of it; drawn behind all lanes too."""
DIMENSIONS = ("quality_index", "clarity", "authority", "energy", "rapport", "learning")
"""Scores of conversation quality, 0 to 100; docs: conversation-quality."""
_SHADES = ("high", "medium", "low")
_STATES = ("engaged", "neutral", "disengaged")
_HOUR = 3600
_STEPS = (1, 2, 5, 10, 30, 60, 300, 600, 1800, _HOUR)
_MAX_MORE_CHARS = 2000
_MAX_LOST = 400
_MIN_AXIS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Something with a beginning and an end, in seconds of media."""

    start_seconds: float
    end_seconds: float
    look: str
    """One of `LEGEND`, or `state` (another one of engagement), `quality`, `segment`."""
    text: str = ""
    more: str = ""
    """More about it, such as the rationale."""
    is_open: bool = False
    """Whether it has not ended; its end is then the newest media time."""
    ends_implicitly: bool = False
    """Whether no message says that it ended: the session did."""
    layer: int = 0
    """Marks of one row that overlap have different layers."""
    span: int | None = None
    """The number of the span that it is a phase of."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The scores of conversation quality, 0 to 100."""


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """Marks of one kind, in order."""

    name: str
    look: str
    marks: Sequence[Mark]

    @property
    def layers(self) -> int:
        """How many layers its marks need."""
        return 1 + max((mark.layer for mark in self.marks), default=0)

    def label(self, mark: Mark) -> str:
        """The text of one of its marks where no bar stands around it: a probability says so."""
        return f"probability {mark.text}" if self.look == "signal" and mark.text else mark.text


def make_rows(drawing: Drawing) -> list[TimelineRow]:
    """The rows of a drawing, from top to bottom; empty ones are left out.

    Their number and that of the marks are bounded; see `bounded`. Of a part of the drawing, see
    `part_of`, there are the marks that lie in it, as far as they do.
    """
    drawing = bounded(drawing)
    now = _number(drawing["seconds"])
    signals: dict[str, list[Mark]] = {}
    for phase in items_of(drawing["phases"]):
        signals.setdefault(str(phase["signal"]), []).append(_phase(phase, now))
    found = [
        TimelineRow(escape_unprintable(name), "signal", marks) for name, marks in signals.items()
    ]
    states = [_state(item, now) for item in items_of(drawing["engagement"])]
    periods = [_period(item) for item in items_of(drawing["quality"])]
    found.append(TimelineRow("engagement", "engagement", states))
    found.append(TimelineRow("conversation quality", "quality", periods))
    for name, look, ranges in (
        ("not analysed", "dropped", drawing["dropped"]),
        ("lost", "lost", lost_ranges(drawing)),
        ("degraded", "degraded", drawing["degraded"]),
        ("not sent", "not_sent", drawing["not_sent"]),
    ):
        gaps = [Mark(start, end, look, text=name) for start, end in ranges_of(ranges)]
        found.append(TimelineRow(name, look, gaps))
    segments = [item for item in items_of(drawing["segments"]) if item["end"] is not None]
    found.append(TimelineRow("sent", "segment", [_segment(item) for item in segments]))
    if drawing.get("part"):
        start, end = shown_part(drawing)
        found = [replace(row, marks=_within(row.marks, start, end)) for row in found]
    return [row for row in found if row.marks]


def part_of(drawing: Drawing, start_seconds: float, end_seconds: float) -> Drawing:
    """The same drawing, of which a picture shows this part."""
    return {**drawing, "part": [start_seconds, end_seconds]}


def shown_part(drawing: Drawing) -> tuple[float, float]:
    """From when to when a picture shows a drawing: its whole axis, or the part."""
    if not (part := drawing.get("part")):
        return 0.0, axis_seconds(drawing)
    (shown,) = ranges_of([part])
    return shown


def _within(marks: Iterable[Mark], start: float, end: float) -> list[Mark]:
    """What of the marks lies in between; one that goes on behind it is open there."""
    return [
        replace(
            mark,
            start_seconds=max(mark.start_seconds, start),
            end_seconds=min(mark.end_seconds, end),
            is_open=mark.is_open or mark.end_seconds > end,
        )
        for mark in marks
        if mark.start_seconds < end and mark.end_seconds > start
    ]


def lost_ranges(drawing: Drawing) -> list[object]:
    """Media whose results may be missing, for a connection was lost: `[start, end]` each."""
    lost = drawing["lost"]
    found = lost.get("media_s", []) if isinstance(lost, Mapping) else []
    return list(found)[-_MAX_LOST:]


def gap_marks(rows: Iterable[TimelineRow]) -> list[Mark]:
    """What the background of all other rows shows, so that it does not look like silence."""
    return [mark for row in rows if row.look in GAPS for mark in row.marks]


def legend(rows: Iterable[TimelineRow]) -> list[tuple[str, str]]:
    """The looks that these rows have, each with its words."""
    shown = {mark.look for row in rows for mark in row.marks}
    return [(look, words) for look, words in LEGEND if look in shown]


def shade(probability: object) -> str:
    """The look of a probability; older API versions give a number instead of a word."""
    if isinstance(probability, int | float) and not isinstance(probability, bool):
        return _SHADES[0 if probability >= 0.75 else 1 if probability >= 0.5 else 2]
    word = str(probability).casefold()  # early v0: `High`
    return word if word in _SHADES else "unknown"


def clock(seconds: float) -> str:
    """Media time for people: `1:05`, or `1:05.5` where it is not whole."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    fraction = f".{rest % 10}" if rest % 10 else ""
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}{fraction}"


def tick_seconds(seconds: float, most: float) -> int:
    """How far apart the ticks of a scale are, so that there are about `most` of them."""
    fits = (step for step in _STEPS if seconds / step <= most)
    return next(fits, _HOUR * math.ceil(seconds / most / _HOUR))


def axis_seconds(drawing: Drawing) -> float:
    """How long the axis of a picture is; that of a short stream goes on behind its end."""
    return max(_number(drawing["seconds"]), _MIN_AXIS_SECONDS)


def make_scale(drawing: Drawing, most: float) -> list[tuple[float, str]]:
    """About `most` times to write below a timeline; the last one is its end, and says so."""
    end = _number(drawing["seconds"])
    start, to = shown_part(drawing)
    if to < end or start > 0:
        step = tick_seconds(to - start, most)
        return [
            (at, clock(at)) for at in range(step * math.ceil(start / step), math.ceil(to), step)
        ]
    step = tick_seconds(axis_seconds(drawing), most)
    ticks = [(float(at), clock(at)) for at in range(0, math.ceil(end - step / 2), step)]
    return [*ticks, (end, f"{clock(end)} {'end' if drawing['ended'] else 'now'}")]


def _phase(phase: Mapping[str, Any], now: float) -> Mark:
    probability, end = phase["probability"], phase["end"]
    return Mark(
        phase["start"],
        max(now, phase["start"]) if end is None else end,
        shade(probability),
        text="" if probability is None else escape_unprintable(str(probability)),
        more=escape_unprintable(phase["rationale"] or ""),
        is_open=end is None,
        ends_implicitly=phase["ends_implicitly"],
        layer=phase["layer"],
        span=phase["span"],
    )


def _state(item: Mapping[str, Any], now: float) -> Mark:
    state, end = item["state"], item["end"]
    return Mark(
        item["start"],
        max(now, item["start"]) if end is None else end,
        state if state in _STATES else "state",
        text=escape_unprintable(state),
        is_open=end is None,
        ends_implicitly=item["ends_implicitly"],
    )


def _period(item: Mapping[str, Any]) -> Mark:
    scores = item["values"]
    index = scores.get("quality_index")
    more = ", ".join(f"{name.replace('_', ' ')} {score}" for name, score in scores.items())
    return Mark(
        _number(item["start"]),
        _number(item["end"]),
        "quality",
        text=f"{index:.3g}" if _is_number(index) else "",
        more=escape_unprintable(more[:_MAX_MORE_CHARS]),
        values={
            name: min(100.0, max(0.0, scores[name]))
            for name in DIMENSIONS
            if _is_number(scores.get(name))
        },
    )


def _segment(item: Mapping[str, Any]) -> Mark:
    look = "dropped" if item["receipt"] in {"dropped", "refused"} else "segment"
    return Mark(item["start"], item["end"], look, text=item["receipt"])


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> float:
    return float(value) if _is_number(value) else 0.0
