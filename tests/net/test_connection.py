from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, TypeVar, cast

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import Close, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from ih_mcp.net.connection import _MAX_UNTAKEN_BYTES, QUEUED_FRAMES, Connection
from ih_mcp.net.opener import open_socket
from ih_mcp.net.socket import SocketClosed
from ih_mcp.wire.endings import EndReason
from tests.net.peer import frames, peer, server_frame
from tests.reliability.budget import often


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


@pytest.mark.parametrize(
    ("size", "bound", "most"), [(100, 256, 297), (60_000, 16, 17), (64 * 2**10, 16, 17)]
)
async def test_few_large_messages_wait_to_be_received_or_more_small_ones(
    size: int, bound: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = anyio.Event()
    fill = Connection._fill

    def note(connection: Connection) -> None:
        fill(connection)
        filled.set()

    async def work(connection: ServerConnection) -> None:
        await connection.recv()
        for number in range(400):
            await connection.send(str(number).ljust(size))

    monkeypatch.setattr(Connection, "_fill", note)
    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        await socket.send_text("what follows does not come with the handshake")
        await filled.wait()
        waiting = len(socket._connection.recv_messages.frames)
        assert bound < waiting <= most  # a piece of 4 KiB holds 40 small ones and ends another
        received = [await socket.receive() for _ in range(400)]
    assert received == [str(number).ljust(size) for number in range(400)]


_KINDS = [
    server_frame(0x81, "é".encode()),
    server_frame(0x82, b"\xff"),  # binary
    server_frame(0x81, b""),
    server_frame(0x01, b"a "),  # a text in two frames
    server_frame(0x89, b"ping"),
    server_frame(0x80, b"whole"),
    b"\x81\x7e\x01\x00" + b"x" * 256,
    b"\x81\x7f" + (300).to_bytes(8) + b"y" * 300,
    server_frame(0x81, b"last"),
]
_RECEIVED = ["é", b"\xff", "", "a whole", "x" * 256, "y" * 300, "last"]


async def _until_closed(connection: ServerConnection) -> None:
    await connection.wait_closed()


@pytest.mark.parametrize("step", [1, 2, 3, 5, 300, 10_000])
async def test_frames_are_the_same_wherever_the_network_cuts_them(step: int) -> None:
    sent = b"".join(_KINDS)
    async with peer(_until_closed) as url, open_socket(url, bearer="k") as socket:
        for start in range(0, len(sent), step):
            socket._connection.data_received(sent[start : start + step])
        assert [await socket.receive() for _ in _RECEIVED] == _RECEIVED


async def test_short_texts_do_not_pass_through_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with peer(_until_closed) as url, open_socket(url, bearer="k") as socket:
        connection, parsed = socket._connection, bytearray()
        parse = connection.protocol.receive_data

        def note(data: bytes) -> None:
            parsed.extend(data)
            parse(data)

        monkeypatch.setattr(connection.protocol, "receive_data", note)
        ping = server_frame(0x89, b"")
        connection.data_received(server_frame(0x81, b"one") + server_frame(0x81, b"two")[:2])
        connection.data_received(server_frame(0x81, b"two")[2:] + ping)
        connection.data_received(server_frame(0x81, b"three"))
        assert [await socket.receive() for _ in range(3)] == ["one", "two", "three"]
        assert parsed == ping


async def test_a_text_within_a_message_of_several_frames_breaks_the_connection() -> None:
    async with peer(_until_closed) as url, open_socket(url, bearer="k") as socket:
        for first, payload in ((0x01, b"begun"), (0x89, b"ping"), (0x81, b"two"), (0x81, b"three")):
            socket._connection.data_received(server_frame(first, payload))
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert closed.value.loss is EndReason.BROKEN_FRAMES


async def test_nothing_is_received_behind_a_frame_that_the_library_refuses() -> None:
    async with peer(_until_closed) as url, open_socket(url, bearer="k") as socket:
        for frame in (b"\x81\x82\x00\x00\x00\x00ab", server_frame(0x81, b"later")):
            socket._connection.data_received(frame)
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert closed.value.loss is EndReason.BROKEN_FRAMES


async def test_a_close_is_read_behind_a_text_that_was_cut_when_we_closed() -> None:
    text = server_frame(0x81, b"x" * 100)
    close = server_frame(0x88, (4000).to_bytes(2) + b"so")
    async with peer(_until_closed) as url, open_socket(url, bearer="k") as socket:
        connection = socket._connection
        connection.data_received(text[:50])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(socket.close)
            while connection.state is State.OPEN:
                await anyio.lowlevel.checkpoint()
            connection.data_received(text[50:])  # before the peer can answer
            connection.data_received(close)
            assert connection.protocol.close_rcvd == Close(4000, "so")


async def test_a_text_of_which_the_end_never_came_is_no_message() -> None:
    async def work(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(server_frame(0x81, b"whole") + server_frame(0x81, b"half")[:-1])
        connection.transport.close()

    async with peer(work) as url, open_socket(url, bearer="k") as socket:
        await socket.send_text("what follows does not come with the handshake")
        assert await socket.receive() == "whole"
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
    assert closed.value.code is None


C = TypeVar("C", bound=ClientConnection)


class Wire:
    """A transport in memory, and its loop: each look at the clock takes a while."""

    def __init__(self, look_seconds: float = 0.001) -> None:
        self._look_seconds = look_seconds
        self.reads, self.is_aborted, self.is_ended = True, False, False
        self.untaken_bytes, self.now = 0, 0.0
        self.written: list[bytes] = []
        self.calls: list[Callable[[], object]] = []

    def time(self) -> float:
        self.now += self._look_seconds
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


async def on(wire: Wire) -> Connection:
    """An open connection on a wire."""
    return opened(Connection(open_protocol(), max_queue=QUEUED_FRAMES), wire)


def open_protocol() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN)


def opened(connection: C, wire: Wire) -> C:
    connection.response = Response(101, "Switching Protocols", Headers())
    connection.loop = cast(Any, wire)
    connection.connection_made(cast(Any, wire))
    return connection


def taken(connection: Connection, wire: Wire) -> list[str]:
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
    wire.untaken_bytes = _MAX_UNTAKEN_BYTES + 1
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


def any_frame(first: int, size: int, length_bytes: int, *, is_masked: bool) -> bytes:
    """A frame whose length is in so many bytes, or in as many as it needs."""
    mask = 0x80 if is_masked else 0
    if length_bytes < 8 and size < 1 << 16 and (length_bytes == 2 or size > 125):
        length = bytes([mask | 126]) + size.to_bytes(2)
    elif length_bytes == 8 or size > 125:
        length = bytes([mask | 127]) + size.to_bytes(8)
    else:
        length = bytes([mask | size])
    payload = (1000).to_bytes(2) + bytes(max(0, size - 2)) if first == 0x88 else b"x" * size
    return bytes([first]) + length + (bytes(4) if is_masked else b"") + payload[:size]


_USUAL = [0x81] * 8 + [0x01, 0x00, 0x80, 0x82, 0x89, 0x8A]
_ODD = [0x88, 0x08, 0x02, 0xC1, 0x83, 0x8B]  # closes, or is of a kind that the library refuses
_SIZES = [0, 1, 2, 5, 124, 125, 126, 127, 300, 1_019, 1_020, 4_096]
any_frames = st.one_of(
    st.builds(
        any_frame,
        st.sampled_from(_USUAL),
        st.sampled_from(_SIZES),
        st.sampled_from([0, 0, 0, 2, 8]),
        is_masked=st.just(False),
    ),
    st.builds(
        any_frame,
        st.sampled_from(_USUAL + _ODD),
        st.sampled_from([*_SIZES, 65_535, 65_536]),
        st.just(0),
        is_masked=st.booleans(),
    ),
)


def all_frames(connection: ClientConnection, wire: Wire) -> list[tuple[Opcode, bytes, bool]]:
    """All frames that a connection has to give, in as many turns as it asks for."""
    queue, found = connection.recv_messages, list[tuple[Opcode, bytes, bool]]()
    while True:
        while queue.frames:
            frame = queue.frames.queue.popleft()
            found.append((frame.opcode, bytes(frame.data), frame.fin))
            queue.maybe_resume()
        if not wire.calls:
            return found
        wire.calls.pop()()


@pytest.mark.timeout(600)
@settings(max_examples=often(60, nightly=2_000))
@given(
    frames=st.lists(any_frames, max_size=12),
    cuts=st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 12) | st.integers(0, 1 << 17)), max_size=12
    ),
    short_by=st.sampled_from([0, 0, 0, 1, 2, 3, 100]),
    waits=st.booleans(),
    look_seconds=st.sampled_from([0.0001, 0.001, 0.01]),
)
async def test_frames_of_any_kind_cut_anywhere_are_what_the_library_alone_makes_of_them(
    frames: list[bytes],
    cuts: list[tuple[int, int]],
    short_by: int,
    waits: bool,
    look_seconds: float,
) -> None:
    """Also what is answered to it, and how it ends."""
    begins = [0, *accumulate(map(len, frames))]
    size = max(0, begins[-1] - short_by)
    places = {min(begins[number % len(begins)] + place, size) for number, place in cuts}
    pieces = [b"".join(frames)[begin:end] for begin, end in pairwise(sorted({0, size, *places}))]
    wires = Wire(look_seconds), Wire(look_seconds)
    ours = opened(Connection(open_protocol(), max_queue=QUEUED_FRAMES), wires[0])
    library = opened(ClientConnection(open_protocol(), max_queue=None), wires[1])
    received = list[tuple[Opcode, bytes, bool]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_bytes", bytes)  # both mask what they write alike
        for piece in pieces:
            library.data_received(piece)
            ours.data_received(piece)
            if not waits:
                received += all_frames(ours, wires[0])
        received += all_frames(ours, wires[0])
    assert received == all_frames(library, wires[1])
    assert b"".join(wires[0].written) == b"".join(wires[1].written)
    for connection in (ours, library):
        connection.connection_lost(None)
    assert not all_frames(ours, wires[0])
    ends = [(each.protocol.close_rcvd, each.protocol.close_sent) for each in (ours, library)]
    assert ends[0] == ends[1]
    assert repr(ours.protocol.close_exc) == repr(library.protocol.close_exc)
