"""Passes connections on, and keeps every byte that went over them."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
from anyio.abc import SocketAttribute, SocketStream

_ENDS = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@dataclass(eq=False)
class RecordingRelay:
    """Stands before a server. Use `open_relay`."""

    port_of_server: Callable[[], int]
    url: str = ""
    connections: list[bytearray] = field(default_factory=list)
    """What each connection carried, both ways."""

    async def carry(self, client: SocketStream) -> None:
        carried = bytearray()
        self.connections.append(carried)
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self.port_of_server()) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._pass, client, server, carried)
            await self._pass(server, client, carried)
            tasks.cancel_scope.cancel()

    async def _pass(self, source: SocketStream, target: SocketStream, carried: bytearray) -> None:
        try:
            async for data in source:
                carried += data
                await target.send(data)
            await target.send_eof()
        except _ENDS:
            await anyio.aclose_forcefully(target)


@asynccontextmanager
async def open_relay(port_of_server: Callable[[], int]) -> AsyncIterator[RecordingRelay]:
    """A relay before what listens on this port of this machine."""
    relay = RecordingRelay(port_of_server)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        relay.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(partial(listener.serve, relay.carry))
        yield relay
        tasks.cancel_scope.cancel()


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of this machine that nobody else is given, and that a server may listen on."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))  # bound, and not listening: another one may bind it, too
        yield held.getsockname()[1]
