"""Sends one page what is new in a stream, by the same cursor that all readers use.

Each message goes as it came, and beside it what it changed in the timeline. A page that comes late
gets all of it, from the first message that is kept.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol

import anyio
import anyio.lowlevel
from anyio import to_thread

from ih_mcp.errors import unwrap_single_error
from ih_mcp.journal import Entry, Page, follow
from ih_mcp.streams.status import StreamStatus
from ih_mcp.streams.stream import Stream
from ih_mcp.timeline.model import (
    Drawing,
    Timeline,
    changes,
    free_lists,
    in_parts,
    make_timeline,
)
from ih_mcp.wire.codec import MAX_READ_CHARS

from .page_server import PageServer

_PAGE = 500
_PAGE_CHARS = 250_000
_SHOWN_CHARS = 2000  # of a message that is too long to be read
_STATUS_SECONDS = 0.2  # a page needs no more than five looks a second at counts that run
_MOST_SEGMENTS = 400  # no lane shows more of them apart


class SendMessage(Protocol):
    def __call__(self, kind: str, **values: object) -> Awaitable[None]: ...


class TimelinePublisher:
    """Follows one stream and sends one page its messages and the changes of its timeline."""

    def __init__(self, server: PageServer, stream_id: str, send: SendMessage) -> None:
        self._server = server
        self._stream_id = stream_id
        self._send = send
        self._drawn: Drawing = {}
        self._timeline: Timeline | None = None
        self._segments: Sequence[Mapping[str, object]] = ()
        """The last that were known; a stream that is over has none."""
        self._publishing = anyio.Lock()

    async def run(self, known: int) -> None:
        """Send until the stream is over and the page has everything.

        Args:
            known: The page has the messages up to this cursor; they are drawn, not sent.
        """
        status = await self._server.status(self._stream_id)
        self._timeline = timeline = make_timeline(self._stream_id, status)
        try:
            await self._follow(known)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(timeline.discard, self._drawn)

    async def _follow(self, known: int) -> None:
        with unwrap_single_error():
            async with anyio.create_task_group() as tasks:
                stream = self._server.stream(self._stream_id)
                if stream is not None:
                    tasks.start_soon(self._follow_status, stream)
                await self._follow_messages(known)
                tasks.cancel_scope.cancel()

    async def _follow_messages(self, known: int) -> None:
        journal = self._server.journal
        following = follow(journal, self._stream_id, limit=_PAGE, max_chars=_PAGE_CHARS)
        async with aclosing(following) as pages:
            async for page in pages:
                await self._publish(page, [entry for entry in page.entries if entry.cursor > known])

    async def _follow_status(self, stream: Stream) -> None:
        shown: tuple[object, ...] = ()
        while not stream.is_over:
            await stream.until(partial(_has_changed, stream, shown))
            shown = _shown_facts(stream)
            await self._publish(None, [])
            await anyio.sleep(_STATUS_SECONDS)

    async def _publish(self, page: Page | None, fresh: Sequence[Entry]) -> None:
        async with self._publishing:
            status = await self._server.status(self._stream_id)
            timeline = self._timeline
            assert timeline is not None  # set before anything follows
            stream = self._server.stream(self._stream_id)
            if stream is not None:
                self._segments = _segments(stream)
            draw = partial(self._draw, timeline, status, page)
            drawing = await to_thread.run_sync(draw, limiter=self._server.drawing)
            drawing["waiting_bytes"] = stream.waiting_bytes if stream else 0
            compare = partial(changes, self._drawn, drawing)
            changed = await to_thread.run_sync(compare, limiter=self._server.drawing)
            entries = [_entry_to_json(entry) for entry in fresh]
            for part in in_parts(self._drawn, changed) if changed or fresh else ():
                await self._send("news", entries=entries, changes=part)
                entries = []
                await anyio.lowlevel.checkpoint()  # sending does not wait while there is room
            before, self._drawn = self._drawn, drawing
            await to_thread.run_sync(free_lists, before, limiter=self._server.drawing)

    def _draw(self, timeline: Timeline, status: StreamStatus, page: Page | None) -> Drawing:
        """Fold in new entries and draw the timeline; blocks, and may take long."""
        timeline.fold_all(page.entries if page else (), status)
        if page and page.is_final:
            timeline.close(status)
        return timeline.as_json(status, stream_id=self._stream_id, segments=self._segments)


def _shown_facts(stream: Stream) -> tuple[object, ...]:
    """What a page shows of a stream besides messages."""
    return stream.state, stream.count_receipts(), stream.waiting_bytes, stream.skipped_seconds


def _has_changed(stream: Stream, shown: tuple[object, ...]) -> bool:
    return _shown_facts(stream) != shown


def _segments(stream: Stream) -> list[Mapping[str, object]]:
    """The newest segments, as JSON; their seconds are media time of the stream."""
    return [
        {
            "number": segment.number,
            "start": segment.start_seconds,
            "end": segment.end_seconds,
            "bytes": segment.size,
            "receipt": segment.receipt.value,
        }
        for segment in stream.newest_receipts(_MOST_SEGMENTS)
    ]


def _entry_to_json(entry: Entry) -> Mapping[str, object]:
    """A message for the page: text as it came, a binary one as base64."""
    as_json: dict[str, object] = {
        "cursor": entry.cursor,
        "leg": entry.leg,
        "received_at": entry.received_at / 1000,
    }
    if len(entry.body) > MAX_READ_CHARS:
        start = str(entry.body[:_SHOWN_CHARS])
        return {
            **as_json,
            "body": f"{start} ... ({len(entry.body):_} in all; poll_events has them)",
        }
    if isinstance(entry.body, bytes):
        return {**as_json, "base64": base64.b64encode(entry.body).decode()}
    return {**as_json, "body": entry.body}
