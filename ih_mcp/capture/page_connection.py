"""One open page: it is told what is new, and may record.

Three tasks live and die together: one hears, one does what was said in order, one tells. A page
that records keeps what was not confirmed, so a visit may break off anywhere.
"""

from __future__ import annotations

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
from ih_mcp.streams.sources.pushed import NEEDED_BYTES, push
from ih_mcp.streams.stream import Feeder, Stream

from .connection_limit import MAX_PAGES
from .page_protocol import (
    ChunkHead,
    Claim,
    Clock,
    Dropped,
    End,
    Hello,
    Stop,
    Word,
    read_word,
    write_word,
)
from .page_server import House
from .recorder_lock import Seat
from .tickets import Pass
from .timeline_publisher import Teller

UNKNOWN_KEY = 4401
BAD_WORD = 4400
_HELLO_SECONDS = 5.0  # chosen: a page says it as soon as it is connected
_WAITING_WORDS = 4
_TURN_SECONDS = 1.0  # to wait for room while nobody else can push
_GONE = (WebSocketDisconnect, RuntimeError)  # starlette: sending after the other end left


class Visit:
    """One WebSocket of a page, from its first word to its end."""

    def __init__(self, socket: WebSocket, house: House) -> None:
        self._socket = socket
        self._house = house
        self._granted = Pass("", may_record=False)
        self._page = ""
        self._is_seated = False
        self._head: ChunkHead | None = None
        self._sending = anyio.Lock()
        self._left = ""
        self._leaving = Notifier()

    async def run(self) -> None:
        """Talk until the page leaves, where there is a place for it."""
        connection: Mapping[str, Callable[[], None]] = self._socket.scope["extensions"][ADMISSION]
        place = self._house.places.take(connection["abort"])
        if place is None:
            said = f"{MAX_PAGES} pages are open, and there is no place for more. Close one.\n"
            await self._socket.send_denial_response(PlainTextResponse(said, status_code=503))
            return
        try:
            await self._socket.accept()
            with suppress(*_GONE):
                hello = await self._hello()
                if hello is not None:
                    place.is_known = True
                    connection["admit"]()
                    await self._stay(hello)
        finally:
            self._house.places.free(place)

    async def _hello(self) -> Hello | None:
        """The page's first word, once it is known that it may stay."""
        try:
            with anyio.fail_after(_HELLO_SECONDS):
                word = read_word(await self._socket.receive_text())
        except (TimeoutError, CallerError, KeyError):
            await self._socket.close(BAD_WORD, "the first word has to be hello")
            return None
        granted = self._house.tickets.look(word.key) if isinstance(word, Hello) else None
        if granted is None or not isinstance(word, Hello):
            await self._socket.close(UNKNOWN_KEY, "this page is not known here any more")
            return None
        self._granted, self._page = granted, word.page
        return word

    async def _stay(self, hello: Hello) -> None:
        send, receive = anyio.create_memory_object_stream[Word | bytes](_WAITING_WORDS)
        teller = Teller(self._house, self._granted.stream_id, self._say)
        stream = self._stream
        await self._say(
            "welcome",
            stream_id=self._granted.stream_id,
            may_record=self._granted.may_record and stream is not None,
            whole=stream is not None and stream.dialect.framing == "whole",
            target_seconds=stream.dialect.target_segment_seconds if stream else None,
            min_seconds=stream.dialect.limits.min_segment_seconds if stream else None,
            endpoint=stream.plan.endpoint if stream else "",
        )
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._work, receive, tasks)
                tasks.start_soon(self._tell, teller, hello.cursor)
                tasks.start_soon(self._tell_restarts)
                tasks.start_soon(self._tell_left)
                await self._listen(send, tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._seat.free(self._leave)

    async def _listen(self, send: MemoryObjectSendStream[Word | bytes], tasks: TaskGroup) -> None:
        async with send:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                data: bytes | None = message.get("bytes")
                try:
                    word = data if data is not None else read_word(message["text"])
                    if isinstance(word, Clock):  # answered before all that waits
                        await self._say("clock", page=word.page, server=time.time() * 1000)
                    elif isinstance(word, Dropped):  # nor does a loss wait for the uplink
                        await self._answer(word, tasks)
                    else:
                        await send.send(word)
                except CallerError as exc:
                    await self._socket.close(BAD_WORD, exc.what[:100])
                    return

    async def _say(self, kind: str, **values: object) -> None:
        async with self._sending:
            with suppress(*_GONE):  # that the page left is heard by `_listen`
                await self._socket.send_text(write_word(kind, **values))

    # --- recording -----------------------------------------------------------------------------

    @property
    def _stream(self) -> Stream | None:
        return self._house.stream(self._granted.stream_id)

    @property
    def _seat(self) -> Seat:
        return self._house.seat(self._granted.stream_id)

    async def _work(
        self, receive: MemoryObjectReceiveStream[Word | bytes], tasks: TaskGroup
    ) -> None:
        async with receive:
            async for item in receive:
                await self._answer(item, tasks)

    async def _answer(self, item: Word | bytes, tasks: TaskGroup) -> None:
        try:
            await self._do(item, tasks)
        except IhMcpError as exc:
            await self._refuse(exc)

    async def _refuse(self, error: IhMcpError) -> None:
        await self._say("refused", code=error.code, what=error.what, help=error.help)

    async def _do(self, item: Word | bytes, tasks: TaskGroup) -> None:
        match item:
            case bytes():
                await self._chunk(item, tasks)
            case ChunkHead():
                self._head = item
            case Claim(takes_over=takes_over):
                await self._claim(takes_over=takes_over)
            case Dropped(seconds=seconds):
                self._require_recorder().let_go(seconds)
            case Stop():
                self._is_seated = False
                self._seat.free(self._leave)
            case End():
                self._require_recorder().ask_to_end()
            case Hello() | Clock():
                pass  # said once, and answered before

    async def _claim(self, *, takes_over: bool) -> None:
        self._require_recorder()
        seat = self._seat
        seat.claim(self._page, self._leave, takes_over=takes_over)
        self._is_seated = True
        await self._say("seated", recording=seat.recording, next_seq=seat.next_seq)

    def _leave(self, why: str) -> None:
        """Another page, or a newer visit of this one, sits there now."""
        self._is_seated, self._left = False, why
        self._leaving.notify()

    def _require_recorder(self) -> Stream:
        if not self._granted.may_record:
            raise CallerError(
                "this page may look, not record", code="view_only", help="Open a capture link."
            )
        stream = self._stream
        if stream is None:
            raise UnknownStreamError(
                "the stream is over", code="stream_ended", help="Start a new one."
            )
        return stream

    async def _chunk(self, data: bytes, tasks: TaskGroup) -> None:
        head, self._head = self._head, None
        stream = self._require_recorder()
        if head is None:
            raise _not_seated()
        if not stream.outbox.has_room(len(data)):
            await self._say("full", waiting_bytes=stream.outbox.bytes)
        goal = await self._take(stream, head, data)
        await self._say(
            "taken",
            recording=head.recording,
            seq=head.seq,
            waiting_bytes=stream.outbox.bytes,
        )
        if goal is not None:
            tasks.start_soon(self._tell_written, stream, goal, head.at)

    async def _take(self, stream: Stream, head: ChunkHead, data: bytes) -> int | None:
        """Push a chunk, once and for all, however long it has to wait.

        Gives how many segments of the stream are sent when it is; None where none is added.
        """
        while self._is_seated:
            try:
                async with stream.pushing:
                    if not self._seat.expects(head.recording, head.seq):
                        return None
                    segment = await push(stream, data, seconds=_TURN_SECONDS, feeder=Feeder.PAGE)
                    self._seat.took(head.recording, head.seq)
                    return _sent(stream) + stream.outbox.segments if segment else None
            except CallerError as exc:
                if not exc.retry:
                    raise
                size = exc.facts.get(NEEDED_BYTES)
            # others may have their turn meanwhile
            await stream.room(size if isinstance(size, int) else len(data))
        raise _not_seated()

    async def _tell(self, teller: Teller, known: int) -> None:
        self._house.telling += 1
        try:
            await teller.run(known)
        except (JournalError, UnknownStreamError) as exc:  # a new connection would hear the same
            await self._refuse(exc)
        finally:
            self._house.telling -= 1
            self._house.told.notify()

    async def _tell_written(self, stream: Stream, goal: int, at: float) -> None:
        await stream.until(lambda: _sent(stream) >= goal)
        await self._say("written", at=at, server=time.time() * 1000)

    async def _tell_restarts(self) -> None:
        """A new leg begins with a header: the recorder of this page has to give one."""
        stream = self._stream
        while stream is not None and not stream.is_over:
            legs = len(stream.legs)
            await stream.until(partial(_has_more_legs, stream, legs))
            if legs and self._is_seated and not stream.is_over:
                await self._say("restart")

    async def _tell_left(self) -> None:
        while True:
            await self._leaving.wait()
            await self._say("left", why=self._left)


def _not_seated() -> CallerError:
    return CallerError(
        "a chunk came from a page that does not record", code="not_seated", help="Start."
    )


def _has_more_legs(stream: Stream, legs: int) -> bool:
    return len(stream.legs) > legs


def _sent(stream: Stream) -> int:
    """How many segments of a stream were written to the wire."""
    return sum(len(leg.receipts) for leg in stream.legs)
