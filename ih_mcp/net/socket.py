"""The WebSocket that a leg needs, as a protocol, and how such a connection ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ih_mcp.redaction import redact_and_cut
from ih_mcp.wire.endings import EndReason


class SocketClosed(Exception):  # noqa: N818 - an end, not always an error
    """The socket is closed; nothing can be received or sent any more.

    Args:
        code: The other end's close code; None where the connection was lost without one.
        reason: The reason that the other end gave, or the error of the system.
        by_us: Whether we closed first.
        loss: How it was lost, where there is no code.
    """

    def __init__(
        self,
        code: int | None,
        reason: str = "",
        *,
        by_us: bool = False,
        loss: EndReason = EndReason.CONNECTION_LOST,
    ) -> None:
        self.reason = redact_and_cut(reason)
        super().__init__(f"closed with {code or 'no code'} {self.reason}".strip())
        self.code = code
        self.by_us = by_us
        self.loss = loss


BeforePiece = Callable[[], Awaitable[None]]


class MessageSocket(Protocol):
    """An open WebSocket, at either end. One task receives, one sends; both can be cancelled.

    Every method raises `SocketClosed` once the socket is closed. A call that was cancelled
    while sending leaves the message incomplete: abort the socket after it.
    """

    async def receive(self) -> str | bytes:
        """The next message: text frames as text, binary ones as bytes. Pings are answered."""

    async def send_text(self, text: str) -> None:
        """Send one text message."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order, bounded in time. Closing twice does nothing."""

    async def abort(self) -> None:
        """Drop the connection at once, without a close frame."""


class Socket(MessageSocket, Protocol):
    """The client's end of a WebSocket, as a leg needs it."""

    headers: Mapping[str, str]
    """Of the server's handshake answer, names in lower case."""

    async def send_segment(self, data: bytes, *, before_piece: BeforePiece | None = None) -> None:
        """Send one binary message; returns when the system took the last byte.

        Args:
            before_piece: Awaited before each piece; waits while no media may be sent.
        """

    async def round_trip(self) -> None:
        """Return once the server answered a ping: it has read all that was sent before."""


Opener = Callable[[str], AbstractAsyncContextManager[Socket]]
"""How a leg gets its socket: `async with opener(url) as socket`."""
