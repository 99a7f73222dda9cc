"""MCP over stdio, with an answer to what is no valid message: nobody waits for one in vain.

The SDK's stdio transport drops a line it cannot read in silence, and takes a request whose id it
does not like for a notification. JSON-RPC wants an error, with the request's id where that can be
told and `null` where not. Batches are not part of MCP: each request in one is refused by itself.
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

from .leaving import Leaving

Item = SessionMessage | Exception

_BATCH = "batches are not served: send each message on a line of its own"
_BAD_ID = "the id of a request is a string or an integer"
_NO_JSON = "this line is no JSON, or more than is read"
_NO_REQUEST = "this is no request of JSON-RPC 2.0"
_UNREADABLE = object()
_MAX_DIGITS = 4000
_MAX_WAITING_LINES = 1000  # of input, ahead of who takes them


class Lines(anyio.AsyncFile[str]):
    """The lines of standard input; the transport makes one item of each.

    A thread of their own reads them ahead of who takes them, so that the end is seen when it
    comes.
    """

    def __init__(self, file: TextIOWrapper, leaving: Leaving) -> None:
        super().__init__(file)
        self.seen: deque[str] = deque()
        self.ended = anyio.Event()
        """All lines were taken."""
        self._leaving = leaving
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
                self._leaving.begin()
            self._waiting.put(line)

    async def readline(self) -> str:
        line = await anyio.to_thread.run_sync(self._waiting.get, abandon_on_cancel=True)
        self._leaving.put_off()
        self.seen.append(line)
        if not line:
            self.ended.set()
        return line


def take_stdin(leaving: Leaving) -> Lines:
    """Read standard input from here on; children of this process find it empty."""
    wire = os.fdopen(os.dup(0), "rb", closefd=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Lines(TextIOWrapper(wire, encoding="utf-8", errors="replace"), leaving)


async def serve_stdio(server: MCPServer[Runtime], lines: Lines) -> None:
    """Serve until the lines end: the SDK's transport, with an answer to every one."""
    low = server._lowlevel_server  # noqa: SLF001 - what MCPServer.run_stdio_async does
    async with stdio_server(stdin=lines) as (read, write), anyio.create_task_group() as tasks:
        valid, messages = anyio.create_memory_object_stream[Item]()

        async def sort() -> None:
            async with valid:
                async for item in read:
                    errors = [*errors_for(item, lines.seen.popleft())]
                    for error in errors:
                        await write.send(SessionMessage(error))
                    if not errors and isinstance(item, SessionMessage):
                        await valid.send(item)

        tasks.start_soon(sort)
        await low.run(messages, write, low.create_initialization_options())
        tasks.cancel_scope.cancel()


def errors_for(item: Item, line: str) -> Iterator[JSONRPCError]:
    """What to answer to a line that is no valid message; nothing where no answer is waited for."""
    if isinstance(item, SessionMessage):
        if isinstance(item.message, JSONRPCNotification) and "id" in _mapping(_read(line)):
            yield _error(None, INVALID_REQUEST, _BAD_ID)
        return
    if not line.strip():
        return
    whole = _read(line)
    if whole is _UNREADABLE:
        yield _error(None, PARSE_ERROR, _NO_JSON)
    elif isinstance(whole, list) and whole:
        for part in map(_mapping, whole):
            if "method" in part and "id" in part:
                yield _error(part["id"], INVALID_REQUEST, _BATCH)
    elif not _is_answer(_mapping(whole)):
        yield _error(_mapping(whole).get("id"), INVALID_REQUEST, _NO_REQUEST)


def _is_answer(message: Mapping[str, object]) -> bool:
    """Whether nobody waits for an answer to it, as it is one."""
    return "method" not in message and ("result" in message or "error" in message)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _read(line: str) -> object:
    """With a reader that bears more than the transport's: odd escapes, very long numbers."""
    try:
        return json.loads(line, parse_int=_integer)
    except (ValueError, RecursionError):
        return _UNREADABLE


def _integer(digits: str) -> int | None:
    """A number; None where it is longer than Python reads."""
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _error(request_id: object, code: int, why: str) -> JSONRPCError:
    is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    known = request_id if is_id else None
    return JSONRPCError.model_validate(
        {"jsonrpc": "2.0", "id": known, "error": ErrorData(code=code, message=why)}
    )
