"""The seam to the network: what a leg needs of a WebSocket, and a pair of them in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from ih_mcp.notifier import Notifier
from ih_mcp.redaction import quoted


class Loss(StrEnum):
    """How a connection was lost where the other end said nothing."""

    CONNECTION_LOST = "connection_lost"
    """Reset, cut off, or gone."""
    PEER_SILENT = "peer_silent"
    """It answers no ping any more."""
    UPLOAD_STALLED = "upload_stalled"
    """It takes no bytes any more."""
    MESSAGE_TOO_BIG = "message_too_big"
    """It sent more in one message than is taken; we closed."""
    BROKEN_FRAMES = "broken_frames"
    """It broke the WebSocket protocol; we closed."""


class SocketClosed(Exception):  # noqa: N818 - an end, not always an error
    """The socket is closed; nothing can be received or sent any more.

    Args:
        code: The other end's close code; None where the connection was lost without one.
        reason: The other end's words, or what the system said of the loss.
        by_us: Whether we closed first.
        loss: How it was lost, where there is no code.
    """

    def __init__(
        self,
        code: int | None,
        reason: str = "",
        *,
        by_us: bool = False,
        loss: Loss = Loss.CONNECTION_LOST,
    ) -> None:
        self.reason = quoted(reason)
        super().__init__(f"closed with {code or 'no code'} {self.reason}".strip())
        self.code = code
        self.by_us = by_us
        self.loss = loss


class Socket(Protocol):
    """One WebSocket, open. One task receives, one sends; both may be cancelled at any time.

    Every method raises `SocketClosed` once the socket is closed. A call that was cancelled
    while sending leaves the message incomplete: abort the socket after it.
    """

    headers: Mapping[str, str]
    """Of the other end's handshake answer, names in lower case."""

    async def receive(self) -> str | bytes:
        """The next message: text frames as text, binary ones as bytes. Pings are answered."""

    async def send_text(self, text: str) -> None:
        """Send one text message."""

    async def send_segment(self, data: bytes) -> None:
        """Send one binary message; returns when the system took the last byte."""

    async def round_trip(self) -> None:
        """Return once the other end answered a ping: it has read all that was sent before."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, bounded in time. Closing twice does nothing."""

    async def abort(self) -> None:
        """Let go at once, without a close frame."""


Opener = Callable[[str], AbstractAsyncContextManager[Socket]]
"""How a leg gets its socket: `async with opener(url) as socket`."""


class MemorySocket:
    """One end of a pair without a network; made by `socket_pair`."""

    def __init__(self, room: int) -> None:
        self.headers: Mapping[str, str] = {}
        self.inbox: deque[str | bytes] = deque()
        """What the other end sent and nobody received yet."""
        self._room = room
        self.moved = Notifier()
        self._closed: SocketClosed | None = None
        self._peer: MemorySocket = self

    def join(self, peer: MemorySocket) -> None:
        """Make two ends a pair."""
        self._peer, peer._peer = peer, self

    async def receive(self) -> str | bytes:
        while not self.inbox:
            if self._closed:
                raise self._closed
            await self.moved.wait()
        item = self.inbox.popleft()
        self.moved.notify()
        return item

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_segment(self, data: bytes) -> None:
        await self._send(data)

    async def round_trip(self) -> None:
        await self._until(lambda: not self._peer.inbox)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._peer.end(SocketClosed(code, reason))
        self.end(SocketClosed(code, reason, by_us=True))

    async def abort(self) -> None:
        self._peer.end(SocketClosed(None, "connection lost"))
        self.end(SocketClosed(None, by_us=True))

    def end(self, closed: SocketClosed) -> None:
        """The pair is closed; the first to say so is believed."""
        self._closed = self._closed or closed
        self.moved.notify()

    async def _send(self, item: str | bytes) -> None:
        await self._until(lambda: len(self._peer.inbox) < self._room)
        self._peer.inbox.append(item)
        self._peer.moved.notify()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while True:
            if self._closed:
                raise self._closed
            if condition():
                return
            await self._peer.moved.wait()


def socket_pair(*, room: int = 64) -> tuple[MemorySocket, MemorySocket]:
    """Two ends joined in memory; `room` messages fit each way before a sender waits."""
    ends = MemorySocket(room), MemorySocket(room)
    ends[0].join(ends[1])
    return ends
