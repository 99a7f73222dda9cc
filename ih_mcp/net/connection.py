"""The client's end of a WebSocket connection, as the library makes it, parsing a little at a time.

One read of 256 KiB may hold 87,000 frames.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - what the library tells a connection is asyncio's
import time
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State
from websockets.streams import StreamReader

from .sending_turns import SendingTurns
from .text_frames import take_texts

_MIN_PARSED_BYTES = 2**10  # at once; 512 frames at most
_MAX_PARSED_BYTES = 2**12  # while that is quick, as it is with frames that are not tiny
_QUICK_SECONDS = 0.0005  # chosen: 2048 tiny frames take ten times as long
_PARSING_SECONDS = 0.002  # then others have their turn
MAX_QUEUED_FRAMES = 256  # small ones: each time that the queue is full takes two turns of the loop
QUEUED_FRAMES = 16  # of any size, as is the library's default
_SMALL_BYTES = 256 * 2**10  # of all frames that are queued beyond that
_MAX_UNTAKEN_BYTES = 64 * 2**20  # more than a segment in one frame: answers to pings, not read


class Connection(ClientConnection):
    """Parses what arrives in small pieces, with turns of the loop between, whatever its shape.

    Nothing more is read while some of it waits, or while the library's queue of messages is full.
    Short texts are taken here; the library parses all other frames.
    """

    _is_full = _is_scheduled = _is_lost = _is_over = False
    _queued_bytes = 0
    """Parsed since the queue of messages was empty last, or no longer full."""
    _needed_bytes = 1
    """So many must wait before any is parsed: a short text waits until it is whole."""
    _is_in_message = False
    """Whether the library has the first frames of a message, and waits for the others."""
    _piece_bytes = _MIN_PARSED_BYTES
    _lost_by: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waiting = bytearray()
        self.turns = SendingTurns()  # its own until it is open; then those of its loop
        self.recv_messages.pause, self.recv_messages.resume = self._fill, self._drain

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._parse()

    def eof_received(self) -> None:
        if not self._waiting:  # else `connection_lost` follows, and says the same
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if not hasattr(self, "recv_messages"):
            return  # TLS failed behind a proxy: `connection_made` was never called
        self._is_lost, self._lost_by = True, exc  # reported once all that came before is parsed
        self._parse()

    def _fill(self) -> None:
        self._is_full = True

    def _drain(self) -> None:
        self._is_full = False
        self._queued_bytes = 0
        self._parse_soon()

    def _parse_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._parse_now)

    def _parse_now(self) -> None:
        self._is_scheduled = False
        self._parse()

    def send_data(self) -> None:
        """Write what there is at once: from Python 3.12 on, each write looks at all that wait."""
        writes = self.protocol.writes
        if self._is_lost or not writes:
            return
        if len(writes) > 1:
            ends = writes[-1:] if not writes[-1] else []  # half-closes the connection
            self.protocol.writes = [b"".join(writes), *ends]
        began = time.thread_time()
        super().send_data()
        self.turns.note_sent(time.thread_time() - began)

    @property
    def _may_parse(self) -> bool:
        if self._is_lost:
            return bool(self._waiting)
        return len(self._waiting) >= self._needed_bytes and not self._is_full

    def _parse(self) -> None:
        now = self.loop.time()
        until = now + _PARSING_SECONDS
        while self._may_parse and now < until:
            self._parse_piece()
            before, now = now, self.loop.time()
            is_quick = now - before < _QUICK_SECONDS
            self._piece_bytes = _MAX_PARSED_BYTES if is_quick else _MIN_PARSED_BYTES
        if self._may_parse:
            self._parse_soon()
        if not self._is_lost:
            self._control_reading()
        elif not (self._waiting or self._is_over):
            self._is_over = True
            super().connection_lost(self._lost_by)

    def _parse_piece(self) -> None:
        if self._is_between_frames and self._take_short_texts():
            return
        self._needed_bytes = 1
        piece = bytes(self._waiting[: self._piece_bytes])
        del self._waiting[: self._piece_bytes]
        self._set_queue_limit(len(piece))
        super().data_received(piece)

    @property
    def _is_between_frames(self) -> bool:
        """Whether the library waits for the first frame of a message.

        False while the connection closes, and where the library differs from those known: then it
        parses all.
        """
        if self._is_in_message or self.protocol.state is not State.OPEN:
            return False
        step: Any = self.protocol.parser
        while step.gi_yieldfrom is not None:
            step = step.gi_yieldfrom
        return step.gi_code is StreamReader.at_eof.__code__  # where it asks whether more comes

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._is_in_message = not event.fin

    def _take_short_texts(self) -> bool:
        """Take the texts that are next; gives whether one is next, even where it is not whole."""
        before = len(self._waiting)
        texts, self._needed_bytes = take_texts(self._waiting, self._piece_bytes)
        self._set_queue_limit(before - len(self._waiting))
        for text in texts:
            self.recv_messages.put(Frame(Opcode.TEXT, text))
        return bool(texts) or (self._needed_bytes > 1 and not self._is_lost)

    def take_waiting_text(self) -> str | None:
        """A whole text that waits to be received; None where something else is next, or nothing.

        Of many at once `recv` spends three times as long on each.
        """
        queue = self.recv_messages
        waiting = queue.frames.queue
        if not waiting or waiting[0].opcode is not Opcode.TEXT or not waiting[0].fin:
            return None
        try:
            text = str(waiting[0].data, "utf-8")
        except UnicodeDecodeError:
            return None  # `recv` closes the connection over it
        waiting.popleft()
        queue.maybe_resume()
        return text

    def _set_queue_limit(self, more_bytes: int) -> None:
        """Let many frames wait for their reader while they are small."""
        queue = self.recv_messages
        self._queued_bytes = (self._queued_bytes if queue.frames else 0) + more_bytes
        is_small = self._queued_bytes <= _SMALL_BYTES
        queue.high = MAX_QUEUED_FRAMES if is_small else QUEUED_FRAMES

    def _control_reading(self) -> None:
        if self.transport.get_write_buffer_size() > _MAX_UNTAKEN_BYTES:
            self._waiting.clear()
            self.transport.abort()
        elif self._may_parse or self._is_full:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
