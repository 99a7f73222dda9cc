"""The WebSocket of one open page: it receives what is new, and may send a recording.

A reader, a worker that carries out the page's requests in order, and a publisher run together; the
end of the reader ends the others. A page that records keeps the chunks that were not confirmed, so
a connection may break off anywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from ih_mcp.errors import CallerError, IhMcpError, JournalError, UnknownStreamError
from ih_mcp.net.server_websocket import ADMISSION
from ih_mcp.notifier import Notifier
from ih_mcp.stand_in import describe_stand_in
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.sources.pushed import NEEDED_BYTES, pushed_source
from ih_mcp.streams.stream import Stream

from .connection_limit import MAX_CONNECTIONS
from .page_protocol import (
    AnotherRequest,
    ChunkHeader,
    ClockRequest,
    EndRequest,
    Hello,
    MediaDropped,
    PageMessage,
    RecordRequest,
    StopRecording,
    decode_page_message,
    encode_server_message,
)
from .page_server import PageServer
from .recorder_lock import RecorderLock
from .tickets import PagePermission
from .timeline_publisher import TimelinePublisher

UNKNOWN_KEY = 4401
BAD_MESSAGE = 4400
_HELLO_SECONDS = 5.0  # chosen: a page says it as soon as it is connected
_MAX_WAITING_MESSAGES = 4
_TURN_SECONDS = 1.0  # to wait for room while nobody else can push
_PAGE_LEFT_ERRORS = (
    WebSocketDisconnect,
    RuntimeError,
)  # starlette: sending after the other end left


class PageConnection:
    """One WebSocket of a page, from its first message to its end."""

    def __init__(self, socket: WebSocket, server: PageServer) -> None:
        self._socket = socket
        self._server = server
        self._permission = PagePermission("", may_record=False)
        self._page = ""
        self._is_recorder = False
        self._recorded: Stream | None = None
        """The stream, where this page may record into it; also when it is over."""
        self._head: ChunkHeader | None = None
        self._sending = anyio.Lock()
        self._lost_because = ""
        self._lock_lost = Notifier()

    async def run(self) -> None:
        """Serve the page until it leaves; refuse it where too many are connected."""
        connection: Mapping[str, Callable[[], None]] = self._socket.scope["extensions"][ADMISSION]
        slot = self._server.connections.acquire(connection["abort"])
        if slot is None:
            said = f"{MAX_CONNECTIONS} pages are open, and there is no place for more. Close one.\n"
            await self._socket.send_denial_response(PlainTextResponse(said, status_code=503))
            return
        try:
            await self._socket.accept()
            with suppress(*_PAGE_LEFT_ERRORS):
                hello = await self._hello()
                if hello is not None:
                    slot.has_key = True
                    connection["admit"]()
                    await self._serve(hello)
        finally:
            self._server.connections.release(slot)

    async def _hello(self) -> Hello | None:
        """Read the page's first message and check its key; None where the connection was closed."""
        try:
            with anyio.fail_after(_HELLO_SECONDS):
                first = decode_page_message(await self._socket.receive_text())
        except (TimeoutError, CallerError, KeyError):
            await self._socket.close(BAD_MESSAGE, "the first message has to be hello")
            return None
        permission = (
            self._server.tickets.find_permission(first.key) if isinstance(first, Hello) else None
        )
        if permission is None or not isinstance(first, Hello):
            await self._socket.close(UNKNOWN_KEY, "this page is not known here any more")
            return None
        self._permission, self._page = permission, first.page
        return first

    async def _serve(self, hello: Hello) -> None:
        publisher = TimelinePublisher(self._server, self._permission.stream_id, self._send)
        stream = self._stream
        self._recorded = stream if self._permission.may_record else None
        await self._send(
            "welcome",
            stream_id=self._permission.stream_id,
            may_record=self._recorded is not None,
            may_start_another=self._recorded is not None and self._server.may_start_another,
            whole=stream is not None and stream.dialect.framing == "whole",
            target_seconds=stream.dialect.target_segment_seconds if stream else None,
            min_seconds=stream.dialect.limits.min_segment_seconds if stream else None,
            endpoint=stream.plan.endpoint if stream else "",
            stand_in=describe_stand_in(is_used=stream is not None and stream.is_stand_in),
        )
        with self._server.count_recording_page(is_counted=self._recorded is not None):
            try:
                await self._run_tasks(publisher, hello)
            finally:
                self._lock.release(self._lose_lock)

    async def _run_tasks(self, publisher: TimelinePublisher, hello: Hello) -> None:
        send, receive = anyio.create_memory_object_stream[PageMessage | bytes](
            _MAX_WAITING_MESSAGES
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._carry_out_in_order, receive, tasks)
            tasks.start_soon(self._publish, publisher, hello.cursor)
            tasks.start_soon(self._publish_restarts)
            tasks.start_soon(self._publish_loss_of_lock)
            await self._read_messages(send, tasks)
            tasks.cancel_scope.cancel()

    async def _read_messages(
        self, send: MemoryObjectSendStream[PageMessage | bytes], tasks: TaskGroup
    ) -> None:
        async with send:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                data: bytes | None = message.get("bytes")
                try:
                    parsed = data if data is not None else decode_page_message(message["text"])
                    if isinstance(parsed, ClockRequest):  # answered before everything that waits
                        await self._send("clock", page=parsed.page, server=time.time() * 1000)
                    elif isinstance(
                        parsed, MediaDropped
                    ):  # a loss does not wait for the uplink either
                        await self._carry_out_or_refuse(parsed, tasks)
                    else:
                        await send.send(parsed)
                except CallerError as exc:
                    await self._socket.close(BAD_MESSAGE, exc.what[:100])
                    return

    async def _send(self, kind: str, **values: object) -> None:
        async with self._sending:
            with suppress(*_PAGE_LEFT_ERRORS):  # `_read_messages` notices that the page left
                await self._socket.send_text(encode_server_message(kind, **values))

    # --- recording -----------------------------------------------------------------------------

    @property
    def _stream(self) -> Stream | None:
        return self._server.stream(self._permission.stream_id)

    @property
    def _lock(self) -> RecorderLock:
        return self._server.recorder_lock(self._permission.stream_id)

    async def _carry_out_in_order(
        self, receive: MemoryObjectReceiveStream[PageMessage | bytes], tasks: TaskGroup
    ) -> None:
        async with receive:
            async for item in receive:
                await self._carry_out_or_refuse(item, tasks)

    async def _carry_out_or_refuse(self, item: PageMessage | bytes, tasks: TaskGroup) -> None:
        try:
            await self._carry_out(item, tasks)
        except IhMcpError as exc:
            await self._refuse(exc)

    async def _refuse(self, error: IhMcpError, **chunk: object) -> None:
        await self._send("refused", code=error.code, what=error.what, help=error.help, **chunk)

    async def _carry_out(self, item: PageMessage | bytes, tasks: TaskGroup) -> None:
        match item:
            case bytes():
                await self._receive_chunk(item, tasks)
            case ChunkHeader():
                self._head = item
            case RecordRequest(takes_over=takes_over):
                await self._acquire_lock(takes_over=takes_over)
            case MediaDropped(seconds=seconds):
                self._require_recorder().note_skipped(seconds)
            case StopRecording():
                self._is_recorder = False
                self._lock.release(self._lose_lock)
            case EndRequest():
                self._require_recorder().request_end()
            case AnotherRequest():
                await self._send("another", ticket=await self._ticket_of_another())
            case Hello() | ClockRequest():
                pass  # comes once, and is answered before

    async def _acquire_lock(self, *, takes_over: bool) -> None:
        self._require_recorder()
        lock = self._lock
        lock.acquire(self._page, self._lose_lock, takes_over=takes_over)
        self._is_recorder = True
        await self._send("seated", recording=lock.recording, next_seq=lock.next_seq)

    async def _ticket_of_another(self) -> str:
        if self._recorded is None:
            raise _view_only()
        return await self._server.start_another(self._recorded)

    def _lose_lock(self, why: str) -> None:
        """Another page, or a newer connection of this one, holds the lock now."""
        self._is_recorder, self._lost_because = False, why
        self._lock_lost.notify()

    def _require_recorder(self) -> Stream:
        if not self._permission.may_record:
            raise _view_only()
        stream = self._stream
        if stream is None:
            raise UnknownStreamError(
                "the stream is over", code="stream_ended", help="Start a new one."
            )
        return stream

    async def _receive_chunk(self, data: bytes, tasks: TaskGroup) -> None:
        head, self._head = self._head, None
        stream = self._require_recorder()
        if head is None:
            raise _not_recording()
        if not stream.has_room(len(data)):
            await self._send("full", waiting_bytes=stream.waiting_bytes)
        try:
            goal = await self._push_chunk(stream, head, data)
        except IhMcpError as exc:
            await self._refuse(exc, recording=head.recording, seq=head.seq)
            return
        await self._send(
            "taken",
            recording=head.recording,
            seq=head.seq,
            waiting_bytes=stream.waiting_bytes,
        )
        if goal is not None:
            tasks.start_soon(self._publish_written, stream, goal, head.at)

    async def _push_chunk(self, stream: Stream, head: ChunkHeader, data: bytes) -> int | None:
        """Push a chunk exactly once, however long it has to wait for room.

        Gives how many segments of the stream are sent once this one is; None where none is added.
        """
        source = pushed_source(stream)
        while self._is_recorder:
            try:
                async with source.turn(math.inf):
                    if not self._lock.expects(head.recording, head.seq):
                        return None
                    segment = await source.push(data, seconds=_TURN_SECONDS, feeder=Feeder.PAGE)
                    self._lock.confirm(head.recording, head.seq)
                    return stream.sent_segments + stream.waiting_segments if segment else None
            except CallerError as exc:
                if not exc.retry:
                    raise
                needed = exc.facts.get(NEEDED_BYTES)
            size = needed if isinstance(needed, int) else len(data)
            if not stream.has_room(size):  # the room that there was is taken meanwhile
                await self._send("full", waiting_bytes=stream.waiting_bytes)
            # others may have their turn meanwhile
            await stream.wait_for_room(size)
        raise _not_recording()

    async def _publish(self, publisher: TimelinePublisher, known: int) -> None:
        self._server.publishing += 1
        try:
            await publisher.run(known)
        except (JournalError, UnknownStreamError) as exc:  # a new connection would get the same
            await self._refuse(exc)
        finally:
            self._server.publishing -= 1
            self._server.published.notify()

    async def _publish_written(self, stream: Stream, goal: int, at: float) -> None:
        await stream.until(lambda: stream.sent_segments >= goal)
        await self._send("written", at=at, server=time.time() * 1000)

    async def _publish_restarts(self) -> None:
        """A new leg begins with a header: the recorder of this page has to give one."""
        stream = self._stream
        while stream is not None and not stream.is_over:
            legs = stream.sessions
            await stream.until(partial(_has_more_legs, stream, legs))
            if legs and self._is_recorder and not stream.is_over:
                await self._send("restart")

    async def _publish_loss_of_lock(self) -> None:
        while True:
            await self._lock_lost.wait()
            await self._send("left", why=self._lost_because)


def _view_only() -> CallerError:
    return CallerError(
        "this page may look, not record", code="view_only", help="Open a capture link."
    )


def _not_recording() -> CallerError:
    return CallerError(
        "a chunk came from a page that does not record", code="not_seated", help="Start."
    )


def _has_more_legs(stream: Stream, legs: int) -> bool:
    return stream.sessions > legs
