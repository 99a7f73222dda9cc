"""The end of the process in time, whatever the event loop or a thread of it is busy with.

A host kills a server 2 s after it closed its input. Who sees the end therefore counts down in a
thread: the loop may be flooded, or wait for a thread that draws or hangs on a lost drive.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HARD_EXIT_SECONDS = 1.3


class Leaving:
    """Ends the process `seconds` after the first end that was seen.

    Its methods may be called in any thread.
    """

    def __init__(self, seconds: float = HARD_EXIT_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._leaves_at: float | None = None
        self.code = 0
        """What the process ends with."""

    def begin(self, code: int = 0) -> None:
        """The host has gone, or asks us to go."""
        with self._lock:
            if self._leaves_at is not None:
                return
            self.code = code
            self._leaves_at = time.monotonic() + self._seconds
        threading.Thread(target=self._leave, name="leaving", daemon=True).start()

    def put_off(self) -> None:
        """What came before the end of input is still being taken: count from now on."""
        with self._lock:
            if self._leaves_at is not None and self.code == 0:
                self._leaves_at = time.monotonic() + self._seconds

    def _leave(self) -> None:
        assert self._leaves_at is not None  # set before the thread began
        while (left := self._leaves_at - time.monotonic()) > 0:
            time.sleep(left)
        os._exit(self.code)  # at once: standard error may be what everybody waits for


@contextmanager
def on_signals(leaving: Leaving, tell: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT begin the end; `tell` is called in a thread then.

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
                leaving.begin(128 + data[0])
                tell()

    threading.Thread(target=watch, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        os.close(writer)  # ends the thread, which leaves `reader` to the process
