"""What all connections of pages share: the streams, who may see which, and who records."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import anyio
from anyio import CapacityLimiter

from ih_mcp.errors import CallerError, UnknownStreamError
from ih_mcp.journal import Journal
from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.notifier import Notifier
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.kept_status import read_status
from ih_mcp.streams.registry import Registry
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream

from .connection_limit import ConnectionLimit
from .recorder_lock import RecorderLock
from .tickets import PagePermission, Tickets

OpenAnother = Callable[[StreamConfig], Awaitable[Stream]]
"""Opens a stream with the options of one that is over."""


class PageServer:
    """The page's server, once it listens. Use `serve.open_house`."""

    def __init__(self, journal: Journal, registry: Registry | None, origin: str) -> None:
        """Share `journal` and `registry` among pages.

        Args:
            registry: The streams of this process; without it, pages can only watch.
            origin: Where people reach the page, such as `http://127.0.0.1:8123`; with a path where
                others are served there too.
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
        self.open_another: OpenAnother | None = None
        """Set where a person may start another recording from the page of one that is over."""
        self._opening = anyio.Lock()
        self._next_streams: dict[str, Stream] = {}
        self._started: deque[Stream] = deque()
        self.recording_pages = 0
        """How many pages are connected that may record, or might until their stream was over."""
        self._pages_changed = Notifier()

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

    # --- another recording ---------------------------------------------------------------------

    @property
    def may_start_another(self) -> bool:
        """Whether a person may start another recording from the page of one that is over."""
        return self.open_another is not None

    async def start_another(self, ended: Stream) -> str:
        """A ticket for the recording that follows `ended`; all pages of `ended` get the same one.

        Raises:
            CallerError: It is not over, or none may be started from a page of this process.
        """
        if self.open_another is None or not ended.is_over:
            raise CallerError(
                "another recording cannot be started from this page",
                code="view_only",
                help="End this one first." if self.open_another else "Ask for a new link.",
            )
        async with self._opening:
            stream = self._next_streams.get(ended.id)
            if stream is None or stream.is_over:
                stream = self._next_streams[ended.id] = await self.open_another(ended.plan)
                self._started.append(stream)
                self._pages_changed.notify()
        return self.link(stream.id).partition("#")[2]

    async def wait_for_another(self) -> Stream | None:
        """Wait for the next recording that a page starts; None once no page that could is open."""
        while not self._started and self.recording_pages:
            await self._pages_changed.wait()
        return self._started.popleft() if self._started else None

    @contextmanager
    def count_recording_page(self, *, is_counted: bool) -> Iterator[None]:
        """Count a page that may record while it is connected."""
        self.recording_pages += is_counted
        try:
            yield
        finally:
            self.recording_pages -= is_counted
            self._pages_changed.notify()

    @property
    def is_for_others(self) -> bool:
        """Whether links work on other machines too."""
        return urlsplit(self.origin).hostname not in LOOPBACK_NAMES

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
        return await read_status(self.journal, stream_id)
