"""How long the service may stay in each phase; the clock is the test's."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ih_mcp.streams import deadlines
from ih_mcp.streams.deadlines import Deadlines, SessionTimeouts
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.session import State

TIMEOUTS = SessionTimeouts(
    ready_seconds=15.0, quiet_seconds=20.0, drain_margin_seconds=5.0, goodbye_seconds=2.0
)


@pytest.mark.parametrize(
    ("state", "close_sent", "drain", "seconds", "reason"),
    [
        (State.GREETING, False, None, 15.0, EndReason.NOT_READY),
        (State.OPEN, False, None, math.inf, EndReason.CONNECTION_LOST),
        (State.CLOSING, True, 30.0, 35.0, EndReason.DRAIN_TIMEOUT),
        (State.CLOSING, True, 0.0, 5.0, EndReason.DRAIN_TIMEOUT),
        (State.CLOSING, True, 1e12, 605.0, EndReason.DRAIN_TIMEOUT),
        (State.CLOSING, True, None, 20.0 + 7.0, EndReason.DRAIN_TIMEOUT),  # from the last message
        (State.ENDED, True, 30.0, 2.0, EndReason.BY_REQUEST),
        (State.ENDED, False, None, 2.0, EndReason.BY_SERVICE),
    ],
)
def test_each_phase_may_last_so_long_from_its_beginning(
    state: State,
    close_sent: bool,
    drain: float | None,
    seconds: float,
    reason: EndReason,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(deadlines, "anyio", SimpleNamespace(current_time=lambda: clock.now))
    session = SimpleNamespace(state=state, max_drain_seconds=drain)
    phase = Deadlines(cast("Any", session), TIMEOUTS)
    phase.note_phase(close_sent=close_sent)
    clock.now = 107.0
    phase.note_message()
    phase.note_phase(close_sent=close_sent)  # the same one goes on
    assert phase.current() == (100.0 + seconds, reason)


def test_a_greeting_is_awaited_for_a_moment_more_once_the_stream_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(deadlines, "anyio", SimpleNamespace(current_time=lambda: clock.now))
    session = SimpleNamespace(state=State.GREETING, max_drain_seconds=None)
    phase = Deadlines(cast("Any", session), TIMEOUTS)
    phase.note_phase(close_sent=False)
    clock.now = 103.0
    phase.hurry()
    clock.now = 104.0
    phase.hurry()  # only the first wish counts
    assert phase.current() == (105.0, EndReason.BY_REQUEST)
