"""Serves an ASGI application on a port, in the event loop of the caller, until a block ends."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import anyio
import h11
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_BACKLOG = 1024  # chosen: as many callers may come at once after a replica died
_SHUTDOWN_SECONDS = 1
_KEEP_ALIVE_SECONDS = 75  # chosen: longer than clients and proxies keep theirs (60 s at most), so
# that none of them sends a request while we close its connection
_PING_SECONDS = 20.0  # chosen: the service's policy is not published
_CHECK_SECONDS = 15.0  # chosen: without progress between two looks; uvicorn waits for ever
_MIN_BYTES = 1 << 14  # chosen: of a body, between two looks
_MAX_CONNECTIONS = 512  # chosen: WebSockets are counted
_REFUSED_CONNECTIONS = 32  # chosen: those beyond the bound that get an answer


@contextmanager
def open_listener(host: str, port: int) -> Iterator[socket.socket]:
    """Open a listening socket; connections wait in it until the server accepts them.

    Raises:
        OSError: The port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio sends small writes at once only where the protocol is: else an answer's
    # body waits 40 ms for the client to acknowledge its head.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, address_option(), 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        yield listener


def address_option() -> int:
    """The socket option that claims a port for this process alone.

    With `SO_REUSEADDR` a POSIX system gives a port again whose last connections still close;
    Windows would let any other process listen on the very same port.
    """
    if sys.platform == "win32":  # pragma: no cover - of that platform alone
        return socket.SO_EXCLUSIVEADDRUSE
    return socket.SO_REUSEADDR


def url_of(listener: socket.socket) -> str:
    """`http://HOST:PORT` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serve_app(
    app: ASGIApp,
    listener: socket.socket,
    *,
    max_message_bytes: int,
    max_connections: int | None = None,
    **settings: object,
) -> AsyncIterator[None]:
    """Answer requests while this block is open; its end cuts off open connections.

    Args:
        max_message_bytes: Of one WebSocket message; a larger one ends its connection.
        max_connections: At a time; else as many as one machine has use for.
        settings: Of uvicorn, over those here.
    """
    usual: dict[str, object] = {
        "ws": "websockets-sansio",
        "http": partial(_BoundedHttp, max_connections=max_connections),
        "lifespan": "off",
        "log_config": None,
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        "ws_max_size": max_message_bytes,
        "ws_ping_interval": _PING_SECONDS,
        "ws_per_message_deflate": False,
        "workers": 1,  # these two it would take from variables that are meant for other programs
        "proxy_headers": False,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    }
    server = _Server(uvicorn.Config(_let_leave(app), **(usual | settings)))  # type: ignore[arg-type]  # by name
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve_until_stopped, server, listener)
        try:
            yield
        finally:
            server.stop.set()


def _let_leave(app: ASGIApp) -> ASGIApp:
    """The application, where a client may leave within its body; uvicorn calls that a mistake."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await app(scope, receive, send)

    return run


async def _serve_until_stopped(server: _Server, listener: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # it ends by `stop`, in order, also when cancelled
        await server.serve(sockets=[listener])


_TOO_MANY: Any = PlainTextResponse(
    "This server has as many connections as it takes. Call again a little later.\n",
    status_code=503,
    headers={"Retry-After": "1", "Connection": "close"},
)


class _BoundedHttp(H11Protocol):
    """Drops clients that hold a connection without using it.

    Such clients send half a head or a slow body, go on with a body after its answer, or do not read
    their answer. They are dropped after two checks without progress; with too many connections the
    oldest of them is dropped at once. Calls that the application works on stay, and so does a
    connection between two requests, for `_KEEP_ALIVE_SECONDS`. Where the application works on all
    connections, a few more are answered that there are too many.
    """

    def __init__(self, *, max_connections: int | None = None, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # what uvicorn makes it with
        self._max_connections = max_connections
        self._received_bytes = 0
        self._drains = 0
        self._seen: tuple[object, ...] | None = None
        self.opened_at = self.loop.time()
        self._next_check = self.loop.call_later(_CHECK_SECONDS, self._check_progress)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio is not imported
        super().connection_made(transport)
        beyond = len(self.connections) - (self._max_connections or _MAX_CONNECTIONS)
        if beyond <= 0:
            return
        https = [each for each in self.connections if isinstance(each, _BoundedHttp)]
        waiting = [each for each in https if each.waits_for() is not None and each is not self]
        if waiting:
            min(waiting, key=lambda other: other.opened_at).drop()
        elif beyond <= _REFUSED_CONNECTIONS:
            self.app = _TOO_MANY
        else:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_check.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received_bytes += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        self._drains += 1
        super().resume_writing()

    def _check_progress(self) -> None:
        if self.transport.get_protocol() is not self:  # it is a WebSocket by now
            return
        before, self._seen = self._seen, None if self._is_between_requests else self.waits_for()
        if self._seen is not None and self._seen == before:
            self.drop()
        else:
            self._next_check = self.loop.call_later(_CHECK_SECONDS, self._check_progress)

    @property
    def _is_between_requests(self) -> bool:
        """Whether an answer was read, and nothing of another request came."""
        is_idle = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        return is_idle and self.timeout_keep_alive_task is not None

    def waits_for(self) -> tuple[object, ...] | None:
        """What the client has to do next, equal while it does nothing; None in our turn."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            return "answer", self._drains, unsent
        if self.conn.their_state is h11.IDLE:
            return "head", self.cycle
        if self.conn.their_state is not h11.SEND_BODY:
            return None
        if self.cycle.response_complete:
            return "rest of a body", self.cycle
        if self.flow.read_paused:
            return None
        return "body", self.cycle, self._received_bytes // _MIN_BYTES

    def drop(self) -> None:
        """End the connection at once."""
        self.connections.discard(self)  # it does not count any more; `connection_lost` comes later
        self._next_check.cancel()
        self.transport.abort()


class _Server(uvicorn.Server):
    """Ends by an event instead of a signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals of the process alone."""
        yield

    async def main_loop(self) -> None:
        await self.stop.wait()
