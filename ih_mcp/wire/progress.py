"""How far an analysis has come, by the media times that messages name; its window and hop.

Results leave in the order of media time (docs: launch blog), so a message about a second shows that
the analysis has passed everything before it. A service that finds nothing sends no message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .messages import Reading

WINDOW_SECONDS = 8.0  # docs: launch blog, default analysis window
HOP_SECONDS = 3.0  # docs: launch blog, from one window to the next
_MOST_SECONDS = 1e9  # thirty years
_NO_TIME = -math.inf
_LISTS = ("ranges", "timeline")  # coverage.*, conversation_quality.updated
MAX_ITEMS = 2000
"""Of a list in one message, only this many of the newest items are read.

An hour with an item for every 3 seconds has 1,200.
"""


class Progress(NamedTuple):
    """Seconds of the session's media."""

    until_seconds: float
    """The last second that a message names."""
    window_seconds: float
    """The earliest second at which the analysis window of the message can have begun."""


def read_progress(reading: Reading) -> Progress | None:
    """How far a reading speaks; None where it names no time."""
    fields = reading.fields  # every message comes through here, nearly all without a list
    last, until = _time(fields.get("start")), _time(fields.get("end"))
    for key in _LISTS:
        if key in fields:
            for item in newest_items(fields[key]):
                last = max(last, _time(item.get("start")))
                until = max(until, _time(item.get("end")))
    latest = max(last, until)
    if latest == _NO_TIME:
        return None
    began = until - WINDOW_SECONDS
    began = max(began, last)
    return Progress(latest if latest > 0 else 0.0, began if began > 0 else 0.0)


def is_media_time(seconds: float) -> bool:
    """Whether a number can be media time; the service may send any, NaN and 1e999 too."""
    return -_MOST_SECONDS < seconds < _MOST_SECONDS


def newest_items(items: object) -> list[Mapping[str, object]]:
    """The newest objects of a list; none where it is no list."""
    if not isinstance(items, list):
        return []
    return [item for item in items[-MAX_ITEMS:] if isinstance(item, dict)]


def _time(value: object) -> float:
    """A time that a message names; before all times where it is none."""
    if type(value) is float or type(value) is int:  # not bool, which is an int as well
        return float(value) if -_MOST_SECONDS < value < _MOST_SECONDS else _NO_TIME
    return _NO_TIME
