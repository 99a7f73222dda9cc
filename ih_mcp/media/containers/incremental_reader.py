"""Bytes that come in pieces, read as if all were there.

What is known between two pieces is plain values, so that a reader can be copied: the copy looks at
bytes that may yet be refused, and the original has not seen them.
"""

from __future__ import annotations

from collections.abc import Iterator

_PIECE_BYTES = 1 << 18  # at a time: a copy of all that came would double what it costs


class IncrementalReader:
    """What was fed and not yet read."""

    def __init__(self) -> None:
        self._waiting: bytes | bytearray = b""
        """The piece that came last, behind what was left of those before it."""
        self._at = 0
        """Of the next byte to read in `_waiting`; behind its end while bytes are passed over."""
        self._begins = 0
        """Of `_waiting`, from the start of the stream."""

    @property
    def position(self) -> int:
        """Of the next byte to read, from the start of the stream; no further than bytes came."""
        return self._begins + min(self._at, len(self._waiting))

    def copy(self) -> IncrementalReader:
        """Another one that goes on from here."""
        twin = IncrementalReader()
        twin._waiting = bytes(self._waiting)
        twin._at, twin._begins = self._at, self._begins
        return twin

    def feed(self, data: bytes) -> Iterator[None]:
        """Take the next bytes; after each step, read as far as they go."""
        for start in range(0, len(data), _PIECE_BYTES):
            self._add(data[start : start + _PIECE_BYTES])
            yield

    def _add(self, piece: bytes) -> None:
        passed = min(self._at, len(self._waiting))
        self._begins += passed
        self._at -= passed
        if passed == len(self._waiting):
            self._waiting = piece  # as it came: nearly all is media that is passed over
            return
        if isinstance(self._waiting, bytes):
            self._waiting = bytearray(memoryview(self._waiting)[passed:])
        else:
            del self._waiting[:passed]
        self._waiting += piece

    def waiting(self) -> tuple[bytes, int]:
        """What was fed and not yet read, without passing it, and where in these bytes it begins.

        That is at their end where nothing waits, or behind.
        """
        if isinstance(self._waiting, bytes):
            return self._waiting, self._at
        return bytes(self._waiting[self._at :]), max(0, self._at - len(self._waiting))

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, without passing them; fewer where they lack."""
        return bytes(self._waiting[self._at : self._at + size])

    def has(self, size: int) -> bool:
        """Whether so many bytes can be read."""
        return len(self._waiting) - self._at >= size

    def read(self, size: int) -> bytes:
        """The next `size` bytes, once it `has` them."""
        data = self.peek(size)
        self._at += size
        return data

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes, also those still to come, without keeping them."""
        self._at += size
