"""What all connections of pages share: the streams, who may see which, and who records."""

from __future__ import annotations

import json

import anyio
from anyio import CapacityLimiter

from ih_mcp.errors import UnknownStreamError
from ih_mcp.journal import Journal
from ih_mcp.notifier import Notifier
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.registry import Registry
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream

from .connection_limit import ConnectionLimit
from .recorder_lock import RecorderLock
from .tickets import PagePermission, Tickets


class PageServer:
    """The page's server, once it listens. Use `serve.open_house`."""

    def __init__(self, journal: Journal, registry: Registry | None, origin: str) -> None:
        """Share `journal` and `registry` among pages.

        Args:
            registry: The streams of this process; without it, pages can only watch.
            origin: Where people reach the page, such as `http://127.0.0.1:8123`.
        """
        self.journal = journal
        self.origin = origin
        self.tickets = Tickets()
        self._registry = registry
        self._recorder_locks: dict[str, RecorderLock] = {}
        self.connections = ConnectionLimit()
        self.publishing = 0
        """How many pages still wait for messages that the journal has."""
        self.published = Notifier()
        """Notified when a page has everything of its stream."""
        self.drawing = CapacityLimiter(1)
        """Drawings for pages are made one at a time: busy threads slow the event loop."""

    def link(self, stream_id: str) -> str:
        """A link that opens the page on a stream, once.

        The page may record where nothing else sends media into the stream; nothing else may then.

        The ticket stands behind the `#`: browsers do not send that part, so no log has it.
        """
        stream = self.stream(stream_id)
        may_record = stream is not None and stream.feeder in {None, Feeder.PAGE}
        if stream is not None and may_record:
            stream.claim(Feeder.PAGE)
        permission = PagePermission(stream_id, may_record=may_record)
        ticket = self.tickets.issue(permission, now=anyio.current_time())
        return f"{self.origin}/#{ticket}"

    async def wait_until_published(self) -> None:
        """Wait until every open page has everything of its stream, which is over."""
        while self.publishing:
            await self.published.wait()

    def stream(self, stream_id: str) -> Stream | None:
        """The stream, where it lives in this process."""
        if self._registry is None:
            return None
        try:
            return self._registry.live(stream_id)
        except UnknownStreamError:
            return None

    def recorder_lock(self, stream_id: str) -> RecorderLock:
        return self._recorder_locks.setdefault(stream_id, RecorderLock())

    async def status(self, stream_id: str) -> StreamStatus:
        """The status of a stream of this or any other process."""
        if stream := self.stream(stream_id):
            return stream.status()
        row = await self.journal.find_stream(stream_id)
        return StreamStatus.from_json(json.loads(row.record))
