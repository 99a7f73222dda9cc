"""A TCP proxy between two ends, that makes the network as bad as a test orders.

The words are Toxiproxy's (github.com/Shopify/toxiproxy, README, "Toxics"): latency, bandwidth,
slow close, timeout, reset peer, slicer, limit data; `is_stalled` is ours, for a peer that stops
reading. What is set holds at once, also for data that is under way.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ih_mcp.notifier import Notifier

_READ_BYTES = 2**16
_UNDER_WAY = 32  # reads between reader and writer of one way: 2 MiB
_RESET = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN
_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@dataclass(slots=True)
class Way:
    """One direction of all connections; `set` changes it while data is under way."""

    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    """Added to the latency at random; order is kept."""
    bytes_per_second: float = math.inf
    slice_bytes: int = 0
    """Data goes on in pieces of this size; 0 as it came."""
    slice_seconds: float = 0.0
    """Between two pieces."""
    limit_bytes: float = math.inf
    """The connection is closed after so many bytes of it went on."""
    slow_close_seconds: float = 0.0
    """An end of this direction is passed on so much later."""
    is_stalled: bool = False
    """Nothing is read any more: the sender's buffers fill up."""
    is_lost: bool = False
    """What comes is read and thrown away, and no end is passed on: Toxiproxy's timeout of 0."""
    changed: Notifier = field(default_factory=Notifier, repr=False)

    def set(self, **values: float) -> None:
        """Change fields by name."""
        for name, value in values.items():
            if name not in self.__slots__:
                raise TypeError(f"a way has no {name}")
            setattr(self, name, value)
        self.changed.notify()

    async def flowing(self) -> None:
        """Wait while it is stalled."""
        while self.is_stalled:
            await self.changed.wait()

    def pieces(self, data: bytes) -> list[bytes]:
        size = self.slice_bytes or len(data)
        return [data[at : at + size] for at in range(0, len(data), size)]


@dataclass(slots=True)
class Link:
    """One connection through the proxy."""

    client: SocketStream
    server: SocketStream
    bytes_up: int = 0
    """Passed on from client to server."""
    bytes_down: int = 0
    is_over: bool = False

    def reset(self) -> None:
        """Let both ends see a reset connection."""
        for stream in (self.client, self.server):
            raw = stream.extra(SocketAttribute.raw_socket)
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class Proxy:
    """Passes connections on to one place. Use `open_proxy`."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.up, self.down = Way(), Way()
        self.links: list[Link] = []
        """All there ever were, in order."""
        self.port = 0
        self._target = host, port
        self._random = Random(seed)  # noqa: S311 - faults are to be repeatable
        self._moved = Notifier()
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._listening: anyio.CancelScope | None = None
        self._closed = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` of the links holds."""
        while not condition():
            await self._moved.wait()

    def cut(self, *, reset: bool = True) -> None:
        """End all connections there are: with RST, or with FIN."""
        for number, scope in list(self._scopes.items()):
            if reset:
                self.links[number].reset()
            scope.cancel()

    def half_open(self) -> None:
        """From now on nothing passes either way, and no end is told: the cable is out."""
        self.up.set(is_lost=True)
        self.down.set(is_lost=True)

    def heal(self) -> None:
        """Take back everything that was set."""
        for way in (self.up, self.down):
            plain = Way()
            way.set(**{name: getattr(plain, name) for name in way.__slots__ if name != "changed"})

    async def refuse(self) -> None:
        """Take no more connections: the port is closed, as of a server that is down."""
        if self._listening:
            self._listening.cancel()
            self._listening = None
            await self._closed.wait()

    async def accept(self) -> None:
        """Take connections, on the same port as before."""
        assert self._tasks
        if self._listening is None:
            self.port = await self._tasks.start(self._listen)

    # --- inside --------------------------------------------------------------------------------

    async def run(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        await self.accept()

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        self._closed = anyio.Event()
        with anyio.CancelScope() as scope:
            self._listening = scope
            async with await anyio.create_tcp_listener(
                local_host="127.0.0.1", local_port=self.port
            ) as listener:
                task_status.started(listener.extra(SocketAttribute.local_port))
                await listener.serve(self._carry, self._tasks)
        self._closed.set()

    async def _carry(self, client: SocketStream) -> None:
        # anyio reads from an accepted socket before it is asked to; a stalled one must not
        cast("Any", client)._transport.pause_reading()
        async with client:
            try:
                server = await anyio.connect_tcp(*self._target)
            except OSError:
                return
            async with server:
                link = Link(client, server)
                number = len(self.links)
                self.links.append(link)
                with anyio.CancelScope() as scope:
                    self._scopes[number] = scope
                    self._moved.notify()
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._way, link, self.up)
                        tasks.start_soon(self._way, link, self.down)
                del self._scopes[number]
                link.is_over = True
        self._moved.notify()

    async def _way(self, link: Link, way: Way) -> None:
        """Carry one direction: a reader and a writer, with what is under way between them."""
        source, sink = link.client, link.server
        if way is self.down:
            source, sink = sink, source
        under_way_in, under_way_out = anyio.create_memory_object_stream[tuple[float, bytes]](
            _UNDER_WAY
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, source, way, under_way_in)
            tasks.start_soon(self._write, link, sink, way, under_way_out)

    async def _read(
        self, source: SocketStream, way: Way, out: MemoryObjectSendStream[tuple[float, bytes]]
    ) -> None:
        async with out:
            while True:
                await way.flowing()
                try:
                    data = await source.receive(_READ_BYTES)
                except _ENDS:
                    break
                await way.flowing()
                with suppress(anyio.BrokenResourceError):
                    await out.send((anyio.current_time(), data))

    async def _write(
        self,
        link: Link,
        sink: SocketStream,
        way: Way,
        arriving: MemoryObjectReceiveStream[tuple[float, bytes]],
    ) -> None:
        async with arriving:
            async for read_at, data in arriving:
                jitter = self._random.random() * way.jitter_seconds
                await anyio.sleep_until(read_at + way.latency_seconds + jitter)
                for piece in way.pieces(data):
                    if not await self._pass(link, sink, way, piece):
                        return
        await self._end(sink, way)

    async def _pass(self, link: Link, sink: SocketStream, way: Way, piece: bytes) -> bool:
        """Send one piece on; gives False where this direction is over."""
        await way.flowing()
        if way.is_lost:
            return True
        passed = link.bytes_up if way is self.up else link.bytes_down
        piece = piece[: int(min(len(piece), way.limit_bytes - passed))]
        with suppress(*_ENDS):
            await sink.send(piece)
        if way is self.up:
            link.bytes_up += len(piece)
        else:
            link.bytes_down += len(piece)
        self._moved.notify()
        if passed + len(piece) >= way.limit_bytes:
            self._scopes[self.links.index(link)].cancel()
            return False
        if way.bytes_per_second != math.inf:
            await anyio.sleep(len(piece) / way.bytes_per_second)
        if way.slice_seconds:
            await anyio.sleep(way.slice_seconds)
        return True

    async def _end(self, sink: SocketStream, way: Way) -> None:
        if way.slow_close_seconds:
            await anyio.sleep(way.slow_close_seconds)
        while way.is_lost:
            await way.changed.wait()
        with suppress(*_ENDS):
            await sink.send_eof()


@asynccontextmanager
async def open_proxy(url: str, *, seed: int = 0) -> AsyncIterator[Proxy]:
    """A proxy before the server at `url`, as long as this is open; `proxy.url` is the same place.

    Args:
        seed: Of the jitter.
    """
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    proxy = Proxy(parts.hostname, parts.port, seed=seed)
    async with anyio.create_task_group() as tasks:
        await proxy.run(tasks)
        yield proxy
        tasks.cancel_scope.cancel()
