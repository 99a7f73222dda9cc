"""A pair of WebSockets joined in memory, for tests of either end without a network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from ih_mcp.net.socket import BeforePiece, SocketClosed
from ih_mcp.notifier import Notifier


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

    async def send_segment(self, data: bytes, *, before_piece: BeforePiece | None = None) -> None:
        if before_piece:
            await before_piece()
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
