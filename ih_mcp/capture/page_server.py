"""What all visits of the page share: the streams, who may see which, and who records."""

from __future__ import annotations

import json
from collections.abc import Mapping

import anyio
from anyio import CapacityLimiter

from ih_mcp.errors import UnknownStreamError
from ih_mcp.journal import Journal
from ih_mcp.notifier import Notifier
from ih_mcp.streams.registry import Registry
from ih_mcp.streams.stream import Feeder, Stream

from .connection_limit import Places
from .recorder_lock import Seat
from .tickets import Pass, Tickets


class House:
    """The page's server, once it listens. Use `serve.open_house`."""

    def __init__(self, journal: Journal, registry: Registry | None, origin: str) -> None:
        """Begin.

        Args:
            registry: Of this process; without one, streams are only looked at.
            origin: Where people reach the page, such as `http://127.0.0.1:8123`.
        """
        self.journal = journal
        self.origin = origin
        self.tickets = Tickets()
        self._registry = registry
        self._seats: dict[str, Seat] = {}
        self.places = Places()
        self.telling = 0
        """Pages that are not told everything yet."""
        self.told = Notifier()
        self.drawing = CapacityLimiter(1)
        """Of what pages are told: threads that work take the interpreter in turns with the loop."""

    def link(self, stream_id: str) -> str:
        """A link that opens the page on a stream, once.

        The page may record where nobody else gives the stream its media, and nobody else may then.

        The ticket stands behind the `#`: browsers send it to nobody, and no log has it.
        """
        stream = self.stream(stream_id)
        may_record = stream is not None and stream.feeder in {None, Feeder.PAGE}
        if stream is not None and may_record:
            stream.claim(Feeder.PAGE)
        granted = Pass(stream_id, may_record=may_record)
        ticket = self.tickets.issue(granted, now=anyio.current_time())
        return f"{self.origin}/#{ticket}"

    async def all_told(self) -> None:
        """Wait until every open page knows all of its stream, which is over."""
        while self.telling:
            await self.told.wait()

    def stream(self, stream_id: str) -> Stream | None:
        """The stream, where it lives in this process."""
        if self._registry is None:
            return None
        try:
            return self._registry.live(stream_id)
        except UnknownStreamError:
            return None

    def seat(self, stream_id: str) -> Seat:
        return self._seats.setdefault(stream_id, Seat())

    async def record(self, stream_id: str) -> Mapping[str, object]:
        """What is to be said of a stream of this or any other process."""
        if stream := self.stream(stream_id):
            return stream.record()
        row = await self.journal.find_stream(stream_id)
        record: Mapping[str, object] = json.loads(row.record)
        return record
