"""Bytes that come in pieces, read as if all were there.

A parser is a generator: `yield from pieces.read(n)` pauses it when bytes run out and goes on when
more are fed, so it is written like one for files and cannot depend on how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Generator

_PIECE_BYTES = 1 << 18  # at a time: a copy of all that came would double what it costs


class Pieces:
    """What was fed and not yet read."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self.position = 0
        """Of the next byte to read, from the start of the stream."""

    def feed(self, data: bytes, parser: Generator[None, None, None]) -> None:
        """Take the next bytes and let the parser go on, as far as it comes.

        Raises:
            StopIteration: The parser failed before.
        """
        for start in range(0, len(data), _PIECE_BYTES):
            self._waiting += data[start : start + _PIECE_BYTES]
            next(parser)

    def first(self, place: int) -> Generator[None, None, int]:
        """The byte at a place from here, without passing it."""
        while len(self._waiting) <= place:
            yield
        return self._waiting[place]

    def read(self, size: int) -> Generator[None, None, bytes]:
        """The next `size` bytes."""
        while len(self._waiting) < size:
            yield
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self.position += size
        return data

    def skip(self, size: int) -> Generator[None, None, None]:
        """Pass over the next `size` bytes without keeping them."""
        while len(self._waiting) < size:
            size -= len(self._waiting)
            self.position += len(self._waiting)
            self._waiting.clear()
            yield
        del self._waiting[:size]
        self.position += size
