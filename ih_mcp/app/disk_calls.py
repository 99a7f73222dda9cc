"""Calls that read the disk, where a lost network drive may never answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ih_mcp.errors import PathError

T = TypeVar("T")
DISK_SECONDS = 10.0
_MAX_CALLS = 8
_NO_LIMIT = CapacityLimiter(math.inf)


class DiskCalls:
    """Runs each call in a thread; the caller does not wait for one that hangs.

    At most `_MAX_CALLS` run at a time, so that hanging calls use up no other threads. While as many
    hang, further calls are refused at once.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_MAX_CALLS)
        self._running: dict[object, float] = {}
        """When each running call began, by the monotonic clock; written by the threads."""

    async def call(self, work: Callable[[], T]) -> T:
        """The result of `work`.

        Raises:
            PathError: It took longer than `DISK_SECONDS`, or too many before it still do.
        """

        def run() -> T:
            key = object()
            self._running[key] = time.monotonic()
            try:
                return work()
            finally:
                del self._running[key]

        if self.hanging_calls() >= _MAX_CALLS:
            raise _unreachable("the drive of files asked for before does not answer")
        try:
            with anyio.fail_after(DISK_SECONDS):
                async with self._limiter:
                    if len(self._running) >= _MAX_CALLS:  # whose callers wait no longer
                        raise _unreachable("the drive of files asked for before does not answer")
                    return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=_NO_LIMIT)
        except TimeoutError:
            raise _unreachable(f"the file could not be read within {DISK_SECONDS:g} s") from None

    def hanging_calls(self) -> int:
        """How many calls run for longer than `DISK_SECONDS`."""
        oldest = time.monotonic() - DISK_SECONDS
        return sum(began <= oldest for began in list(self._running.values()))


def _unreachable(what: str) -> PathError:
    return PathError(
        what,
        help="Check the drive it is on, or copy the file to a local one.",
        code="file_unreachable",
        retry=True,
    )
