"""Whether a process takes new streams and analyses, and what goes on in it before it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ih_mcp.errors import CallerError
from ih_mcp.notifier import Notifier
from ih_mcp.streams.registry import Registry
from ih_mcp.streams.uploads import UploadRegistry


class Draining:
    """What a process does before it ends: what goes on here ends by itself, and nothing begins."""

    def __init__(self, registry: Registry, analyses: UploadRegistry) -> None:
        self._registry = registry
        self._analyses = analyses
        self._starting = anyio.Lock()
        self._has_begun = False
        self.leaving = Notifier()
        """Notified when calls that wait are to be answered, since this process may end soon."""

    def begin(self) -> None:
        """Take no new streams and analyses, and answer the calls that wait."""
        self._has_begun = True
        self.leaving.notify()

    def require_not_begun(self) -> None:
        """Check that a new stream or analysis may begin.

        Raises:
            CallerError: It may not (`draining`).
        """
        if self._has_begun:
            raise CallerError(
                "this server is about to end and takes no new streams or analyses",
                code="draining",
                retry=True,
                help="Call again in a few seconds: another server, or this one again, will answer.",
            )

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Held while a stream or an analysis is registered: one by one, so that all are counted.

        Raises:
            CallerError: As `require_not_begun`.
        """
        async with self._starting:
            self.require_not_begun()
            yield

    @property
    def live_count(self) -> int:
        """How many streams and analyses go on in this process."""
        return len(self._registry.live_ids) + self._analyses.live_count

    async def wait_until_idle(self) -> None:
        """After `begin`: wait until the streams and analyses that go on here have ended."""
        async with self._starting:  # what had begun to start goes on by now
            pass
        await self._registry.wait_until_ended()
        await self._analyses.wait_until_ended()
