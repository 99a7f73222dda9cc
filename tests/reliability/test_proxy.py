"""The fault proxy does what it is told; bounds in time are generous."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from .proxy import Proxy, Way, open_proxy

BLOB = bytes(range(256)) * 1024  # 256 KiB


class Peer:
    """A server that keeps what it got and says what a test tells it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: list[str] = []
        self.streams: list[SocketStream] = []
        self.moved = anyio.Event()

    async def __call__(self, stream: SocketStream) -> None:
        self.streams.append(stream)
        self.notify()
        async with stream:
            await self.hear(stream)

    async def hear(self, stream: SocketStream) -> None:
        try:
            while True:
                self.heard += await stream.receive()
                self.notify()
        except anyio.EndOfStream:
            self.ends.append("eof")
        except anyio.BrokenResourceError:
            self.ends.append("reset")
        except anyio.ClosedResourceError:
            self.ends.append("closed")
        self.notify()

    def notify(self) -> None:
        self.moved.set()
        self.moved = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await self.moved.wait()


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[Peer, Proxy, SocketStream]]:
    """A server, the proxy before it, and a client through both."""
    peer = Peer()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    with anyio.fail_after(15):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, peer)
            async with (
                open_proxy(f"http://127.0.0.1:{port}") as proxy,
                await anyio.connect_tcp("127.0.0.1", proxy.port) as client,
            ):
                await proxy.until(lambda: bool(proxy.links))
                yield peer, proxy, client
            tasks.cancel_scope.cancel()


async def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    began = anyio.current_time()
    await work()
    return anyio.current_time() - began


async def read(client: SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await client.receive(size - len(data))
    return data


async def answered(peer: Peer) -> SocketStream:
    await peer.until(lambda: bool(peer.streams))
    return peer.streams[0]


async def test_bytes_pass_unchanged_both_ways_and_are_counted() -> None:
    async with joined() as (peer, proxy, client):
        await client.send(BLOB)
        await peer.until(lambda: len(peer.heard) == len(BLOB))
        await (await answered(peer)).send(BLOB[::-1])
        back = await read(client, len(BLOB))
        assert peer.heard == BLOB
        assert back == BLOB[::-1]
        assert (proxy.links[0].bytes_up, proxy.links[0].bytes_down) == (len(BLOB), len(BLOB))


async def test_latency_holds_data_back_and_keeps_its_order() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(latency_seconds=0.2, jitter_seconds=0.05)

        async def send() -> None:
            for number in range(20):
                await client.send(bytes([number]) * 100)
            await peer.until(lambda: len(peer.heard) == 2000)

        took = await seconds_of(send)
        assert peer.heard == b"".join(bytes([number]) * 100 for number in range(20))
    assert 0.2 <= took < 3  # under way at the same time, not one after the other


async def test_bandwidth_is_bounded() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(bytes_per_second=512 * 1024)

        async def send() -> None:
            await client.send(BLOB)
            await peer.until(lambda: len(peer.heard) == len(BLOB))

        took = await seconds_of(send)
    assert took >= 0.35  # 0.5 s, less the pause after the last piece


async def test_a_slicer_hands_on_small_pieces() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(slice_bytes=10, slice_seconds=0.01)
        await client.send(b"x" * 100)
        await peer.until(lambda: len(peer.heard) > 0)
        assert len(peer.heard) < 100
        await peer.until(lambda: len(peer.heard) == 100)


async def test_a_stalled_way_takes_nothing_more_until_it_is_healed() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(is_stalled=True)
        with anyio.move_on_after(0.5) as scope:
            await client.send(bytes(64 * 2**20))
        assert scope.cancelled_caught
        assert not peer.heard
        proxy.heal()
        await peer.until(lambda: len(peer.heard) > 0)


async def test_the_other_way_of_a_stalled_one_goes_on() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(is_stalled=True)
        await (await answered(peer)).send(b"still here")
        assert await read(client, 10) == b"still here"


async def test_a_half_open_connection_tells_nobody_anything() -> None:
    async with joined() as (peer, proxy, client):
        proxy.half_open()
        await client.send(b"lost")
        server = await answered(peer)
        await server.send(b"lost too")
        await server.aclose()
        with anyio.move_on_after(0.3) as scope:
            await client.receive()
        assert scope.cancelled_caught
        assert not peer.heard


async def test_data_is_limited_to_so_many_bytes_then_closed() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(limit_bytes=1000)
        await client.send(b"x" * 5000)
        await peer.until(lambda: bool(peer.ends))
        assert len(peer.heard) == 1000
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await client.receive()


async def test_a_close_is_passed_on_late() -> None:
    async with joined() as (peer, proxy, client):
        proxy.up.set(slow_close_seconds=0.3)

        async def end() -> None:
            await client.send_eof()
            await peer.until(lambda: bool(peer.ends))

        assert await seconds_of(end) >= 0.3
    assert peer.ends == ["eof"]


@pytest.mark.parametrize(("reset", "end"), [(True, "reset"), (False, "eof")])
async def test_a_cut_connection_ends_as_ordered_on_both_sides(reset: bool, end: str) -> None:
    async with joined() as (peer, proxy, client):
        await client.send(b"x")
        await peer.until(lambda: bool(peer.heard))
        proxy.cut(reset=reset)
        await peer.until(lambda: bool(peer.ends))
        assert peer.ends == [end]
        expected = anyio.BrokenResourceError if reset else anyio.EndOfStream
        with pytest.raises(expected):
            await client.receive()
        await proxy.until(lambda: proxy.links[0].is_over)


async def test_a_proxy_that_refuses_takes_connections_again_on_the_same_port() -> None:
    async with joined() as (_, proxy, client):
        port = proxy.port
        await proxy.refuse()
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp("127.0.0.1", port)
        await proxy.accept()
        assert proxy.port == port
        async with await anyio.connect_tcp("127.0.0.1", port) as again:
            await again.send(b"y")
            await proxy.until(lambda: len(proxy.links) == 2)
        await client.send(b"the old one lives")


def test_a_word_the_proxy_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="no latency"):
        Way().set(latency=3)
