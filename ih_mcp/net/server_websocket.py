"""WebSockets of a server on this machine that cost little, whoever holds the other end."""

from __future__ import annotations

from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ADMISSION = "ih_mcp.admission"
"""The ASGI extension of `KeyedWebSocket`: `admit` and `abort`, to be called without arguments."""
_MAX_FIRST_BYTES = 4096  # chosen: of the message that shows a key
_MAX_UNREAD_BYTES = 1 << 20  # chosen: of answers to pings that the client does not read


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Drops a client that sends pings and does not read what they are answered with."""

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self.transport.abort()


class KeyedWebSocket(BoundedWebSocket):
    """Takes one short message until the application admits its client by what that shows.

    A longer one, or a second one, ends the connection; a close is not waited for. The application
    finds what it calls under `ADMISSION` in the scope's extensions.
    """

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - what uvicorn makes it with
        super().__init__(*args, **named)
        self._max_bytes, self.conn.max_message_size = self.conn.max_message_size, _MAX_FIRST_BYTES
        self._is_admitted = self._has_shown = False

    async def run_asgi(self) -> None:
        self.scope["extensions"][ADMISSION] = {"admit": self._admit, "abort": self.transport.abort}
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.close" and not self._is_admitted:
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        if self._has_shown and not self._is_admitted:
            self.transport.abort()
            return
        self._has_shown = True
        super().send_receive_event_to_app()

    def _admit(self) -> None:
        self._is_admitted, self.conn.max_message_size = True, self._max_bytes
