"""The other end of a leg, played by a test over a memory socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ih_mcp.net.socket import Socket
from ih_mcp.wire.dialects import V1, Dialect
from ih_mcp.wire.messages import Closing, Ended, Ready, ServerMessage
from ih_mcp.wire.session import Session, Side
from tests.memory_socket import socket_pair


class Service:
    """Says what a test tells it to, in the wire's own words."""

    def __init__(self, dialect: Dialect = V1) -> None:
        self.session = Session(dialect, Side.SERVER, correlation_id="c-1")
        self.client, self.socket = socket_pair()
        self.urls: list[str] = []
        self.heard: list[str | bytes] = []

    @asynccontextmanager
    async def opener(self, url: str) -> AsyncIterator[Socket]:
        self.urls.append(url)
        try:
            yield self.client
        finally:
            await self.client.close(1001)

    async def say(self, *messages: ServerMessage | str) -> list[str]:
        """Send messages, or raw text as it is; gives the texts."""
        texts = [
            m if isinstance(m, str) else self.session.send(m, timestamp="2026-11-21T10:00:00Z")
            for m in messages
        ]
        for text in texts:
            await self.socket.send_text(text)
        return texts

    async def greet(self) -> list[str]:
        return await self.say(Ready(limits=self.session.dialect.limits))

    async def hear(self) -> str | bytes:
        item = await self.socket.receive()
        self.heard.append(item)
        if isinstance(item, bytes):
            self.session.receive_segment()
        else:
            self.session.receive(item)
        return item

    async def drain(self) -> list[str]:
        """Hear the close and say the last words."""
        while await self.hear() != '{"type":"session.close"}':
            pass
        texts = await self.say(Closing(5.0), Ended("client_shutdown"))
        await self.socket.close(1000)
        return texts
