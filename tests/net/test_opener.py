from __future__ import annotations

import math
import socket as system
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response

from ih_mcp.errors import ServiceError, TransportError
from ih_mcp.net import opener
from ih_mcp.net.opener import FRAGMENT_BYTES, open_socket
from ih_mcp.net.proxies import Proxy
from ih_mcp.net.route import Route
from ih_mcp.net.socket import SocketClosed
from tests.facts import shows
from tests.net.peer import peer


async def _nothing(_: ServerConnection) -> None:
    return


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


@pytest.mark.parametrize("has_socket", [False, True])
@pytest.mark.parametrize("has_option", [False, True])
def test_what_is_queued_in_the_kernel_is_bounded_where_that_can_be(
    has_socket: bool, has_option: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = list[tuple[int, ...]]()

    class Socket:
        def setsockopt(self, *values: int) -> None:
            set_to.append(values)
            raise OSError  # as of a socket that was closed

    if has_option:
        monkeypatch.setattr(system, "TCP_NOTSENT_LOWAT", 25, raising=False)
    else:
        monkeypatch.delattr(system, "TCP_NOTSENT_LOWAT", raising=False)
    transport = SimpleNamespace(get_extra_info=lambda _: Socket() if has_socket else None)
    opener._limit_kernel_queue(cast("Any", SimpleNamespace(transport=transport)))
    expected = (system.IPPROTO_TCP, 25, opener._UNSENT_BYTES)
    assert set_to == ([expected] if has_socket and has_option else [])
