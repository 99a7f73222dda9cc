"""Client and server of one API session, joined without a network."""

from __future__ import annotations

from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import ClientMessage, Ready, ServerMessage
from ih_mcp.wire.session import Session, Side

TIMESTAMP = "2026-11-21T10:00:00.000000Z"


class Pair:
    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.client = Session(dialect, Side.CLIENT)
        self.server = Session(dialect, Side.SERVER, correlation_id="c-1")

    def open(self) -> None:
        if self.dialect.greets:
            self.server_says(Ready(limits=self.dialect.limits))

    def client_says(self, message: ClientMessage) -> ClientMessage | ServerMessage:
        return self.server.receive(self.client.send(message))

    def server_says(self, *messages: ServerMessage) -> list[ClientMessage | ServerMessage]:
        return [
            self.client.receive(self.server.send(message, timestamp=TIMESTAMP))
            for message in messages
        ]

    def media(self, size: int = 100) -> int:
        number = self.client.send_segment(size)
        assert self.server.receive_segment() == number
        return number
