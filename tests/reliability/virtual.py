"""An event loop whose clock jumps to the next thing that is due: hours of waiting take no time."""

from __future__ import annotations

import asyncio  # noqa: TID251 - a loop can only be made from it
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code without threads and sockets: what they do takes real time, which is not waited for.

    Raises:
        RuntimeError: Everybody waits and nothing is due: a deadlock.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()
        real = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None) -> Any:
            ready = real(0)
            if not ready and timeout is None:
                raise RuntimeError("everybody waits, and nothing is due")
            if not ready:
                self._now += timeout or 0.0
            return ready

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now
