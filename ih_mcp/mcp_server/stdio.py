"""MCP over stdio; invalid JSON-RPC input gets an error response.

The SDK's stdio transport drops a line it cannot read in silence, and takes a request whose id it
does not like for a notification. JSON-RPC wants an error, with the request's id where it
can be read and `null` where not. Batches are not
part of MCP: each request in one is refused by itself.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from io import TextIOWrapper

import anyio
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCNotification

from ih_mcp.app.runtime import Runtime
from ih_mcp.wire.json_fields import as_mapping

from .exit_timer import ExitTimer
from .sdk import lowlevel_server

Incoming = SessionMessage | Exception

_BATCH = "batches are not served: send each message on a line of its own"
_BAD_ID = "the id of a request is a string or an integer"
_NO_JSON = "this line is no JSON, or more than is read"
_NO_REQUEST = "this is no request of JSON-RPC 2.0"
_UNREADABLE = object()
_MAX_DIGITS = 4000
_MAX_WAITING_LINES = 1000  # of input, read ahead


class StdinLines(anyio.AsyncFile[str]):
    """The lines of standard input; the transport makes one item of each.

    A thread reads ahead, so that the end of input is noticed when it comes.
    """

    def __init__(self, file: TextIOWrapper, exit_timer: ExitTimer) -> None:
        super().__init__(file)
        self.seen: deque[str] = deque()
        self.ended = anyio.Event()
        """Set when all lines were read."""
        self._exit_timer = exit_timer
        self._waiting: queue.Queue[str] = queue.Queue(_MAX_WAITING_LINES)
        threading.Thread(target=self._read_ahead, args=(file,), name="stdin", daemon=True).start()

    def _read_ahead(self, file: TextIOWrapper) -> None:
        line = " "
        while line:
            try:
                line = file.readline()
            except (OSError, ValueError):
                line = ""
            if not line:
                self._exit_timer.start()
            self._waiting.put(line)

    async def readline(self) -> str:
        line = await anyio.to_thread.run_sync(self._waiting.get, abandon_on_cancel=True)
        self._exit_timer.postpone()
        self.seen.append(line)
        if not line:
            self.ended.set()
        return line


def open_stdin(exit_timer: ExitTimer) -> StdinLines:
    """Read standard input from here on; children of this process find it empty."""
    wire = os.fdopen(os.dup(0), "rb", closefd=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return StdinLines(TextIOWrapper(wire, encoding="utf-8", errors="replace"), exit_timer)


async def serve_stdio(server: MCPServer[Runtime], lines: StdinLines) -> None:
    """Serve until the lines end: the SDK's transport, with an answer to every one."""
    low = lowlevel_server(server)
    async with stdio_server(stdin=lines) as (read, write), anyio.create_task_group() as tasks:
        valid, messages = anyio.create_memory_object_stream[Incoming]()

        async def sort() -> None:
            async with valid:
                async for item in read:
                    errors = [*make_errors(item, lines.seen.popleft())]
                    for error in errors:
                        await write.send(SessionMessage(error))
                    if not errors and isinstance(item, SessionMessage):
                        await valid.send(item)

        tasks.start_soon(sort)
        await low.run(messages, write, low.create_initialization_options())
        tasks.cancel_scope.cancel()


def make_errors(item: Incoming, line: str) -> Iterator[JSONRPCError]:
    """The errors to send for an invalid line; none where nobody expects an answer."""
    if isinstance(item, SessionMessage):
        if isinstance(item.message, JSONRPCNotification) and "id" in as_mapping(_parse_line(line)):
            yield _make_error(None, INVALID_REQUEST, _BAD_ID)
        return
    if not line.strip():
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


def _is_answer(message: Mapping[str, object]) -> bool:
    """Whether a message is itself an answer, so that nobody expects one."""
    return "method" not in message and ("result" in message or "error" in message)


def _parse_line(line: str) -> object:
    """Parse JSON more tolerantly than the transport: odd escapes, very long numbers."""
    try:
        return json.loads(line, parse_int=_integer)
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
