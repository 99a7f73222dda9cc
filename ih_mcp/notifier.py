"""Wake whoever waits, again and again."""

from __future__ import annotations

import anyio


class Bell:
    """An event that can happen many times: check your condition, then wait, nothing between.

    Ringing costs next to nothing while nobody waits, so it may be rung for every message.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def ring(self) -> None:
        """Wake everybody who waits now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the next ring."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
