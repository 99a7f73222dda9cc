"""Wakes the tasks that wait for a change, again and again."""

from __future__ import annotations

import anyio


class Notifier:
    """An event that can happen many times.

    A waiter checks its condition and then calls `wait`, with no other await between the two.
    `notify` costs next to nothing while there is no waiter, so it may be called for every message.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def notify(self) -> None:
        """Wake every task that waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the next call of `notify`."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
