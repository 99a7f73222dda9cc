"""The WebSocket of a client, as a session of the stand-in needs it, and as ASGI offers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from ih_mcp.net.socket import MessageSocket, SocketClosed

TRANSPORT = "ih_mcp.transport"
"""The ASGI extension under which the server offers what ASGI cannot: `reset` and `send_frames`."""
FAR_ABOVE = "a message far above the limit"
"""Why the server itself reset a connection."""


class ClientSocket(MessageSocket, Protocol):
    """The server's end of an open WebSocket: it receives from a client and sends to it."""

    async def send_frames(self, text: str, max_bytes: int) -> None:
        """Send one text message in frames of at most `max_bytes` bytes."""


class AsgiSocket:
    """The `ClientSocket` of a WebSocket that the ASGI server has accepted."""

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
            raise SocketClosed(None, "the client went away while we sent") from exc

    async def send_frames(self, text: str, max_bytes: int) -> None:
        send: Callable[[bytes, int], None] = self._transport["send_frames"]
        send(text.encode(), max_bytes)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        try:
            await self._socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise SocketClosed(None, "the client went away while we closed") from exc

    async def abort(self) -> None:
        reset: Callable[[], None] = self._transport["reset"]
        reset()

    @property
    def _transport(self) -> Mapping[str, Any]:
        transport: Mapping[str, Any] = self._socket.scope["extensions"][TRANSPORT]
        return transport
