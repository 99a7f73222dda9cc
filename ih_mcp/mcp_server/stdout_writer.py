"""Messages as lines of standard output; encoding and writing them does not hold up the event loop.

One call of a JSON library for a message of 8 MiB keeps it for 110 ms where every character has to
be escaped, and the event loop waits. So large messages are encoded in pieces, in a thread. Small
answers are written by the loop, since a thread costs more than they do.
"""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from mcp_types import JSONRPCMessage, JSONRPCResponse
from pydantic_core import PydanticSerializationError, to_json

_PIECE_CHARS = 1 << 16
_LARGE_CHARS = 1 << 18
_SMALL_CHARS = 1 << 12


def open_stdout() -> BinaryIO:
    """Write to standard output from here on; what others print goes to standard error."""
    wire = os.dup(1)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no standard error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    if sys.platform == "win32":
        from mcp.os.win32.utilities import rebind_std_handle_to_fd  # noqa: PLC0415 - there alone

        with suppress(OSError):
            rebind_std_handle_to_fd(1)
    return os.fdopen(wire, "wb", closefd=False)


def write_at_once(file: BinaryIO, message: JSONRPCMessage) -> bool:
    """Write a small answer where that cannot block; gives whether it was written.

    A pipe that is writable takes `PIPE_BUF` bytes at once (POSIX).
    """
    if sys.platform == "win32" or not isinstance(message, JSONRPCResponse):
        return False
    if count_chars(message.result) > _SMALL_CHARS or not _is_writable_pipe(file.fileno()):
        return False
    line = b"".join((*encode(message), b"\n"))
    if len(line) > select.PIPE_BUF:
        return False
    os.write(file.fileno(), line)  # nothing waits in `file`: each line is flushed
    return True


def _is_writable_pipe(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return stat.S_ISFIFO(os.fstat(fd).st_mode) and bool(poll.poll(0))


def write_line(file: BinaryIO, message: JSONRPCMessage) -> None:
    """Write a message and its line break; blocks."""
    file.writelines(encode(message))
    file.write(b"\n")
    file.flush()


def encode(message: JSONRPCMessage) -> Iterator[bytes]:
    """A message as JSON in one line, in pieces none of which takes long to make."""
    value = message.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return _pieces(value) if count_chars(value) > _LARGE_CHARS else iter([_json(value)])


def count_chars(value: object) -> int:
    """How many characters the texts of a JSON value have, about."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + count_chars(each) for name, each in value.items())
    return sum(map(count_chars, value)) if isinstance(value, list) else 0


def _pieces(value: object) -> Iterator[bytes]:
    if isinstance(value, dict):
        for number, (name, each) in enumerate(value.items()):
            yield (b"," if number else b"{") + _json(name) + b":"
            yield from _pieces(each)
        yield b"}" if value else b"{}"
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield b"," if number else b"["
            yield from _pieces(each)
        yield b"]" if value else b"[]"
    elif isinstance(value, str):
        yield b'"'
        for start in range(0, len(value), _PIECE_CHARS):
            yield _json(value[start : start + _PIECE_CHARS])[1:-1]
        yield b'"'
    else:
        yield _json(value)


def _json(value: object) -> bytes:
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:  # half of a character pair
        return json.dumps(value).encode()
