from __future__ import annotations

import math
import socket as system
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.uri import parse_uri

from ih_mcp.errors import ServiceError, TransportError
from ih_mcp.net import opener
from ih_mcp.net.opener import FRAGMENT_BYTES, _Connection, open_socket
from ih_mcp.net.proxies import Proxy
from ih_mcp.net.route import Route
from ih_mcp.net.socket import SocketClosed
from ih_mcp.wire.endings import EndReason
from tests.facts import shows

Work = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def peer(work: Work, answer: Response | None = None) -> AsyncIterator[str]:
    """A real WebSocket server; `answer` refuses the upgrade."""

    def refuse(_: ServerConnection, __: Request) -> Response | None:
        return answer

    async with serve(work, "127.0.0.1", 0, process_request=refuse, max_size=2**26) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/stream/analyze"


async def _nothing(_: ServerConnection) -> None:
    return


def frames(count: int) -> bytes:
    """Text frames of a server with the numbers from 0."""
    return b"".join(
        bytes([0x81, len(text)]) + text for text in (b"%d" % number for number in range(count))
    )


async def test_what_came_before_the_connection_was_lost_arrives_whole_and_in_order() -> None:
    async def work(connection: ServerConnection) -> None:
        connection.transport.write(frames(30_000))
        connection.transport.close()  # no close frame: the end of the bytes is all that comes

    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        for number in range(30_000):
            assert await socket.receive() == str(number)
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert closed.value.code is None


def server_frame(first: int, payload: bytes) -> bytes:
    return bytes([first, len(payload)]) + payload


async def test_frames_of_all_kinds_that_wait_arrive_each_as_it_was_sent() -> None:
    sent = [
        server_frame(0x81, "é".encode()),
        server_frame(0x82, b"ok"),  # binary
        server_frame(0x01, b"in "),  # a text in two frames
        server_frame(0x80, b"two"),
        server_frame(0x01, "a€".encode()[:2]),  # cut in a character
        server_frame(0x89, b"ping"),
        server_frame(0x80, "a€".encode()[2:]),
        server_frame(0x81, b""),
        server_frame(0x81, b"last"),
        server_frame(0x81, b"\xff"),  # no UTF-8
        server_frame(0x81, b"never"),
    ]

    async def work(connection: ServerConnection) -> None:
        connection.transport.write(b"".join(sent))
        await connection.wait_closed()

    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        received = [await socket.receive() for _ in range(6)]
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert received == ["é", b"ok", "in two", "a€", "", "last"]
    assert closed.value.loss is EndReason.BROKEN_FRAMES


async def test_no_more_is_read_than_is_received() -> None:
    drained = anyio.Event()
    size = 64 * 2**20

    async def work(connection: ServerConnection) -> None:
        connection.transport.write(frames(10) * (size // len(frames(10))))
        await connection.drain()
        drained.set()

    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        for _ in range(100):
            await socket.receive()
        with anyio.move_on_after(0.5):
            await drained.wait()
        assert not drained.is_set()  # it waits in the kernel, and in the other end
        assert len(socket._connection._waiting) <= 2**19


@pytest.mark.parametrize(("size", "bound", "most"), [(100, 256, 297), (64 * 2**10, 16, 17)])
async def test_few_large_messages_wait_to_be_received_or_more_small_ones(
    size: int, bound: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = anyio.Event()
    fill = _Connection._fill

    def note(connection: _Connection) -> None:
        fill(connection)
        filled.set()

    async def work(connection: ServerConnection) -> None:
        for number in range(400):
            await connection.send(str(number).ljust(size))

    monkeypatch.setattr(_Connection, "_fill", note)
    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        await filled.wait()
        waiting = len(socket._connection.recv_messages.frames)
        assert bound < waiting <= most  # a piece of 4 KiB holds 40 small ones and ends another
        received = [await socket.receive() for _ in range(400)]
    assert received == [str(number).ljust(size) for number in range(400)]


@pytest.mark.skipif(not hasattr(system, "TCP_NOTSENT_LOWAT"), reason="the system has no such bound")
async def test_little_is_queued_in_the_kernel() -> None:
    async with peer(_nothing) as url, open_socket(url, bearer="k") as socket:
        raw = socket._connection.transport.get_extra_info("socket")
        assert raw.getsockopt(system.IPPROTO_TCP, system.TCP_NOTSENT_LOWAT) == 128 * 2**10


async def test_text_and_segments_arrive_as_they_were_sent() -> None:
    heard: list[str | bytes] = []

    async def work(connection: ServerConnection) -> None:
        await connection.send('{ "a" :1.0,"é":"\\u00e9" }')
        heard.extend([await connection.recv(), await connection.recv()])
        await connection.send("done")

    segment = bytes(range(256)) * (FRAGMENT_BYTES // 64)
    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        assert await socket.receive() == '{ "a" :1.0,"é":"\\u00e9" }'
        await socket.send_text("{}")
        await socket.send_segment(segment)
        assert await socket.receive() == "done"
    assert heard == ["{}", segment]


@shows("bearer-in-header")
async def test_the_handshake_carries_the_key_in_its_one_header_and_offers_no_compression() -> None:
    headers: list[Headers] = []

    async def work(connection: ServerConnection) -> None:
        assert connection.request
        headers.append(connection.request.headers)

    ours = {"X-Client-Request-Id": "r1"}
    async with peer(work) as url, open_socket(url, bearer="secret", headers=ours) as socket:
        with pytest.raises(SocketClosed):
            await socket.receive()
    assert headers[0]["Authorization"] == "Bearer secret"
    assert headers[0]["X-Client-Request-Id"] == "r1"
    assert "Sec-WebSocket-Extensions" not in headers[0]
    assert sum("secret" in value for _, value in headers[0].raw_items()) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1013, 4003])
async def test_a_close_keeps_its_code_and_words(code: int) -> None:
    async def work(connection: ServerConnection) -> None:
        await connection.close(code, "because")

    async with peer(work) as url, open_socket(url, bearer=None) as socket:
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert (closed.value.code, closed.value.reason) == (code, "because")
    assert not closed.value.by_us


async def test_we_close_with_the_code_and_words_that_are_asked_for() -> None:
    ended = anyio.Event()
    codes: list[tuple[int | None, str | None]] = []

    async def work(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append((connection.close_code, connection.close_reason))
        ended.set()

    async with peer(work) as url:
        async with open_socket(url, bearer=None) as socket:
            await socket.close(4000, "enough")
            await socket.close()  # a second one does nothing
        await ended.wait()
        ended = anyio.Event()
        async with open_socket(url, bearer=None):
            pass  # what is left open is closed
        await ended.wait()
        ended = anyio.Event()
        async with open_socket(url, bearer=None) as socket:
            await socket.abort()
            await ended.wait()
    assert codes == [(4000, "enough"), (1001, "going away"), (1006, "")]


async def test_a_reset_has_no_code() -> None:
    async def work(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with peer(work) as url, open_socket(url, bearer=None) as socket:
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert closed.value.code is None


async def test_a_refused_upgrade_keeps_the_services_words_and_no_key() -> None:
    body = b'{"error_id":"ih2001","message":"Unknown key.","correlation_id":"c-9","link":"l"}'
    answer = Response(HTTPStatus.UNAUTHORIZED, "Unauthorized", Headers({"Retry-After": "7"}), body)
    async with peer(_nothing, answer) as url:
        with pytest.raises(ServiceError) as refused:
            async with open_socket(url, bearer="topsecret"):
                raise AssertionError
    assert (refused.value.code, refused.value.retry) == ("auth_failed", False)
    assert refused.value.facts == {
        "status": 401,
        "server_code": "ih2001",
        "server_message": "Unknown key.",
        "correlation_id": "c-9",
        "link": "l",
        "retry_after_s": 7.0,
    }
    assert "topsecret" not in repr(refused.value) + str(refused.value.__context__)


async def test_a_redirect_is_not_followed() -> None:
    headers = Headers({"Location": "ws://127.0.0.1:9/"})
    answer = Response(HTTPStatus.FOUND, "Found", headers, b"")
    async with peer(_nothing, answer) as url:
        with pytest.raises(ServiceError, match="HTTP 302"):
            async with open_socket(url, bearer=None):
                raise AssertionError


async def test_nobody_there_is_told_with_what_helps() -> None:
    with pytest.raises(TransportError, match=r"127\.0\.0\.1 cannot be reached") as gone:
        async with open_socket("ws://127.0.0.1:9/", bearer=None):
            raise AssertionError
    assert gone.value.retry
    assert "IH_MCP_ENDPOINT" in gone.value.help


async def test_a_peer_that_never_answers_the_upgrade_is_given_up() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener:
        with anyio.fail_after(5), pytest.raises(TransportError):
            async with open_socket(f"ws://127.0.0.1:{port}/", bearer=None, open_seconds=0.2):
                raise AssertionError


async def test_a_message_above_the_library_default_is_taken() -> None:
    async def work(connection: ServerConnection) -> None:
        await connection.send("x" * (3 * 2**20))

    async with peer(work) as url, open_socket(url, bearer=None) as socket:
        assert len(await socket.receive()) == 3 * 2**20


async def test_a_round_trip_proves_that_the_peer_has_read() -> None:
    read = anyio.Event()

    async def work(connection: ServerConnection) -> None:
        await connection.recv()
        read.set()
        await connection.wait_closed()

    async with peer(work) as url, open_socket(url, bearer=None) as socket:
        await socket.send_segment(b"x" * 300_000)
        with anyio.fail_after(5):
            await socket.round_trip()
            await read.wait()


@pytest.mark.parametrize(("in_one_frame", "frames"), [(False, 5), (True, 1)])
async def test_a_large_segment_goes_in_fragments_or_where_asked_in_one_frame(
    in_one_frame: bool, frames: int
) -> None:
    heard: list[int] = []

    async def work(connection: ServerConnection) -> None:
        heard.append(len([part async for part in connection.recv_streaming()]))
        await connection.send("done")

    segment = b"x" * (4 * FRAGMENT_BYTES + 1)
    async with (
        peer(work) as url,
        open_socket(url, bearer="k", in_one_frame=in_one_frame) as socket,
    ):
        await socket.send_segment(segment)
        assert await socket.receive() == "done"
    assert heard == [frames + (not in_one_frame)]  # the last fragment is empty


_PROXY = Proxy(scheme="http", host="proxy.example", port=3128, variable="HTTPS_PROXY")


@pytest.mark.parametrize(
    ("url", "proxy", "is_one"),
    [
        ("ws://127.0.0.1:9/x", None, True),
        ("wss://[::1]:9/x", None, True),
        ("wss://api.example.org/x", None, False),
        ("ws://192.0.2.1/x", _PROXY, False),
    ],
)
def test_addresses_are_raced_only_where_there_may_be_several(
    url: str, proxy: Proxy | None, is_one: bool
) -> None:
    """A race that is cancelled leaves the socket open that just connected."""
    route = Route(url=url, proxy=proxy, tls=None)
    assert opener._has_one_address(route) is is_one


async def test_a_segment_waits_before_each_piece_while_no_media_may_be_sent() -> None:
    """For as long as it takes: its deadlines are those of a connection that makes no way."""
    may_go_on = anyio.Event()
    until = anyio.current_time() + 1000
    scope = anyio.CancelScope(deadline=until)
    deadlines: list[float] = []

    async def before_piece() -> None:
        deadlines.append(scope.deadline)
        if len(deadlines) == 2:
            await may_go_on.wait()

    async def let_it_go_on() -> None:
        await anyio.wait_all_tasks_blocked()
        assert len(pieces) == 1
        may_go_on.set()

    pieces: list[memoryview] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_it_go_on)
        data = bytes(2 * FRAGMENT_BYTES)
        async for piece in opener._fragments(data, scope, before_piece):
            pieces.append(piece)  # noqa: PERF401 - the other task counts them meanwhile
    assert len(pieces) == 2
    assert deadlines == [math.inf, math.inf]
    assert scope.deadline < until + 1000


async def test_each_piece_has_its_time_though_deadlines_are_set_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Scope:
        def __init__(self) -> None:
            self.set = [2_000.0]

        deadline = property(lambda self: self.set[-1], lambda self, at: self.set.append(at))

    now = 1_000.0
    clock = SimpleNamespace(current_time=lambda: now, lowlevel=anyio.lowlevel)
    monkeypatch.setattr(opener, "anyio", clock)
    scope: Any = Scope()
    async for _ in opener._fragments(bytes(100 * FRAGMENT_BYTES), scope, None):
        assert now + 20 <= scope.deadline <= now + 21
        now += 0.1
    assert len(scope.set) < 15
    now, scope.set = 1_990.0, [2_000.0]
    async for _ in opener._fragments(bytes(FRAGMENT_BYTES), scope, None):
        assert scope.set == [2_000.0, 2_000.0]  # none is later than that of the whole


async def test_a_small_segment_waits_too() -> None:
    heard: list[str | bytes] = []

    async def work(connection: ServerConnection) -> None:
        heard.append(await connection.recv())
        heard.append(await connection.recv())

    async with peer(work) as url, open_socket(url, bearer="k") as socket:

        async def before_piece() -> None:
            await socket.send_text("before")

        await socket.send_segment(b"media", before_piece=before_piece)
        with pytest.raises(SocketClosed):
            await socket.receive()
    assert heard == ["before", b"media"]


class Wire:
    """A transport in memory, and its loop: each look at the clock takes 1 ms."""

    def __init__(self) -> None:
        self.reads, self.is_aborted, self.is_ended = True, False, False
        self.untaken_bytes, self.now = 0, 0.0
        self.written: list[bytes] = []
        self.calls: list[Callable[[], object]] = []

    def time(self) -> float:
        self.now += 0.001
        return self.now

    def call_soon(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def set_write_buffer_limits(self, *_: object) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return self.untaken_bytes

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_ended = True

    def abort(self) -> None:
        self.is_aborted = True


async def on(wire: Wire) -> _Connection:
    """An open connection on a wire."""
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN)
    connection = _Connection(protocol, max_queue=opener._QUEUED_FRAMES)
    connection.response = Response(101, "Switching Protocols", Headers())
    connection.loop = cast(Any, wire)
    connection.connection_made(cast(Any, wire))
    return connection


def taken(connection: _Connection, wire: Wire) -> list[str]:
    """All that a connection has to give, in as many turns as it asks for, one at a time."""
    texts: list[str] = []
    for _ in range(10_000):
        while (text := connection.take_waiting_text()) is not None:
            texts.append(text)
        assert len(wire.calls) <= 1
        if not wire.calls:
            return texts
        wire.calls.pop()()
    raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("ends", [False, True])
async def test_what_arrives_is_parsed_in_turns_and_an_end_is_told_after_it(ends: bool) -> None:
    wire = Wire()
    connection = await on(wire)
    connection.data_received(frames(1_000))
    assert 0 < len(connection.recv_messages.frames) < 1_000
    assert not wire.reads
    if ends:
        connection.eof_received()  # as TLS tells it though reading is paused
        connection.connection_lost(None)
    else:
        connection.data_received(b"")
    assert taken(connection, wire) == [str(number) for number in range(1_000)]
    assert (connection.protocol.state is State.CLOSED) is ends
    assert wire.reads is not ends


async def test_an_end_is_told_once_though_a_turn_was_asked_for_before_it() -> None:
    wire = Wire()
    connection = await on(wire)
    connection.data_received(35 * server_frame(0x81, 100 * b"x"))
    assert (len(wire.calls), connection.protocol.state) == (1, State.OPEN)
    assert not wire.reads  # some of it waits, though the queue is not full
    connection.connection_lost(None)
    assert connection.protocol.state is State.CLOSED
    assert taken(connection, wire) == 35 * [100 * "x"]


async def test_no_answer_to_pings_is_written_to_a_peer_that_takes_none() -> None:
    wire = Wire()
    connection = await on(wire)
    connection.data_received(server_frame(0x89, b"ping"))
    assert (len(wire.written), wire.is_aborted) == (1, False)
    wire.untaken_bytes = opener._MAX_UNTAKEN_BYTES + 1
    connection.data_received(frames(1_000))
    assert wire.is_aborted
    assert not connection._waiting


@pytest.mark.parametrize(
    ("writes", "written", "is_ended"),
    [
        ([], [], False),
        ([b"a"], [b"a"], False),
        ([b"a", b"b", b"c"], [b"abc"], False),
        ([b""], [], True),
        ([b"a", b""], [b"a"], True),
        ([b"a", b"b", b""], [b"ab"], True),
    ],
)
async def test_what_there_is_to_write_goes_at_once_and_an_end_behind_it(
    writes: list[bytes], written: list[bytes], is_ended: bool
) -> None:
    wire = Wire()
    connection = await on(wire)
    connection.protocol.writes = list(writes)
    connection.send_data()
    assert (wire.written, wire.is_ended) == (written, is_ended)
    connection.connection_lost(None)
    connection.protocol.writes = [b"late"]
    connection.send_data()
    assert wire.written == written
