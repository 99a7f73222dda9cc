"""The other end of a WebSocket, and the frames that it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

Work = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def peer(work: Work, answer: Response | None = None) -> AsyncIterator[str]:
    """A real WebSocket server; `answer` refuses the upgrade."""

    def refuse(_: ServerConnection, __: Request) -> Response | None:
        return answer

    async with serve(work, "127.0.0.1", 0, process_request=refuse, max_size=2**26) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/stream/analyze"


def frames(count: int) -> bytes:
    """Text frames of a server with the numbers from 0."""
    return b"".join(
        bytes([0x81, len(text)]) + text for text in (b"%d" % number for number in range(count))
    )


def server_frame(first: int, payload: bytes) -> bytes:
    return bytes([first, len(payload)]) + payload
