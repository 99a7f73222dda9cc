"""Wakes readers of streams that other processes write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio

_LOOK_SECONDS = 0.25


class StreamWatch(Protocol):
    """One reader that waits for news of one stream."""

    async def wait(self) -> None:
        """Return when there may be news since the last return, or since the watch began."""


class Wakeups(Protocol):
    """How processes that share a journal hear of each other's commits."""

    def announce(self, stream_id: str) -> None:
        """Tell the others that a stream has changed."""

    @contextmanager
    def watch(self, stream_id: str) -> Iterator[StreamWatch]:
        """Begin to watch a stream; look at it after this, and then wait."""


class NoWakeups:
    """Processes that share a file hear nothing of each other, so readers look often."""

    def announce(self, stream_id: str) -> None:
        """Other processes look by themselves."""

    @contextmanager
    def watch(self, stream_id: str) -> Iterator[StreamWatch]:  # noqa: ARG002 - of the protocol
        yield self

    async def wait(self) -> None:
        await anyio.sleep(_LOOK_SECONDS)
