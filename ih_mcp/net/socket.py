"""The seam to the network: what a leg needs of a WebSocket, and a pair of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import anyio.lowlevel
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ObjectReceiveStream, ObjectSendStream


class SocketClosed(Exception):  # noqa: N818 - an end, not always an error
    """The socket is closed; nothing can be received or sent any more.

    Args:
        code: The other end's close code; None where the connection was lost without one.
        reason: The other end's words, or what the system said of the loss.
        by_us: Whether we closed first.
    """

    def __init__(self, code: int | None, reason: str = "", *, by_us: bool = False) -> None:
        super().__init__(f"closed with {code or 'no code'} {reason}".strip())
        self.code = code
        self.reason = reason
        self.by_us = by_us


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


@dataclass(frozen=True, slots=True)
class _Close:
    code: int | None
    reason: str


_Item = str | bytes | _Close


@dataclass
class MemorySocket:
    """One end of a pair without a network; made by `socket_pair`."""

    _outgoing: ObjectSendStream[_Item]
    _incoming: ObjectReceiveStream[_Item]
    headers: Mapping[str, str] = field(default_factory=dict)
    _closed: SocketClosed | None = None

    async def receive(self) -> str | bytes:
        if self._closed:
            raise self._closed
        try:
            item = await self._incoming.receive()
        except (EndOfStream, ClosedResourceError, BrokenResourceError):
            item = _Close(None, "connection lost")
        if isinstance(item, _Close):
            self._closed = self._closed or SocketClosed(item.code, item.reason)
            raise self._closed
        return item

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_segment(self, data: bytes) -> None:
        await self._send(data)

    async def round_trip(self) -> None:
        if self._closed:
            raise self._closed
        await anyio.lowlevel.checkpoint()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            await self._send(_Close(code, reason))
            self._closed = SocketClosed(code, reason, by_us=True)
            await self._outgoing.aclose()

    async def abort(self) -> None:
        self._closed = self._closed or SocketClosed(None, by_us=True)
        await self._outgoing.aclose()
        await self._incoming.aclose()

    async def _send(self, item: _Item) -> None:
        if self._closed:
            raise self._closed
        try:
            await self._outgoing.send(item)
        except (ClosedResourceError, BrokenResourceError):
            self._closed = SocketClosed(None, "connection lost")
            raise self._closed from None


def socket_pair(*, room: float = 64) -> tuple[MemorySocket, MemorySocket]:
    """Two ends joined in memory; `room` messages fit between them before a sender waits."""
    to_server, from_client = anyio.create_memory_object_stream[_Item](room)
    to_client, from_server = anyio.create_memory_object_stream[_Item](room)
    return MemorySocket(to_server, from_server), MemorySocket(to_client, from_client)
