"""Signals reach the countdown also while the main thread is busy."""

from __future__ import annotations

import signal
import sys
import threading
from typing import cast

import pytest

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
