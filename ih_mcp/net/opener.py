"""Opens WebSockets; it and `connection.py` alone know the library.

Habits, each with its reason:

* no compression is offered: video does not shrink, and deflate costs thirty times the CPU;
* large segments go out in 64 KiB fragments with a turn of the loop after each, so that memory
  does not grow with them and other streams are not held up; of all streams, few in one turn;
* little is queued in the kernel (`TCP_NOTSENT_LOWAT`), so that pings do not wait behind video;
* every segment has a deadline of our own, and one between two fragments: a blocked send also
  silences the library's keepalive;
* redirects are refused: video would go to a host nobody named;
* of several addresses of a host, one that is silent does not hold up the others (RFC 8305);
* messages of up to 8 MiB are taken; the library's 1 MiB would end a session over a long one.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket as system
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio.lowlevel
from websockets.asyncio import client
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
    WebSocketException,
)

from ih_mcp.errors import ConfigurationError, IhMcpError, TransportError
from ih_mcp.loopback import parse_address
from ih_mcp.redaction import is_token
from ih_mcp.wire.endings import EndReason

from .answers import HttpAnswer, error_of_answer, host_of
from .connection import MAX_QUEUED_FRAMES, QUEUED_FRAMES, Connection
from .route import Route, find_route
from .sending_turns import turns_of_this_loop
from .socket import BeforePiece, SocketClosed

MAX_MESSAGE_BYTES = 8 * 2**20
FRAGMENT_BYTES = 64 * 2**10
_UNSENT_BYTES = 128 * 2**10
_OPEN_SECONDS = 10.0
_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305, 5: so long an address may be silent
_KEEPALIVE_SECONDS = 20.0
_CLOSE_SECONDS = 2.0
_GOODBYE_SECONDS = 0.5  # for a socket that is left open; a host gives us 2 s in all
_MIN_SEND_SECONDS = 30.0
_PROGRESS_SECONDS = 20.0
_SPARE_SHARE = 0.05  # chosen: deadlines are set anew so seldom, and are longer by as much
_SLOWEST_BYTES_PER_SECOND = 128 * 2**10

_LOG = logging.getLogger("ih_mcp.net")
_LIBRARY_LOG = logging.getLogger("ih_mcp.net.websockets")
_LIBRARY_LOG.setLevel(logging.WARNING)  # below that it prints headers, and so the credential


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _require_token(bearer: str) -> None:
    if not is_token(bearer):
        raise ConfigurationError(
            "the credential has a character that a subprotocol cannot hold",
            help="Set IH_MCP_AUTH=header.",
        )


class _ProxyConnection(client.HTTPProxyConnection):
    """Ends once: where a proxy breaks off, that of websockets 17.4 raises at its second end."""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.response.done():
            super().connection_lost(exc)


_parse_encoded_proxy = client.parse_proxy  # type: ignore[attr-defined]  # a name of its own use


def _parse_proxy(url: str) -> Any:  # noqa: ANN401 - the module of its class differs by version
    """Decode name and password, which websockets leaves percent-encoded before its version 17."""
    parsed, parts = _parse_encoded_proxy(url), urlsplit(url)
    if parts.username is not None:
        parsed.username, parsed.password = unquote(parts.username), unquote(parts.password or "")
    return parsed


# there is no argument for these two
client.HTTPProxyConnection = _ProxyConnection  # type: ignore[misc]
client.parse_proxy = _parse_proxy  # type: ignore[assignment,attr-defined]


@asynccontextmanager
async def open_socket(
    url: str,
    *,
    bearer: str | None,
    headers: Mapping[str, str] | None = None,
    by_subprotocol: bool = False,
    in_one_frame: bool = False,
    open_seconds: float = _OPEN_SECONDS,
) -> AsyncIterator[_WebSocket]:
    """Open a WebSocket; closed in order, or aborted, on leaving.

    Args:
        url: `ws:` or `wss:`.
        bearer: Credential for `Authorization`; it travels nowhere else.
        by_subprotocol: Send the credential as the pair `access_token, <credential>` instead, as
            browsers do. docs: stream-analyze; skill v2.
        in_one_frame: Send large segments whole; they take more memory, and others wait longer.

    Raises:
        ServiceError: The upgrade was refused; status, error id and `Retry-After` are in `facts`.
        TransportError: Nobody answered, or not with a WebSocket.
        ConfigurationError: The environment does not let a connection be made (see `find_route`),
            or the credential cannot travel as a subprotocol.
    """
    subprotocols: tuple[str, ...] = ()
    if bearer and by_subprotocol:
        _require_token(bearer)
        subprotocols = ("access_token", bearer)
    elif bearer:
        headers = {**(headers or {}), "Authorization": f"Bearer {bearer}"}
    connection = await _connect(url, headers or {}, subprotocols, open_seconds)
    socket = _WebSocket(connection, in_one_frame=in_one_frame)
    try:
        yield socket
    finally:
        with anyio.move_on_after(_GOODBYE_SECONDS, shield=True):
            await socket.close(1001, "going away")
        await socket.abort()


async def _connect(
    url: str, headers: Mapping[str, str], subprotocols: tuple[str, ...], open_seconds: float
) -> Connection:
    route = await find_route(url)
    to_proxy: dict[str, Any] = {"proxy_ssl": route.tls} if route.has_tls_to_proxy else {}
    try:
        connection = await _Connect(
            url,
            compression=None,
            additional_headers=headers,
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]  # a NewType of str
            open_timeout=open_seconds,
            ping_interval=_KEEPALIVE_SECONDS,
            ping_timeout=_KEEPALIVE_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=(MAX_QUEUED_FRAMES, QUEUED_FRAMES),
            proxy=route.proxy.url if route.proxy else None,
            ssl=route.tls if url.startswith("wss:") else None,
            create_connection=Connection,
            happy_eyeballs_delay=None if _has_one_address(route) else _NEXT_ADDRESS_SECONDS,
            logger=_LIBRARY_LOG,
            **to_proxy,
        )
    except (InvalidStatus, InvalidProxyStatus) as exc:
        raise _upgrade_refused_error(route, exc) from None  # the cause would show our headers
    except (ProxyError, InvalidProxy) as exc:
        raise _proxy_error(route, exc) from None
    except InvalidMessage as exc:
        if isinstance(exc.__cause__, EOFError | OSError):  # it went away before it answered
            raise route.unreachable(_describe_error(exc.__cause__)) from None
        raise _not_a_websocket_error(url, exc) from None
    except (InvalidHandshake, InvalidURI) as exc:
        raise _not_a_websocket_error(url, exc) from None
    except ssl.SSLError as exc:
        raise route.untrusted(exc) from None
    except (OSError, TimeoutError, WebSocketException) as exc:
        raise route.unreachable(_describe_error(exc)) from None
    except (ImportError, ValueError) as exc:  # texts of these may show the credential
        raise route.unusable(exc) from None
    assert isinstance(connection, Connection)  # as it was asked to
    connection.turns = turns_of_this_loop()
    _limit_kernel_queue(connection)
    return connection


def _has_one_address(route: Route) -> bool:
    """Whether there is no other address to try meanwhile.

    Where asyncio races addresses and is cancelled, a socket that just connected stays open until
    its memory is freed (seen: Python 3.11).
    """
    return route.proxy is None and parse_address(urlsplit(route.url).hostname or "") is not None


def _upgrade_refused_error(route: Route, exc: InvalidStatus | InvalidProxyStatus) -> IhMcpError:
    """What the service, or the proxy, said when it refused the upgrade."""
    response = exc.response
    if isinstance(exc, InvalidProxyStatus) or response.status_code == 407:
        return route.refused_by_proxy(response.status_code)
    headers = response.headers.raw_items()
    answer = HttpAnswer.from_headers(response.status_code, headers, bytes(response.body or b""))
    return error_of_answer("the connection", route.url, answer)


def _proxy_error(route: Route, exc: ProxyError | InvalidProxy) -> IhMcpError:
    cause = exc.__cause__
    if isinstance(exc, InvalidProxyMessage) and isinstance(cause, EOFError | OSError):
        return route.unreachable(_describe_error(cause))
    return route.failed_at_proxy(str(cause or ""))


def _not_a_websocket_error(url: str, exc: Exception) -> TransportError:
    return TransportError(
        f"{host_of(url)} did not answer with a WebSocket: {exc}",
        code="not_a_websocket",
        help="Check IH_MCP_ENDPOINT.",
    )


def _describe_error(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__


class _WebSocket:
    def __init__(self, connection: Connection, *, in_one_frame: bool) -> None:
        self._connection = connection
        self._in_one_frame = in_one_frame
        self._closed_by_us = False
        response = connection.response
        self.headers: Mapping[str, str] = (
            {name.lower(): value for name, value in response.headers.raw_items()}
            if response
            else {}
        )

    async def receive(self) -> str | bytes:
        if (text := self._connection.take_waiting_text()) is not None:
            return text
        try:
            return await self._connection.recv()
        except ConnectionClosed as exc:
            raise self._closed(exc) from None

    async def send_text(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as exc:
            raise self._closed(exc) from None

    async def send_segment(self, data: bytes, *, before_piece: BeforePiece | None = None) -> None:
        await turns_of_this_loop().wait()
        if before_piece:
            await before_piece()
        seconds = max(_MIN_SEND_SECONDS, 3 * len(data) / _SLOWEST_BYTES_PER_SECOND)
        is_whole = self._in_one_frame or len(data) <= FRAGMENT_BYTES
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
                await self._connection.send(
                    data if is_whole else _fragments(data, scope, before_piece)
                )
        except ConnectionClosed as exc:
            raise self._closed(exc) from None
        if scope.cancelled_caught:
            await self.abort()
            raise SocketClosed(
                None,
                f"a segment of {len(data)} bytes got stuck",
                loss=EndReason.UPLOAD_STALLED,
            )

    async def round_trip(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as exc:
            raise self._closed(exc) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._closed_by_us = True
        with contextlib.suppress(WebSocketException, OSError):
            await self._connection.close(code, reason)

    async def abort(self) -> None:
        self._closed_by_us = True
        self._connection.transport.abort()

    def _closed(self, exc: ConnectionClosed) -> SocketClosed:
        if exc.rcvd is not None:
            return SocketClosed(exc.rcvd.code, exc.rcvd.reason, by_us=self._closed_by_us)
        if exc.sent is not None and not self._closed_by_us:  # the library gave up on the other end
            return SocketClosed(
                None,
                f"gave up with {exc.sent.code} {exc.sent.reason}".strip(),
                loss=_LOSSES.get(exc.sent.code, EndReason.CONNECTION_LOST),
            )
        cause = exc.__cause__
        return SocketClosed(
            None, str(cause) if cause else "connection lost", by_us=self._closed_by_us
        )


_LOSSES = {  # what the library closes with when it gives up
    1002: EndReason.BROKEN_FRAMES,
    1007: EndReason.BROKEN_FRAMES,
    1009: EndReason.MESSAGE_TOO_BIG,
    1011: EndReason.PEER_SILENT,  # "keepalive ping timeout"
}


async def _fragments(
    data: bytes, scope: anyio.CancelScope, before_piece: BeforePiece | None
) -> AsyncIterator[memoryview]:
    """Pieces to send; `scope` ends when one of them makes no way, or all take too long."""
    view, last, set_at = memoryview(data), scope.deadline, -math.inf
    turns = turns_of_this_loop()
    for start in range(0, len(view), FRAGMENT_BYTES):
        await turns.wait()
        now = anyio.current_time()
        if before_piece:
            scope.deadline = math.inf
            await before_piece()
            asked_at, now = now, anyio.current_time()
            last += now - asked_at
        if before_piece or now - set_at > _SPARE_SHARE * _PROGRESS_SECONDS:  # setting one costs
            scope.deadline = min(last, now + (1 + _SPARE_SHARE) * _PROGRESS_SECONDS)
            set_at = now
        yield view[start : start + FRAGMENT_BYTES]
        await anyio.lowlevel.checkpoint()  # sending does not yield while the buffer has room


def _limit_kernel_queue(connection: Connection) -> None:
    raw = connection.transport.get_extra_info("socket")
    option = getattr(system, "TCP_NOTSENT_LOWAT", None)
    if raw is not None and option is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(system.IPPROTO_TCP, option, _UNSENT_BYTES)
