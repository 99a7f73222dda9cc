"""Lines in and lines out: bounded, exact, and never in the event loop's way."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import pytest
from anyio import to_thread
from anyio.streams.memory import MemoryObjectSendStream
from hypothesis import given
from hypothesis import strategies as st
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server import stdio
from ih_mcp.mcp_server.exit_timer import ExitTimer
from ih_mcp.mcp_server.server import make_server
from ih_mcp.mcp_server.stdin_lines import _MAX_WAITING_BYTES, LongLine, StdinLines, read_line
from ih_mcp.mcp_server.stdio import find_id, parse_line, serve_stdio
from ih_mcp.mcp_server.stdout_writer import _LARGE_CHARS, _PIECE_CHARS, encode, write_at_once
from ih_mcp.settings import read_settings
from tests.conformance.raw import META
from tests.reliability.budget import report
from tests.reliability.hold import holding

MIB = 2**20
Answers = MemoryObjectSendStream[SessionMessage]
MOST = 8 * MIB


class NoExit(ExitTimer):
    """Of a server that ends with its test."""

    def start(self, code: int = 0) -> None:
        """The end of input ends no process here."""


# --- in ------------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A line of so many bytes, then another; counts what is read."""

    def __init__(self, line_bytes: int) -> None:
        self._data = iter([*[b"x" * MIB] * (line_bytes // MIB), b"\nnext\n"])

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = next(self._data, b"")
        buffer[: len(data)] = data
        return len(data)


def test_of_a_line_of_a_gibibyte_only_its_ends_are_held() -> None:
    file = io.BufferedReader(Endless(2**30), 2 * MIB)
    line = read_line(file, MIB)
    assert isinstance(line, LongLine)
    assert (len(line.head), len(line.tail)) == (4096, 4096)
    assert read_line(file, MIB) == b"next\n"
    assert read_line(file, MIB) == b""


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_the_bound_of_a_line_is_without_its_line_break(extra: int, end: bytes) -> None:
    data = b"x" * (100 + extra) + end
    line = read_line(io.BytesIO(data), 100)
    assert line == data if extra <= 0 else isinstance(line, LongLine)


async def test_lines_are_read_ahead_up_to_a_bound() -> None:
    lines = StdinLines(io.BytesIO((b"x" * MIB + b"\n") * 64), NoExit(), max_line_bytes=MOST)
    waiting = []
    while await lines.next():
        waiting.append(lines._waiting_bytes)
    assert len(waiting) == 64
    assert max(waiting) <= _MAX_WAITING_BYTES


IDS: list[tuple[bytes, object]] = [
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":"', 1),
    (b' { "jsonrpc" : "2.0" , "method" : "x" , "id" : "a-1" , "params" : {"a":"', "a-1"),
    (b'{"method":"x","params":{"id":9,"a":"', 7),
    (b'{"id":-3}', -3),
]


@pytest.mark.parametrize(("head", "known"), IDS)
def test_a_line_that_is_not_read_is_answered_with_its_id(head: bytes, known: object) -> None:
    line = LongLine(head, b'"}}},"jsonrpc":"2.0","id":7}\n')
    message, (error,) = parse_line(line, MOST)
    assert message is None
    assert (error.id, error.error.code) == (known, -32600)
    assert "push its path" in error.error.message
    assert "8_388_608 bytes" in error.error.message


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b'{"params":{"id":1,', b'"id":2}}}'),
        (b'{"params":{"a":"', b'\\"id\\":2}"}}'),
        (b"x" * 100, b"x" * 100),
        (b'{"id":1.5,', b'"id":[2]}'),
        (b'{"id":null,', b'"id":true}'),
        (b'{"id":"\\u0061",', b"}"),
    ],
)
def test_an_id_from_elsewhere_in_a_line_is_not_taken(head: bytes, tail: bytes) -> None:
    assert find_id(LongLine(head, tail)) is None


REFUSED = {
    "items": b"[" + b"1," * 1_000_000 + b"1]",
    "arguments": b"{" + b",".join(b'"k%d":1' % number for number in range(30_000)) + b"}",
    "depth": b"[" * 1_000_000,
    "depth of an object": b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
    "bytes that are no UTF-8": b'"' + b"\xff" * (MOST - 60) + b'"',
    "digits": b"9" * MOST,
    "backslashes": b'"' + b"\\" * (MOST - 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_arguments_are_refused_with_the_id(name: str) -> None:
    head = b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":'
    message, (error,) = parse_line(head + REFUSED[name] + b"}\n", 2 * MOST)
    assert message is None
    assert error.id in ({None, 5} if name == "depth of an object" else {5}), "3.14 reads deeper"
    assert error.error.code in {-32600, -32700}


# --- out -----------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters() | st.just("\ud83d")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def encoded(value: object) -> list[bytes]:
    message = JSONRPCResponse(jsonrpc="2.0", id=1, result={"value": value})
    return list(encode(message))


@given(_VALUES, st.sampled_from([0, _LARGE_CHARS]))
def test_an_answer_is_one_line_of_the_same_values(value: object, more_chars: int) -> None:
    large = "x" * more_chars
    data = b"".join(encoded([value, large]))
    assert b"\n" not in data
    found = json.loads(data)
    assert found == {"jsonrpc": "2.0", "id": 1, "result": {"value": [value, large]}}


@pytest.mark.parametrize("char", ["\x01", "\n", '"', "é", "\U0001f600", "\ud83d", "a"])
def test_a_large_text_is_encoded_in_small_pieces(char: str) -> None:
    text = char * (_LARGE_CHARS + _PIECE_CHARS // 2)
    pieces = encoded(text)
    assert max(map(len, pieces)) <= 6 * _PIECE_CHARS
    assert json.loads(b"".join(pieces))["result"]["value"] == text


def test_numbers_that_json_lacks_become_null() -> None:
    assert json.loads(b"".join(encoded([math.nan, math.inf])))["result"]["value"] == [None, None]


# --- both ----------------------------------------------------------------------------------------


class Pipes:
    """A server in this process, spoken to through pipes as a host does."""

    def __init__(self, to_server: BinaryIO, from_server: BinaryIO) -> None:
        self._to_server, self._from_server = to_server, from_server

    async def ask(self, line: bytes) -> bytes:
        return await to_thread.run_sync(self._exchange, line)

    def write(self, lines: list[bytes]) -> None:
        self._to_server.writelines(line + b"\n" for line in lines)
        self._to_server.flush()

    def read(self) -> bytes:
        return self._from_server.readline()

    def _exchange(self, line: bytes) -> bytes:
        self.write([line])
        return self.read()


def request(request_id: int, tool: str, **arguments: object) -> bytes:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    return json.dumps(message).encode()


@asynccontextmanager
async def piped(tmp_path: Path, messages: list[str]) -> AsyncIterator[Pipes]:
    """A server that knows one stream, `st_a`, with these messages."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with open_runtime(read_settings(endpoint="local", data_dir=tmp_path)) as runtime:
            log = await runtime.journal.begin("st_a", {"state": "ended"})
            for text in messages:
                log.append(text, leg=0)
            await log.write_record({"state": "ended"}, ended=True)
            runtime.journal.release(log)
            yield runtime

    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    with (
        os.fdopen(in_read, "rb") as given_in,
        os.fdopen(out_write, "wb") as output,
        os.fdopen(out_read, "rb") as answers,
    ):
        lines = StdinLines(given_in, NoExit(), max_line_bytes=MOST)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_stdio, make_server(lifespan), lines, output)
            with os.fdopen(in_write, "wb") as to_server:
                yield Pipes(to_server, answers)


@pytest.mark.parametrize(
    ("line", "errors"),
    [
        (b'{"jsonrpc":"2.0","id":1}', 1),
        (b'{"jsonrpc":"1.0","id":1,"method":"x","result":{}}', 1),
        (b'{"jsonrpc":"1.0","id":1,"result":{}}', 0),
        (b'{"jsonrpc":"1.0","id":1,"error":{}}', 0),
    ],
)
def test_a_wrong_request_is_answered_and_a_wrong_answer_is_not(line: bytes, errors: int) -> None:
    message, found = parse_line(line, MOST)
    assert message is None
    assert [error.id for error in found] == [1] * errors


def test_a_pipe_without_room_or_a_large_answer_is_left_to_a_thread() -> None:
    small = JSONRPCResponse(jsonrpc="2.0", id=1, result={"content": [{"text": "\u00e9"}]})
    large = JSONRPCResponse(jsonrpc="2.0", id=2, result={"content": ["x" * 4000, "y" * 200]})
    long = JSONRPCResponse(jsonrpc="2.0", id=3, result={"content": ["\x01" * 1000]})
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "wb") as file:
        assert write_at_once(file, small)
        assert not write_at_once(file, large)
        assert not write_at_once(file, long)  # 1,000 characters, 6,000 bytes
        line = read.readline()
        assert json.loads(line)["result"] == {"content": [{"text": "\u00e9"}]}
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        assert not write_at_once(file, small)


def test_a_file_is_written_in_a_thread(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        assert not write_at_once(file, JSONRPCResponse(jsonrpc="2.0", id=1, result={}))


@pytest.mark.parametrize("char", ["\x01", '"', "\U0001f600"], ids=ascii)
async def test_s21_a_message_of_8_mib_is_read_without_holding_the_loop(
    char: str, tmp_path: Path
) -> None:
    told = [char * (MOST // len(char.encode())), "{}"]
    async with piped(tmp_path, told) as pipes:
        await pipes.ask(request(0, "list_streams"))  # all is imported
        async with holding() as hold:
            answers = [
                await pipes.ask(request(cursor + 1, "poll_events", stream_id="st_a", cursor=cursor))
                for cursor in range(2)
            ]
    for answer, text in zip(answers, told, strict=True):
        assert json.loads(answer)["result"]["content"][1]["text"] == text
    report("S21", "test_stdio.py", f"8 MiB of {char!a} polled: {hold}")
    assert hold.loop_seconds < 0.05


async def test_a_host_that_asks_and_asks_and_reads_nothing_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next requests are not taken; later all are answered."""
    monkeypatch.setattr(stdio, "MAX_UNDER_WAY", 20)
    most, is_full = [0], anyio.Event()

    async def wait_for_room(self: stdio._UnderWay, answers: Answers) -> None:
        waiting = self._calls + answers.statistics().tasks_waiting_send
        most[0] = max(most[0], waiting)
        if waiting >= stdio.MAX_UNDER_WAY:
            is_full.set()
        await really_wait(self, answers)

    really_wait = stdio._UnderWay.wait_for_room
    monkeypatch.setattr(stdio._UnderWay, "wait_for_room", wait_for_room)
    async with piped(tmp_path, ["x" * 2**16]) as pipes:
        await pipes.ask(request(0, "list_streams"))
        polls = [request(n + 1, "poll_events", stream_id="st_a", cursor=0) for n in range(200)]
        await to_thread.run_sync(pipes.write, polls)
        with anyio.fail_after(60):
            await is_full.wait()
        answers = [await to_thread.run_sync(pipes.read) for _ in polls]
    assert sorted(json.loads(answer)["id"] for answer in answers) == list(range(1, 201))
    assert 20 <= most[0] < 60  # what begins in between may be a few more


@pytest.mark.parametrize("name", [*REFUSED, "a longer line", "the largest push"])
async def test_s21_a_hostile_line_of_the_host_holds_nobody_up(name: str, tmp_path: Path) -> None:
    line = b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":%s}'
    match name:
        case "a longer line":
            line %= b'"%s"' % (b"x" * 4 * MOST)
        case "the largest push":
            text = "A" * (4 * MIB * 4 // 3)
            line = request(5, "push_segment", stream_id="st_b", data_base64=text)
        case _:
            line %= REFUSED[name]
    async with piped(tmp_path, []) as pipes:
        await pipes.ask(request(0, "list_streams"))
        async with holding() as hold:
            answer = await pipes.ask(line)
        assert "result" in json.loads(await pipes.ask(request(6, "list_streams")))
    assert ("no stream st_b" in answer.decode()) is (name == "the largest push")
    report("S21", "test_stdio.py", f"a line, {name}: {hold}")
    assert hold.loop_seconds < 0.05


@pytest.mark.parametrize("given", [7, "a", "", None, True, False, 1.5, [1], {"a": 1}])
def test_an_error_names_the_id_of_its_request_where_it_is_a_text_or_an_integer(
    given: object,
) -> None:
    requests = [{"method": "x", "id": given}]
    message, (error,) = parse_line(json.dumps(requests).encode(), MOST)
    is_id = type(given) in {int, str}
    assert (message, error.id) == (None, given if is_id else None)
