"""Notifies other processes of streams that have changed: by NOTIFY, in batches.

A NOTIFY within each commit would make all commits of the server wait for each other, so one is sent
for all that was committed since the last one, which was sent 10 ms ago or longer. One connection of
a process listens for all its readers. Notifications may be lost, as they are while that connection
is; a look each second finds what they would have said.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import LiteralString

import anyio
import psycopg
from anyio import to_thread

from ih_mcp.errors import JournalError
from ih_mcp.notifier import Notifier

from .connections import ANSWER_SECONDS, Connections, EngineAwayError, with_timeouts

_CHANNEL: LiteralString = "ih_mcp"
_BATCH_SECONDS = 0.01
LOOK_SECONDS = 1.0
_IDS_OF_PAYLOAD = 180  # docs: a payload has less than 8,000 bytes; an id of ours has 35
_LOG = logging.getLogger("ih_mcp.journal")


class NotifiedWatch:
    """A reader that waits for a stream; news that come before it waits are kept for it."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def notify(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = anyio.Event()


class Notifications:
    """What this process sends to the others, and hears from them, for all tenants."""

    def __init__(self, connections: Connections, dsn: str) -> None:
        self._connections = connections
        self._dsn = with_timeouts(dsn)
        self._watches: defaultdict[str, set[NotifiedWatch]] = defaultdict(set)
        self._changed: dict[str, None] = {}
        self._has_changed = Notifier()

    def announce(self, stream_id: str) -> None:
        self._changed[stream_id] = None
        self._has_changed.notify()

    @contextmanager
    def watch(self, stream_id: str) -> Iterator[NotifiedWatch]:
        watch = NotifiedWatch()
        self._watches[stream_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[stream_id].discard(watch)
            if not self._watches[stream_id]:
                del self._watches[stream_id]

    def is_watched(self, stream_id: str) -> bool:
        return stream_id in self._watches

    def notify(self, stream_id: str) -> None:
        """Wake the readers of a stream."""
        for watch in self._watches.get(stream_id, ()):
            watch.notify()

    async def send_forever(self) -> None:
        while True:
            while not self._changed:
                await self._has_changed.wait()
            ids, self._changed = list(self._changed), {}
            try:
                await to_thread.run_sync(partial(self._send, ids))
            except (EngineAwayError, psycopg.Error) as exc:
                _LOG.info("readers elsewhere were not notified: %s", exc)
            await anyio.sleep(_BATCH_SECONDS)

    def _send(self, ids: list[str]) -> None:
        with self._connections.borrow(ANSWER_SECONDS) as db:
            for start in range(0, len(ids), _IDS_OF_PAYLOAD):
                payload = " ".join(ids[start : start + _IDS_OF_PAYLOAD])
                db.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, payload))

    async def listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as exc:
                _LOG.info("this process hears no notifications: %s", exc)
            await anyio.sleep(LOOK_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        try:
            await connection.execute(f"LISTEN {_CHANNEL}")
            async for heard in connection.notifies():
                for stream_id in heard.payload.split():
                    self.notify(stream_id)
        finally:
            await connection.close()  # never waits; its own `async with` would, where cancelled


class TenantWakeups:
    """Wakes the readers of a tenant.

    Args:
        find_lengths: Finds the newest cursor of each of some streams, and whether it is over.
    """

    def __init__(
        self,
        notifications: Notifications,
        find_lengths: Callable[[list[str]], dict[str, tuple[int, bool]]],
    ) -> None:
        self._notifications = notifications
        self._find_lengths = find_lengths
        self._watched: defaultdict[str, int] = defaultdict(int)
        self._known: dict[str, tuple[int, bool]] = {}

    def announce(self, stream_id: str) -> None:
        self._notifications.announce(stream_id)

    @contextmanager
    def watch(self, stream_id: str) -> Iterator[NotifiedWatch]:
        self._watched[stream_id] += 1
        try:
            with self._notifications.watch(stream_id) as watch:
                yield watch
        finally:
            self._watched[stream_id] -= 1
            if not self._watched[stream_id]:
                del self._watched[stream_id]

    async def look_forever(self) -> None:
        """Look once a second whether a notification was lost, with one statement for all."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            if not self._watched:
                self._known = {}
                continue
            find = partial(self._find_lengths, list(self._watched))
            try:
                found = await to_thread.run_sync(find)
            except (EngineAwayError, JournalError) as exc:
                _LOG.info("streams were not looked at: %s", exc)
                continue
            for stream_id, length in found.items():
                if self._known.get(stream_id) != length:
                    self._notifications.notify(stream_id)
            self._known = found
