"""Ends the process in time, whatever the event loop or one of its threads is busy with.

A host kills a server 2 s after it closed its input. The countdown runs in a thread of its own: the
event loop may be flooded, or may wait for a thread that draws or that a lost drive holds up.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HARD_EXIT_SECONDS = 1.3


class ExitTimer:
    """Ends the process `seconds` after the first end that was seen.

    Its methods may be called in any thread.
    """

    def __init__(self, seconds: float = HARD_EXIT_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._exits_at: float | None = None
        self.code = 0
        """The exit code of the process."""

    def start(self, code: int = 0) -> None:
        """Start the countdown; only the first call counts."""
        with self._lock:
            if self._exits_at is not None:
                return
            self.code = code
            self._exits_at = time.monotonic() + self._seconds
        threading.Thread(target=self._exit_in_time, name="exit-timer", daemon=True).start()

    def postpone(self) -> None:
        """Start the countdown again: lines before the end of input are still being read."""
        with self._lock:
            if self._exits_at is not None and self.code == 0:
                self._exits_at = time.monotonic() + self._seconds

    def _exit_in_time(self) -> None:
        assert self._exits_at is not None  # set before the thread began
        while (left := self._exits_at - time.monotonic()) > 0:
            time.sleep(left)
        os._exit(self.code)  # at once: standard error may be what everybody waits for


@contextmanager
def exit_on_signals(exit_timer: ExitTimer, notify: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT start the countdown; then `notify` is called in a thread.

    Python runs handlers in the main thread, which may be busy: the wake-up descriptor is written
    to by the system's own handler.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while data := os.read(reader, 1):
            if data[0] in numbers:
                exit_timer.start(128 + data[0])
                notify()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        os.close(writer)  # ends the thread, which leaves `reader` to the process
