"""When the next segment of a file may go: pure, time is an argument.

The service sheds work when it is flooded, so a file is sent so that its result is whole: a head
start of a few analysis windows, then real time, and slower after the service said that it
dropped seconds.
"""

from __future__ import annotations

from enum import StrEnum

_WINDOW_SECONDS = 8.0  # docs: launch blog, default analysis window
_HEAD_START_SECONDS = 3 * _WINDOW_SECONDS  # chosen


class PaceName(StrEnum):
    AUTO = "auto"
    """So that nothing is dropped: a head start, then real time."""
    REALTIME = "realtime"
    """As if it happened now."""
    FAST = "fast"
    """As fast as the connection takes it; the service may drop seconds."""


_HEAD_STARTS = {PaceName.AUTO: _HEAD_START_SECONDS, PaceName.REALTIME: 0.0}


class Pace:
    """The clock of one file. `now` is monotonic, in seconds."""

    def __init__(self, name: PaceName, *, now: float) -> None:
        self._head_start = _HEAD_STARTS.get(name)
        self._started_at = now

    def send_at(self, end_seconds: float) -> float:
        """When a segment whose media ends at `end_seconds` may go; in the past means at once.

        In real time a segment exists only once its last moment has passed.
        """
        if self._head_start is None:
            return self._started_at
        return self._started_at + end_seconds - self._head_start

    def dropped(self, seconds: float) -> None:
        """The service dropped so many seconds: hold the rest back by as much."""
        self._started_at += seconds
