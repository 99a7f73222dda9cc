"""Serve an ASGI application on a port, in the caller's event loop, until the block ends."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_BACKLOG = 128
_END_SECONDS = 1
_PING_SECONDS = 20.0  # chosen: the service's policy is not published
_HEAD_SECONDS = 30.0  # chosen: for the head of a request; uvicorn itself waits for ever


@contextmanager
def open_listener(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket: from here on connections wait, even before the server looks.

    Raises:
        OSError: The port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        yield listener


def url_of(listener: socket.socket) -> str:
    """`http://HOST:PORT` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, *, max_message_bytes: int, **settings: object
) -> AsyncIterator[None]:
    """Answer requests while this is open; connections still open at the end are cut off.

    Args:
        max_message_bytes: Of one WebSocket message; a larger one ends its connection.
        settings: Of uvicorn, over those here.
    """
    usual: dict[str, object] = {
        "ws": "websockets-sansio",
        "http": _Http,
        "lifespan": "off",
        "log_config": None,
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        "ws_max_size": max_message_bytes,
        "ws_ping_interval": _PING_SECONDS,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": _END_SECONDS,
    }
    server = _Server(uvicorn.Config(app, **(usual | settings)))  # type: ignore[arg-type]  # by name
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_run, server, listener)
        try:
            yield
        finally:
            server.stop.set()


async def _run(server: _Server, listener: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # it ends by `stop`, in order, also when cancelled
        await server.serve(sockets=[listener])


class _Http(H11Protocol):
    """Lets go of connections that never finish a request's head."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # what uvicorn makes it with
        self.loop.call_later(_HEAD_SECONDS, self._drop_headless)

    def _drop_headless(self) -> None:
        has_head = getattr(self, "cycle", None) is not None  # it is None before, untold by its type
        if not has_head and self.transport.get_protocol() is self:
            self.transport.abort()


class _Server(uvicorn.Server):
    """Ends by an event instead of a signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process's signals are not this server's."""
        yield

    async def main_loop(self) -> None:
        await self.stop.wait()
