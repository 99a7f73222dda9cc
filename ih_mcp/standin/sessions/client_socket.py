"""A client's socket as the stand-in sees it: what a session needs of it, over ASGI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from ih_mcp.net.socket import SocketClosed

TRANSPORT = "ih_mcp.transport"
"""The ASGI extension under which the server offers what ASGI cannot: `reset` and `send_frames`."""
FAR_ABOVE = "a message far above the limit"
"""Why the server itself reset a connection."""


class Peer(Protocol):
    """The other end of an open WebSocket; every call raises `SocketClosed` once it is gone."""

    async def receive(self) -> str | bytes:
        """The next message."""
        ...

    async def send_text(self, text: str) -> None:
        """Send one text frame."""
        ...

    async def send_frames(self, text: str, max_bytes: int) -> None:
        """Send one text message in several frames."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        ...

    async def abort(self) -> None:
        """Let go at once, without a close frame."""
        ...


class AsgiSocket:
    """A peer behind an accepted ASGI WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            # A server names 1005 for a lost connection too, but gives a reason only with a frame.
            code = message.get("code") if "reason" in message else None
            raise SocketClosed(code, message.get("reason") or "")
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send_text(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise SocketClosed(None, "gone while sending") from exc

    async def send_frames(self, text: str, max_bytes: int) -> None:
        send: Callable[[bytes, int], None] = self._transport["send_frames"]
        send(text.encode(), max_bytes)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        try:
            await self._socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise SocketClosed(None, "gone while closing") from exc

    async def abort(self) -> None:
        reset: Callable[[], None] = self._transport["reset"]
        reset()

    @property
    def _transport(self) -> Mapping[str, Any]:
        transport: Mapping[str, Any] = self._socket.scope["extensions"][TRANSPORT]
        return transport
