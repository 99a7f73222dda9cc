"""Calls that read the disk, where a lost network drive may never answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ih_mcp.errors import PathError

T = TypeVar("T")
DISK_SECONDS = 10.0
_MAX_CALLS = 8


class DiskCalls:
    """Calls in threads of their own; one that hangs is left behind.

    At most `_MAX_CALLS` run at a time, so that those which hang take no thread from anybody else.
    Where as many were left behind, the next ones are refused at once.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_MAX_CALLS)
        self._running: dict[object, float] = {}
        """When each began, by the monotonic clock; written by the threads."""

    async def call(self, work: Callable[[], T]) -> T:
        """What `work` gives.

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

        if self.left_behind() >= _MAX_CALLS:
            raise _unreachable("the drive of files asked for before does not answer")
        try:
            with anyio.fail_after(DISK_SECONDS):
                return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)
        except TimeoutError:
            raise _unreachable(f"the file could not be read within {DISK_SECONDS:g} s") from None

    def left_behind(self) -> int:
        """How many have run for longer than anybody waits for them."""
        oldest = time.monotonic() - DISK_SECONDS
        return sum(began <= oldest for began in list(self._running.values()))


def _unreachable(what: str) -> PathError:
    return PathError(
        what,
        help="Check the drive it is on, or copy the file to a local one.",
        code="file_unreachable",
        retry=True,
    )
