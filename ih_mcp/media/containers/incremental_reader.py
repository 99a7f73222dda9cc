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
        self._waiting = bytearray()
        self._to_skip = 0
        self.position = 0
        """Of the next byte to read, from the start of the stream."""

    def copy(self) -> IncrementalReader:
        """Another one that goes on from here."""
        twin = IncrementalReader()
        twin._waiting[:] = self._waiting
        twin._to_skip, twin.position = self._to_skip, self.position
        return twin

    def feed(self, data: bytes) -> Iterator[None]:
        """Take the next bytes; after each step, read as far as they go."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            passed = min(self._to_skip, len(piece))
            self._to_skip -= passed
            self.position += passed
            self._waiting += piece[passed:] if passed else piece
            yield

    def waiting(self) -> bytes:
        """All that was fed and not yet read, without passing it."""
        return bytes(self._waiting)

    def peek(self, start: int, end: int) -> bytes:
        """The bytes between two places from here, without passing them; fewer where they lack."""
        return bytes(self._waiting[start:end])

    def has(self, size: int) -> bool:
        """Whether so many bytes can be read."""
        return len(self._waiting) >= size

    def read(self, size: int) -> bytes:
        """The next `size` bytes, once it `has` them."""
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self.position += size
        return data

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes, also those still to come, without keeping them."""
        passed = min(size, len(self._waiting))
        del self._waiting[:passed]
        self.position += passed
        self._to_skip = size - passed
