"""Decides when the next segment of a file may be sent; pure, with time as an argument.

The service sheds work when it is flooded, so a file is sent so that its result is whole. That is a
closed loop: what is sent stays little more than an analysis window ahead of what was answered. A
service that finds nothing says nothing, so between answers it is believed to go on as fast as it
did for a window or two; after that, not faster than the media plays. When it drops seconds, less
is sent ahead for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ih_mcp.wire.progress import HOP_SECONDS, WINDOW_SECONDS

AHEAD_SECONDS = WINDOW_SECONDS + 3 * HOP_SECONDS
"""How far to send ahead of the beginning of the window that was reported last; chosen: so that the
next windows are on their way."""
_LEAST_AHEAD_SECONDS = WINDOW_SECONDS + HOP_SECONDS  # less, and the next window is not whole
_BELIEVED_SECONDS = 2 * HOP_SECONDS  # chosen: how much progress is assumed without a report
_LEAST_SPEED = 0.05  # chosen: a service so slow that a minute takes twenty is as good as gone
_RECOVERY_SECONDS = 0.5  # of the lead after a drop, with each answer
_SHARE = 0.5  # of the newest answer in the estimate of the speed


class PaceName(StrEnum):
    AUTO = "auto"
    """So that nothing is dropped: a little ahead of what is answered, or, where the other end drops
    nothing, as fast as it reads."""
    REALTIME = "realtime"
    """As if it happened now."""
    FAST = "fast"
    """As fast as the connection takes it; the service may skip windows and drop seconds."""


LONG_HOLD_SECONDS = 12.0  # chosen: most segments wait for 10 s at most, as their media plays


@dataclass(frozen=True, slots=True)
class HeldSegment:
    """A segment of a file that waits for its time."""

    start_seconds: float
    """Where its media begins."""
    until: float
    """When it is sent, if nothing changes; monotonic."""


class Pacer:
    """The clock of one file. `now` is monotonic, in seconds; all else is media time."""

    def __init__(self, name: PaceName, *, now: float) -> None:
        self._name = PaceName(name)
        self._started_at = now
        self._answered = 0.0
        self._answered_at = now
        self._dropped = 0.0
        self._speed = 1.0
        self.ahead_seconds = AHEAD_SECONDS if name is PaceName.AUTO else 0.0

    def learn(self, *, answered: float, dropped: float, now: float) -> None:
        """Note how far the service has analysed, and how much media it dropped, in all.

        Args:
            answered: The beginning of the window that was reported last.
        """
        if self._name is not PaceName.AUTO:
            return
        if dropped > self._dropped:
            self._speed = max(_LEAST_SPEED, min(self._speed, 1.0) / 2)
            self.ahead_seconds = _LEAST_AHEAD_SECONDS
        elif answered > self._answered and now > self._answered_at:
            speed = (answered - self._answered) / (now - self._answered_at)
            self._speed += _SHARE * (speed - self._speed)
            self._speed = max(_LEAST_SPEED, self._speed)
            self.ahead_seconds = min(AHEAD_SECONDS, self.ahead_seconds + _RECOVERY_SECONDS)
        if answered > self._answered or dropped > self._dropped:
            self._answered, self._answered_at = max(answered, self._answered), now
            self._dropped = dropped

    def begin_anew(self, *, at: float, now: float) -> None:
        """Start again for a new API session, which begins at this second of the media."""
        if self._name is PaceName.REALTIME:
            self._started_at = max(self._started_at, now - at)
        self._answered, self._answered_at = at, now

    def send_at(self, end_seconds: float) -> float:
        """When a segment that ends there may be sent, if no report comes before; see `learn`.

        In real time a segment exists only once its last moment has passed.
        """
        if self._name is PaceName.FAST:
            return self._started_at
        if self._name is PaceName.REALTIME:
            return self._started_at + end_seconds
        left = max(0.0, end_seconds - self.ahead_seconds - self._answered)
        soon = min(left, _BELIEVED_SECONDS)
        later = (left - soon) / min(1.0, self._speed)
        return self._answered_at + soon / self._speed + later
