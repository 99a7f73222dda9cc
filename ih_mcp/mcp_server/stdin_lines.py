"""The lines of standard input, read ahead in a thread and bounded in size."""

from __future__ import annotations

import asyncio  # noqa: TID251 - anyio lets no thread tell the loop something and go on
import os
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import anyio

from ih_mcp.notifier import Notifier

from .exit_timer import ExitTimer

_MAX_WAITING_BYTES = 1 << 25  # of lines read ahead; one line may always wait
_LINE_BYTES = 500  # what an empty one takes
_END_BYTES = 4096
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that is longer than is read: how it begins and ends."""

    head: bytes
    tail: bytes


Line = bytes | LongLine


class StdinLines:
    """The lines of standard input.

    A thread reads ahead, so that the end of input is noticed when it comes. It wakes the loop
    itself: another thread that waits for it would cost a fifth of a call.
    """

    def __init__(self, file: BinaryIO, exit_timer: ExitTimer, *, max_line_bytes: int) -> None:
        self.max_line_bytes = max_line_bytes
        self.ended = anyio.Event()
        """Set when all lines were read."""
        self._exit_timer = exit_timer
        self._waiting: deque[Line] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._arrived = Notifier()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read_ahead, args=(file,), name="stdin", daemon=True).start()

    async def next(self) -> Line:
        """The next line with its line break; nothing at the end."""
        while not self._waiting:
            await self._arrived.wait()
        line = self._pop_line()
        self._exit_timer.postpone()
        if not line:
            self.ended.set()
        return line

    def _read_ahead(self, file: BinaryIO) -> None:
        line: Line = b" "
        while line:
            try:
                line = read_line(file, self.max_line_bytes)
            except (OSError, ValueError):
                line = b""
            if not line:
                self._exit_timer.start()
            self._put_line(line)

    def _put_line(self, line: Line) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._has_room_for(line))
            self._waiting.append(line)
            self._waiting_bytes += _size(line)
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._arrived.notify)

    def _pop_line(self) -> Line:
        with self._changed:
            line = self._waiting.popleft()
            self._waiting_bytes -= _size(line)
            self._changed.notify_all()
            return line

    def _has_room_for(self, line: Line) -> bool:
        return not self._waiting or self._waiting_bytes + _size(line) <= _MAX_WAITING_BYTES


def longest_line_bytes(max_call_bytes: int) -> int:
    """The longest line that is read. A push that is a little too large gets its own error."""
    return max_call_bytes * 2 + 2**16


def open_stdin(exit_timer: ExitTimer, *, max_line_bytes: int) -> StdinLines:
    """Read standard input from here on; children of this process find it empty."""
    wire = os.fdopen(os.dup(0), "rb", closefd=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return StdinLines(wire, exit_timer, max_line_bytes=max_line_bytes)


def read_line(file: BinaryIO, most: int) -> Line:
    """The next line with its line break, of which at most `most` bytes are held; blocks."""
    line = file.readline(most + 1)
    if len(line) <= most or line.endswith(b"\n"):
        return line
    tail = line[-_END_BYTES:]
    while piece := file.readline(_PIECE_BYTES):
        tail = (tail + piece)[-_END_BYTES:]
        if piece.endswith(b"\n"):
            break
    return LongLine(line[:_END_BYTES], tail)


def ends_of(line: bytes) -> LongLine:
    """How a line that is not to be read begins and ends."""
    return LongLine(line[:_END_BYTES], line[-_END_BYTES:])


def _size(line: Line) -> int:
    length = len(line.head) + len(line.tail) if isinstance(line, LongLine) else len(line)
    return _LINE_BYTES + length
