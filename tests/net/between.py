"""What can stand between a client and the service: proxies, and whoever answers in its place."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import AnyByteStream, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import StapledByteStream
from anyio.streams.tls import TLSStream

NAME = "api.invalid"  # RFC 6761: no resolver knows it, so only a proxy leads there
ENDPOINT = f"https://{NAME}"
PAGE = b"<!doctype html><title>Hotel</title><form>Room number</form>"
_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
_MAX_HEAD = 1 << 16
_HOST = re.compile(rb"(?i)(\r\nhost: )api\.invalid(:443)?")


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def page(status: str = "200 OK", *headers: str) -> bytes:
    """What a captive portal answers to everything."""
    return http(status, PAGE, "Content-Type: text/html", *headers)


@dataclass
class Between:
    """Listens on this machine and keeps what it was asked. Use `open_between`."""

    says: bytes | None = None
    """Its answer to whoever connects, after which it closes; None: it is a proxy."""
    is_socks: bool = False
    socks_reply: int = 0
    login: tuple[bytes, bytes] | None = None
    """Name and password that SOCKS wants."""
    tls: ssl.SSLContext | None = None
    """It answers for the service itself, over TLS."""
    service_says: bytes | None = None
    """The answer inside of TLS; None: that of `port_behind`."""
    port_behind: int = 0
    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    """The first of what each connection sent; inside of the tunnel the head of the request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def meet(self, stream: SocketStream) -> None:
        """Carry one connection."""
        with suppress(*_ENDS, anyio.IncompleteRead, anyio.DelimiterNotFound, ssl.SSLError):
            async with stream:
                reader = BufferedByteReceiveStream(stream)
                tunnelled = StapledByteStream(stream, reader)
                if await (self._socks if self.is_socks else self._connect)(tunnelled, reader):
                    await self._serve(tunnelled)

    async def _connect(self, stream: AnyByteStream, reader: BufferedByteReceiveStream) -> bool:
        if self.says is not None:
            self.asked.append(await reader.receive())
            await stream.send(self.says)
            return False
        self.asked.append(await reader.receive_until(b"\r\n\r\n", _MAX_HEAD))
        await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    async def _socks(self, stream: AnyByteStream, reader: BufferedByteReceiveStream) -> bool:
        """RFC 1928 and 1929, as far as clients here go."""
        _, count = await reader.receive_exactly(2)
        methods = await reader.receive_exactly(count)
        method = 2 if self.login else 0
        if method not in methods:
            await stream.send(b"\x05\xff")
            return False
        await stream.send(bytes([5, method]))
        if self.login:
            _, size = await reader.receive_exactly(2)
            name = await reader.receive_exactly(size)
            password = await reader.receive_exactly((await reader.receive_exactly(1))[0])
            is_right = (name, password) == self.login
            await stream.send(bytes([1, not is_right]))
            if not is_right:
                return False
        head = await reader.receive_exactly(5)
        assert head[:4] == b"\x05\x01\x00\x03", "a name, which the proxy looks up"
        name = await reader.receive_exactly(head[4])
        self.asked.append(b"SOCKS " + name)
        await reader.receive_exactly(2)
        await stream.send(bytes([5, self.socks_reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        return self.socks_reply == 0

    async def _serve(self, stream: AnyByteStream) -> None:
        """Be the service, or lead to the one behind, under a name that it answers to."""
        assert self.tls
        async with await TLSStream.wrap(
            stream, server_side=True, ssl_context=self.tls, standard_compatible=False
        ) as inner:
            if self.service_says is not None:
                self.asked.append(await inner.receive())
                await inner.send(self.service_says)
                return
            async with (
                await anyio.connect_tcp("127.0.0.1", self.port_behind) as behind,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(_pump, behind, inner, tasks.cancel_scope)
                await _pump(inner, behind, tasks.cancel_scope)


async def _pump(source: AnyByteStream, target: AnyByteStream, end: anyio.CancelScope) -> None:
    with suppress(*_ENDS):
        while True:
            await target.send(_HOST.sub(rb"\1localhost", await source.receive()))
    end.cancel()


@asynccontextmanager
async def open_between(between: Between) -> AsyncIterator[Between]:
    """It listens while this is open."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        between.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, between.meet)
        yield between
        tasks.cancel_scope.cancel()
