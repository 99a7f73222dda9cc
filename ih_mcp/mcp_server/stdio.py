"""MCP over stdio; invalid JSON-RPC input gets an error response.

The SDK's stdio transport drops a line it cannot read in silence, takes a request with an invalid id
for a notification, reads a line of any length, and encodes a large answer on the event loop.
JSON-RPC wants an error, with the request's id where it can be read and `null` where not. Batches
are not part of MCP: each request in one is refused by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from ih_mcp.app.runtime import Runtime
from ih_mcp.notifier import Notifier
from ih_mcp.wire.json_fields import as_mapping

from .sdk import lowlevel_server
from .stdin_lines import Line, LongLine, StdinLines, ends_of
from .stdout_writer import write_at_once, write_line

Incoming = SessionMessage | Exception

_BATCH = "batches are not served: send each message on a line of its own"
_BAD_ID = "the id of a request is a string or an integer"
_NO_JSON = "this line is no JSON in UTF-8, or more than is read"
_NO_REQUEST = "this is no request of JSON-RPC 2.0"
_TOO_LONG = "this line has more than {:_} bytes: write the media to a file, and push its path"
_TOO_MANY = "this line has more than {:_} values"
MAX_VALUES = 20_000
"""Of one request: more hold up the event loop while they are parsed."""
MAX_UNDER_WAY = 128
"""Chosen: far more than any host has at a time; waiting polls among them."""
_MAX_PARSED_TWICE = 1 << 20
_UNREADABLE = object()
_MAX_DIGITS = 4000
_ID = rb'"id"\s*:\s*(-?\d{1,15}|"[^"\\\x00-\x1f]{0,200}")\s*'
_ID_FIRST = re.compile(
    rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*' + _ID + rb"[,}]"
)
_ID_LAST = re.compile(rb",\s*" + _ID + rb'(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


async def serve_stdio(server: MCPServer[Runtime], lines: StdinLines, output: BinaryIO) -> None:
    """Serve until the lines end, with an answer to every one of them."""
    low, under_way = lowlevel_server(server), _UnderWay()
    low.middleware.append(under_way.count)
    valid, messages = anyio.create_memory_object_stream[Incoming]()
    answers, written = anyio.create_memory_object_stream[SessionMessage]()
    async with anyio.create_task_group() as writing, answers:
        writing.start_soon(_write_answers, written, output, under_way)
        async with anyio.create_task_group() as reading:
            reading.start_soon(_read_messages, lines, valid, answers.clone(), under_way)
            await low.run(messages, answers, low.create_initialization_options())
            reading.cancel_scope.cancel()


async def _read_messages(
    lines: StdinLines,
    valid: MemoryObjectSendStream[Incoming],
    answers: MemoryObjectSendStream[SessionMessage],
    under_way: _UnderWay,
) -> None:
    async with valid, answers:
        while line := await lines.next():
            message, errors = parse_line(line, lines.max_line_bytes)
            for error in errors:
                await answers.send(SessionMessage(error))
            if message:
                await under_way.wait_for_room(answers)
                await valid.send(SessionMessage(message))


class _UnderWay:
    """Requests that are worked on, and answers that the host has not read.

    A host may send requests for ever and read nothing: its next ones are not taken meanwhile.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._changed = Notifier()

    async def count(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Middleware of the MCP server."""
        self._calls += 1
        try:
            return await call_next(ctx)
        finally:
            self._calls -= 1
            self._changed.notify()

    def note_answer(self) -> None:
        """An answer is about to be written."""
        self._changed.notify()

    async def wait_for_room(self, answers: MemoryObjectSendStream[SessionMessage]) -> None:
        """Wait until there are fewer than `MAX_UNDER_WAY`."""
        while self._calls + answers.statistics().tasks_waiting_send >= MAX_UNDER_WAY:
            await self._changed.wait()


async def _write_answers(
    answers: MemoryObjectReceiveStream[SessionMessage], output: BinaryIO, under_way: _UnderWay
) -> None:
    async with answers:
        async for each in answers:
            under_way.note_answer()
            with suppress(OSError):  # nobody reads any more: the server is about to end
                if not write_at_once(output, each.message):
                    await anyio.to_thread.run_sync(write_line, output, each.message)


def parse_line(line: Line, max_bytes: int) -> tuple[JSONRPCMessage | None, list[JSONRPCError]]:
    """The message of a line, or the errors to answer with; neither where nobody expects one."""
    if isinstance(line, LongLine):
        return None, [_refuse_unread(line, _TOO_LONG.format(max_bytes))]
    if count_values(line) > MAX_VALUES:
        return None, [_refuse_unread(ends_of(line), _TOO_MANY.format(MAX_VALUES))]
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        if len(line) > _MAX_PARSED_TWICE:
            return None, [_refuse_unread(ends_of(line), _NO_JSON)]
        return None, [*_make_errors(line)]
    if isinstance(message, JSONRPCNotification) and _has_id(line):
        return None, [_make_error(None, INVALID_REQUEST, _BAD_ID)]
    return message, []


def count_values(data: bytes) -> int:
    """How many values a text of JSON has at most; its strings are counted as if they were some."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _refuse_unread(line: LongLine, why: str) -> JSONRPCError:
    """The error for a line that is not parsed; its request learns it where the id is found."""
    known = find_id(line)
    return _make_error(known, PARSE_ERROR if known is None else INVALID_REQUEST, why)


def find_id(line: LongLine) -> object:
    """The id of a request that is not read: next to its beginning or its end; None elsewhere."""
    found = _ID_FIRST.match(line.head) or _ID_LAST.search(line.tail)
    return _parse_line(found[1]) if found else None


def _make_errors(line: bytes) -> Iterator[JSONRPCError]:
    """The errors to send for an invalid line; none where nobody expects an answer."""
    if line.isspace():
        return
    whole = _parse_line(line)
    if whole is _UNREADABLE:
        yield _make_error(None, PARSE_ERROR, _NO_JSON)
    elif isinstance(whole, list) and whole:
        for part in map(as_mapping, whole):
            if "method" in part and "id" in part:
                yield _make_error(part["id"], INVALID_REQUEST, _BATCH)
    elif not _is_answer(as_mapping(whole)):
        yield _make_error(as_mapping(whole).get("id"), INVALID_REQUEST, _NO_REQUEST)


def _has_id(line: bytes) -> bool:
    is_long = len(line) > _MAX_PARSED_TWICE
    return not is_long and "id" in as_mapping(_parse_line(line))


def _is_answer(message: Mapping[str, object]) -> bool:
    """Whether a message is itself an answer, so that nobody expects one."""
    return "method" not in message and ("result" in message or "error" in message)


def _parse_line(line: bytes) -> object:
    """Parse JSON more tolerantly than the SDK: odd escapes, very long numbers."""
    try:
        return json.loads(line.decode(), parse_int=_integer)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _integer(digits: str) -> int | None:
    """A number; None where it is longer than Python reads."""
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _make_error(request_id: object, code: int, why: str) -> JSONRPCError:
    is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    known = request_id if is_id else None
    return JSONRPCError.model_validate(
        {"jsonrpc": "2.0", "id": known, "error": ErrorData(code=code, message=why)}
    )
