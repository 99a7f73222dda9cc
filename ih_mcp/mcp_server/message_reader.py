"""Reads the messages of a stream after a cursor, and waits for those that a caller wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial

import anyio

from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import RemoteProtocolError, UnknownStreamError
from ih_mcp.journal import Entry, Page
from ih_mcp.streams.stream import Stream
from ih_mcp.timeline.model import dialect_of
from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.message_names import known_names, read_names

GATHER_SECONDS = 0.15  # messages come in bursts: wait for the rest of one
_STATES = frozenset({"engagement.updated"})  # docs: when first established, then at each change
_LOOK_BACK = 100  # chosen: a session says its first state within its first seconds
_LOOK_BACK_CHARS = 200_000


class MessageReader:
    """One page of a stream's messages; it consumes nothing and leaves nothing out."""

    def __init__(
        self,
        runtime: Runtime,
        stream_id: str,
        *,
        cursor: int,
        limit: int,
        max_chars: int,
        until: Collection[str] = (),
    ) -> None:
        """Prepare; `read_page` first.

        Args:
            until: The names of messages to wait for, as `read_names` gives them; any message where
                it is empty.
        """
        self._runtime = runtime
        self._stream_id = stream_id
        self._cursor = cursor
        self._read_now = partial(
            runtime.journal.read_page, stream_id, cursor, limit=limit, max_chars=max_chars
        )
        self._until = frozenset(until)
        self._looked_at = cursor
        self._dialect: Dialect | None = None
        self.wanted: list[tuple[int, frozenset[str]]] = []
        """The messages in the page that the caller waits for, as cursor and names."""
        self._has_any = False
        self.page: Page

    async def read_page(self) -> None:
        """Read the page as it is now.

        Raises:
            UnknownStreamError: There is no such stream; names those that there are.
        """
        try:
            self.page = await self._read_now()
        except UnknownStreamError:
            await self._runtime.registry.status(self._stream_id)  # its error names them
            raise
        new = [entry for entry in self.page.entries if entry.cursor > self._looked_at]
        self._has_any = self._has_any or bool(new)
        if new and self._until:
            self.wanted += await self._find_wanted(new)
        self._looked_at = max(self._looked_at, self.page.cursor)

    @property
    def has_wanted(self) -> bool:
        """Whether a message that the caller waits for is in the page."""
        return bool(self.wanted) if self._until else self._has_any

    async def find_opening(self) -> int | None:
        """The cursor of a wanted message that says a state as its API session began.

        It is the first of its type in its session, and no change. None where there is no such
        message, or where the messages before it are not at hand.
        """
        wanted = next((cursor for cursor, names in self.wanted if _STATES & names), None)
        if wanted is None:
            return None
        first = max(0, wanted - 1 - _LOOK_BACK)
        page = await self._runtime.journal.read_page(
            self._stream_id, first, limit=_LOOK_BACK + 1, max_chars=_LOOK_BACK_CHARS
        )
        before = [entry for entry in page.entries if entry.cursor < wanted]
        leg = next((entry.leg for entry in page.entries if entry.cursor == wanted), None)
        of_session = [entry for entry in before if entry.leg == leg]
        is_whole = len(of_session) < len(before) or wanted == len(of_session) + 1
        dialect = await self._find_dialect()
        is_first = not any(_STATES & _names_of(entry, dialect) for entry in of_session)
        return wanted if leg is not None and is_whole and is_first else None

    @property
    def is_enough(self) -> bool:
        """Whether waiting could add nothing that the caller waits for to this page."""
        page = self.page
        is_beyond = self._cursor > page.last
        return self.has_wanted or page.ended or is_beyond or not page.is_newest

    async def wait(self) -> None:
        """Wait until the page is enough; cancel it to answer with what there is.

        Without names to wait for, a move of the stream's state is enough too.
        """
        while not self.is_enough and await self._wait_for_news() and self._until:
            await self.read_page()
        await anyio.sleep(GATHER_SECONDS)

    async def unknown_names(self) -> list[str]:
        """The names to wait for that no message of this version is known to have."""
        if not self._until:
            return []
        return sorted(self._until.difference(await self.known_names()))

    async def known_names(self) -> tuple[str, ...]:
        """The names of messages of this version."""
        return known_names(await self._find_dialect())

    async def _find_wanted(self, entries: Collection[Entry]) -> list[tuple[int, frozenset[str]]]:
        dialect = await self._find_dialect()
        named = [(entry.cursor, _names_of(entry, dialect)) for entry in entries]
        return [(cursor, names) for cursor, names in named if names & self._until]

    async def _find_dialect(self) -> Dialect:
        if self._dialect is None:
            self._dialect = dialect_of(await self._runtime.registry.status(self._stream_id))
        return self._dialect

    async def _wait_for_news(self) -> bool:
        """Wait for a message after the page, or a move of the stream's state.

        Gives False where this process may end soon: the caller can ask another one.
        """
        runtime, stream_id, cursor = self._runtime, self._stream_id, self.page.cursor
        stays = True
        waits: list[Callable[[], Awaitable[None]]] = [
            lambda: runtime.journal.wait(stream_id, cursor)
        ]
        with suppress(UnknownStreamError):
            stream = runtime.registry.live(stream_id)
            has_other_state = partial(_has_other_state, stream, stream.state)
            waits.append(lambda: stream.until(has_other_state))
        async with anyio.create_task_group() as tasks:

            async def first(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                tasks.cancel_scope.cancel()

            async def leave() -> None:
                nonlocal stays
                await runtime.draining.leaving.wait()
                stays = False
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            for wait in waits:
                tasks.start_soon(first, wait)
        return stays


def _has_other_state(stream: Stream, state: object) -> bool:
    return stream.state is not state


def _names_of(entry: Entry, dialect: Dialect) -> frozenset[str]:
    """The names of a message; none where it cannot be read."""
    if isinstance(entry.body, bytes):
        return frozenset()
    try:
        return read_names(entry.body, dialect)
    except RemoteProtocolError:
        return frozenset()
