"""Signals reach the countdown also while the main thread is busy."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from ih_mcp.mcp_server import exit_timer
from ih_mcp.mcp_server.exit_timer import ExitTimer, exit_on_signals


class Timer:
    def __init__(self) -> None:
        self.codes: list[int] = []

    def start(self, code: int) -> None:
        self.codes.append(code)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_starts_the_countdown_and_another_does_not(number: signal.Signals) -> None:
    timer, told = Timer(), threading.Semaphore(0)
    before = signal.getsignal(number), signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with exit_on_signals(cast("ExitTimer", timer), told.release):
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(number)
            assert told.acquire(timeout=20)
            assert timer.codes == [128 + number]
    finally:
        signal.signal(signal.SIGUSR1, before[1])
    assert signal.getsignal(number) == before[0]


@pytest.mark.parametrize(
    ("codes", "exits_at", "code"),
    [
        ([0], 102.5, 0),  # after the end of input, whose last lines are still being read
        ([143], 101.5, 143),  # after a signal nothing is waited for
        ([0, 143], 102.5, 0),  # only the first end counts
    ],
)
def test_lines_that_are_still_read_postpone_the_exit_but_for_one_by_a_signal(
    codes: list[int], exits_at: float, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, counting, exits = [100.0], list[Callable[[], None]](), list[tuple[float, int]]()

    def thread(*, target: Callable[[], None], **_: object) -> SimpleNamespace:
        return SimpleNamespace(start=lambda: counting.append(target))

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    doubles = {
        "threading": SimpleNamespace(Lock=threading.Lock, Thread=thread),
        "time": SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep),
        "os": SimpleNamespace(_exit=lambda code: exits.append((clock[0], code))),
    }
    for name, double in doubles.items():
        monkeypatch.setattr(exit_timer, name, double)
    timer = ExitTimer(seconds=1.5)
    timer.postpone()  # nothing has ended yet
    assert counting == []
    for each in codes:
        timer.start(each)
    sleep(1.0)
    timer.postpone()
    (count,) = counting
    count()
    assert exits == [(exits_at, code)]
