"""How long the service may stay silent in each phase of a session, and what it means if it does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import anyio

from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.session import Session, State

_MOST_DRAIN_SECONDS = 600.0  # chosen: no service works on the rest for longer


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimeouts:
    """How long a leg waits for the service."""

    ready_seconds: float = 15.0
    """How long to wait for `session.ready`, once the socket is open."""
    quiet_seconds: float = 20.0
    """How long without a message after our close, where no message ends the session."""
    drain_margin_seconds: float = 5.0
    """On top of the `max_drain_seconds` that the service declares."""
    goodbye_seconds: float = 2.0
    """How long to wait for the close of the service after `session.ended`; also for `session.ready`
    after a request to end."""


class Deadlines:
    """Tells until when the service may stay in the phase that its session is in."""

    def __init__(self, session: Session, timeouts: SessionTimeouts) -> None:
        self._session = session
        self._timeouts = timeouts
        self._phase: object = None
        self._close_sent = False
        self._entered_at = self._moved_at = 0.0
        self._hurried_at = math.inf

    def hurry(self) -> None:
        """Wait only a moment longer for the greeting."""
        self._hurried_at = min(self._hurried_at, anyio.current_time())

    def note_message(self) -> None:
        """Note that the service spoke just now."""
        self._moved_at = anyio.current_time()

    def note_phase(self, *, close_sent: bool) -> None:
        """Begin to count anew where the session came into another phase."""
        phase = (self._session.state, close_sent, self._session.max_drain_seconds)
        if phase != self._phase:
            self._phase, self._close_sent = phase, close_sent
            self._entered_at = self._moved_at = anyio.current_time()

    def current(self) -> tuple[float, EndReason]:
        """Until when the service may stay in this phase, and why the leg ends if it does."""
        timeouts, session = self._timeouts, self._session
        if session.state is State.GREETING:
            ready_at = self._entered_at + timeouts.ready_seconds
            hurried_at = self._hurried_at + timeouts.goodbye_seconds
            if hurried_at < ready_at:
                return hurried_at, EndReason.BY_REQUEST
            return ready_at, EndReason.NOT_READY
        if session.state is State.ENDED:
            return self._entered_at + timeouts.goodbye_seconds, (
                EndReason.BY_REQUEST if self._close_sent else EndReason.BY_SERVICE
            )
        if not self._close_sent:
            return math.inf, EndReason.CONNECTION_LOST  # never comes
        if session.max_drain_seconds is not None:
            asked = min(session.max_drain_seconds, _MOST_DRAIN_SECONDS)
            seconds = asked + timeouts.drain_margin_seconds
            return self._entered_at + seconds, EndReason.DRAIN_TIMEOUT
        # the service does not know `session.close`, or speaks per segment: wait for quiet
        return self._moved_at + timeouts.quiet_seconds, EndReason.DRAIN_TIMEOUT
