"""The only module that knows the WebSocket library.

Habits, each with its reason:

* no compression is offered: video does not shrink, and deflate costs thirty times the CPU;
* large segments go out in 64 KiB fragments with a turn of the loop after each, so that memory
  does not grow with them and other streams are not held up;
* little is queued in the kernel (`TCP_NOTSENT_LOWAT`), so that pings do not wait behind video;
* every segment has a deadline of our own, and one between two fragments: a blocked send also
  silences the library's keepalive;
* redirects are refused: video would go to a host nobody named;
* of several addresses of a host, one that is silent does not hold up the others (RFC 8305);
* messages of up to 8 MiB are taken; the library's 1 MiB would end a session over a long one;
* what arrives is parsed a little at a time: one read of 256 KiB may hold 87,000 frames.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - what the library tells a connection is asyncio's
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
from websockets.asyncio.client import ClientConnection, connect
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
from websockets.frames import Opcode

from ih_mcp.errors import ConfigurationError, IhMcpError, TransportError
from ih_mcp.loopback import parse_address
from ih_mcp.redaction import is_token
from ih_mcp.wire.endings import EndReason

from .answers import HttpAnswer, error_of_answer, host_of
from .route import Route, find_route
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
_MIN_PARSED_BYTES = 2**10  # at once; 512 frames at most
_MAX_PARSED_BYTES = 2**12  # while that is quick, as it is with frames that are not tiny
_QUICK_SECONDS = 0.0005  # chosen: 2048 tiny frames take ten times as long
_PARSING_SECONDS = 0.002  # then others have their turn
_MAX_QUEUED_FRAMES = 256  # small ones: each time that the queue is full takes two turns of the loop
_QUEUED_FRAMES = 16  # of any size, as is the library's default
_SMALL_BYTES = 256 * 2**10  # of all frames that are queued beyond that
_MAX_UNTAKEN_BYTES = 64 * 2**20  # more than a segment in one frame: answers to pings, not read

_LOG = logging.getLogger("ih_mcp.net")
_LIBRARY_LOG = logging.getLogger("ih_mcp.net.websockets")
_LIBRARY_LOG.setLevel(logging.WARNING)  # below that it prints headers, and so the credential


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Connection(ClientConnection):
    """Parses what arrives in small pieces, with turns of the loop between, whatever its shape.

    Nothing more is read while some of it waits, or while the library's queue of messages is full.
    """

    _is_full = _is_scheduled = _is_lost = _is_over = False
    _queued_bytes = 0
    """Parsed since the queue of messages was empty last, or no longer full."""
    _piece_bytes = _MIN_PARSED_BYTES
    _lost_by: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waiting = bytearray()
        self.recv_messages.pause, self.recv_messages.resume = self._fill, self._drain

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._parse()

    def eof_received(self) -> None:
        if not self._waiting:  # else `connection_lost` follows, and says the same
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if not hasattr(self, "recv_messages"):
            return  # TLS failed behind a proxy: `connection_made` was never called
        self._is_lost, self._lost_by = True, exc  # reported once all that came before is parsed
        self._parse()

    def _fill(self) -> None:
        self._is_full = True

    def _drain(self) -> None:
        self._is_full = False
        self._queued_bytes = 0
        self._parse_soon()

    def _parse_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._parse_now)

    def _parse_now(self) -> None:
        self._is_scheduled = False
        self._parse()

    def send_data(self) -> None:
        """Write what there is at once: from Python 3.12 on, each write looks at all that wait."""
        if self._is_lost:
            return
        writes = self.protocol.writes
        if len(writes) > 1:
            ends = writes[-1:] if not writes[-1] else []  # half-closes the connection
            self.protocol.writes = [b"".join(writes), *ends]
        super().send_data()

    @property
    def _may_parse(self) -> bool:
        return bool(self._waiting) and (self._is_lost or not self._is_full)

    def _parse(self) -> None:
        now = self.loop.time()
        until = now + _PARSING_SECONDS
        while self._may_parse and now < until:
            piece = bytes(self._waiting[: self._piece_bytes])
            del self._waiting[: self._piece_bytes]
            self._set_queue_limit(len(piece))
            super().data_received(piece)
            before, now = now, self.loop.time()
            is_quick = now - before < _QUICK_SECONDS
            self._piece_bytes = _MAX_PARSED_BYTES if is_quick else _MIN_PARSED_BYTES
        if self._may_parse:
            self._parse_soon()
        if not self._is_lost:
            self._control_reading()
        elif not (self._waiting or self._is_over):
            self._is_over = True
            super().connection_lost(self._lost_by)

    def take_waiting_text(self) -> str | None:
        """A whole text that waits to be received; None where something else is next, or nothing.

        Of many at once `recv` spends three times as long on each.
        """
        queue = self.recv_messages
        waiting = queue.frames.queue
        if not waiting or waiting[0].opcode is not Opcode.TEXT or not waiting[0].fin:
            return None
        try:
            text = str(waiting[0].data, "utf-8")
        except UnicodeDecodeError:
            return None  # `recv` closes the connection over it
        waiting.popleft()
        queue.maybe_resume()
        return text

    def _set_queue_limit(self, more_bytes: int) -> None:
        """Let many frames wait for their reader while they are small."""
        queue = self.recv_messages
        self._queued_bytes = (self._queued_bytes if queue.frames else 0) + more_bytes
        is_small = self._queued_bytes <= _SMALL_BYTES
        queue.high = _MAX_QUEUED_FRAMES if is_small else _QUEUED_FRAMES

    def _control_reading(self) -> None:
        if self.transport.get_write_buffer_size() > _MAX_UNTAKEN_BYTES:
            self._waiting.clear()
            self.transport.abort()
        elif self._waiting or self._is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


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
) -> _Connection:
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
            max_queue=(_MAX_QUEUED_FRAMES, _QUEUED_FRAMES),
            proxy=route.proxy.url if route.proxy else None,
            ssl=route.tls if url.startswith("wss:") else None,
            create_connection=_Connection,
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
    assert isinstance(connection, _Connection)  # as it was asked to
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
    def __init__(self, connection: _Connection, *, in_one_frame: bool) -> None:
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
    for start in range(0, len(view), FRAGMENT_BYTES):
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


def _limit_kernel_queue(connection: ClientConnection) -> None:
    raw = connection.transport.get_extra_info("socket")
    option = getattr(system, "TCP_NOTSENT_LOWAT", None)
    if raw is not None and option is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(system.IPPROTO_TCP, option, _UNSENT_BYTES)
