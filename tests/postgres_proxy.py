"""Stands between a process and PostgreSQL, and cuts connections where a test wants it."""

from __future__ import annotations

import asyncio  # noqa: TID251 - see `UnixStream`
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_LOST = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)


class UnixStream(ByteStream):
    """A connection by a path: anyio's own may raise in the event loop where it is cancelled."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self, max_bytes: int = 65536) -> bytes:
        try:
            data = await self._reader.read(max_bytes)
        except OSError as exc:
            raise anyio.BrokenResourceError from exc
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        try:
            self._writer.write(item)
            await self._writer.drain()
        except OSError as exc:
            raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        self._writer.write_eof()

    async def aclose(self) -> None:
        self._writer.close()


class DatabaseProxy:
    """Use `open_proxy`."""

    def __init__(self, server: str) -> None:
        facts = conninfo_to_dict(server)
        self._host, self._port = str(facts["host"]), int(facts.get("port") or 5432)
        self._server = server
        self._connections = set[ByteStream]()
        self._is_away = False
        self._loses_answer: Callable[[bytes], bool] | None = None
        self.lost = anyio.Event()
        """Set when an answer was lost."""
        self.refused = anyio.Event()
        """Set when a connection was refused since the last cut."""
        self.address = ""

    def listen_at(self, port: int) -> None:
        self.address = make_conninfo(self._server, host="127.0.0.1", port=port)

    def lose_answer(self, to: Callable[[bytes], bool]) -> None:
        """Lose the next answer to a request like this, and the connection with it."""
        self._loses_answer, self.lost = to, anyio.Event()

    async def cut(self) -> None:
        """End all connections, and take no more until `restore`."""
        self._is_away, self.refused = True, anyio.Event()
        for connection in list(self._connections):
            await anyio.aclose_forcefully(connection)

    def restore(self) -> None:
        self._is_away = False

    async def carry(self, client: SocketStream) -> None:
        async with client:
            if self._is_away:
                self.refused.set()
                return
            async with await self._connect() as server, anyio.create_task_group() as tasks:
                is_losing = anyio.Event()
                self._connections |= {client, server}
                tasks.start_soon(self._carry_requests, client, server, is_losing)
                with suppress(*_LOST):
                    while True:
                        answer = await server.receive()
                        if is_losing.is_set():
                            self.lost.set()
                            break
                        await client.send(answer)
                self._connections -= {client, server}
                tasks.cancel_scope.cancel()

    async def _carry_requests(
        self, client: ByteStream, server: ByteStream, is_losing: anyio.Event
    ) -> None:
        with suppress(*_LOST):
            while True:
                request = await client.receive()
                if self._loses_answer and self._loses_answer(request):
                    self._loses_answer = None
                    is_losing.set()
                await server.send(request)
        await anyio.aclose_forcefully(server)

    async def _connect(self) -> ByteStream:
        if self._host.startswith("/"):
            path = Path(self._host, f".s.PGSQL.{self._port}")
            return UnixStream(*await asyncio.open_unix_connection(path))
        return await anyio.connect_tcp(self._host, self._port)


@asynccontextmanager
async def open_proxy(server: str) -> AsyncIterator[DatabaseProxy]:
    proxy = DatabaseProxy(server)
    async with AsyncExitStack() as stack:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        await stack.enter_async_context(listener)
        proxy.listen_at(listener.extra(SocketAttribute.local_port))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(listener.serve, proxy.carry)
        yield proxy
        tasks.cancel_scope.cancel()
