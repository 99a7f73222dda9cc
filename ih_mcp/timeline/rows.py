"""A drawing as rows of marks, for a terminal and for a drawing library.

The page draws the same rows with its own script, so that each mark can be pointed at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ih_mcp.printable import escape_unprintable

from .bounds import bounded
from .model import Drawing

_SHADES = ("high", "medium", "low")
_HOUR = 3600
_STEPS = (1, 2, 5, 10, 30, 60, 300, 600, 1800, _HOUR)
_MAX_MORE_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Mark:
    """Something with a beginning and an end, in seconds of media."""

    start_seconds: float
    end_seconds: float
    look: str
    """`high`, `medium`, `low`, `engagement`, `quality`, `dropped`, `degraded` or `segment`."""
    text: str = ""
    more: str = ""
    """More about it, such as the rationale."""
    is_open: bool = False
    """Whether it has not ended; its end is then the newest media time."""
    value: float | None = None
    """The index of conversation quality, 0 to 100."""


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """Marks of one kind, in order."""

    name: str
    look: str
    marks: Sequence[Mark]


def make_rows(drawing: Drawing) -> list[TimelineRow]:
    """The rows of a drawing, from top to bottom; empty ones are left out.

    Their number and that of the marks are bounded; see `bounded`.
    """
    drawing = bounded(drawing)
    now = _number(drawing["seconds"])
    signals: dict[str, list[Mark]] = {}
    for span in _items(drawing["spans"]):
        signals.setdefault(str(span["signal"]), []).append(_signal(span, now))
    found = [
        TimelineRow(escape_unprintable(name), "signal", marks) for name, marks in signals.items()
    ]
    found.append(
        TimelineRow(
            "engagement",
            "engagement",
            [_state(item, now) for item in _items(drawing["engagement"])],
        )
    )
    found.append(
        TimelineRow(
            "conversation quality",
            "quality",
            [_period(item) for item in _items(drawing["quality"])],
        )
    )
    for name, look in (("not analysed", "dropped"), ("degraded", "degraded")):
        found.append(
            TimelineRow(
                name, look, [Mark(start, end, look) for start, end in _pairs(drawing[look])]
            )
        )
    segments = [item for item in _items(drawing["segments"]) if item["end"] is not None]
    found.append(TimelineRow("segments", "segment", [_segment(item) for item in segments]))
    return [row for row in found if row.marks]


def shade(probability: object) -> str:
    """One of three shades; older API versions give a number instead of a word."""
    if isinstance(probability, int | float) and not isinstance(probability, bool):
        return _SHADES[0 if probability >= 0.75 else 1 if probability >= 0.5 else 2]
    return str(probability) if probability in _SHADES else "medium"


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


def _signal(span: Mapping[str, Any], now: float) -> Mark:
    probability = span["probability"]
    return Mark(
        span["start"],
        max(now, span["start"]) if span["end"] is None else span["end"],
        shade(probability),
        text="" if probability is None else escape_unprintable(str(probability)),
        more=escape_unprintable(span["rationale"] or ""),
        is_open=span["end"] is None,
    )


def _state(item: Mapping[str, Any], now: float) -> Mark:
    end = max(now, item["start"]) if item["end"] is None else item["end"]
    is_open = item["end"] is None
    return Mark(
        item["start"], end, "engagement", text=escape_unprintable(item["state"]), is_open=is_open
    )


def _period(item: Mapping[str, Any]) -> Mark:
    index = item["values"].get("quality_index")
    value = _number(index) if isinstance(index, int | float) else None
    level = None if value is None else min(100.0, max(0.0, value))
    more = ", ".join(f"{name.replace('_', ' ')} {score}" for name, score in item["values"].items())
    start, end = _number(item["start"]), _number(item["end"])
    return Mark(
        start,
        end,
        "quality",
        text="" if value is None else f"{value:.0f}" if value == level else f"{value:.3g}",
        more=escape_unprintable(more[:_MAX_MORE_CHARS]),
        value=level,
    )


def _segment(item: Mapping[str, Any]) -> Mark:
    look = "dropped" if item["receipt"] in {"dropped", "refused"} else "segment"
    return Mark(item["start"], item["end"], look, text=item["receipt"])


def _items(value: object) -> Iterable[Mapping[str, Any]]:
    assert isinstance(value, list)
    return value


def _pairs(value: object) -> Iterable[tuple[float, float]]:
    assert isinstance(value, list)
    return [(start, end) for start, end in value]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
