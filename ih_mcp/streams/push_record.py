"""What a caller pushed into one stream, by number: so a repeat is known from a new segment."""

from __future__ import annotations

import hashlib
from collections import deque

from anyio import to_thread

from ih_mcp.errors import CallerError

_REMEMBERED = 1024  # chosen: some 100 bytes each; a quarter of an hour of 1 s segments
_SMALL_BYTES = 1 << 20  # hashed in a millisecond


class Pushes:
    """The numbers of the segments that were kept; each takes the next one, given or not."""

    def __init__(self) -> None:
        self.next_seq = 1
        self.bytes = 0
        """Of all that were kept."""
        self._digests: deque[bytes] = deque(maxlen=_REMEMBERED)
        """Of the newest."""

    def require_no_gap(self, seq: int) -> None:
        """See to it that no segment before this number is missing.

        Raises:
            CallerError: One is (`seq_gap`).
        """
        if seq > self.next_seq:
            raise CallerError(
                f"seq {seq} came, but {self.next_seq} is next",
                code="seq_gap",
                help=f"Push seq {self.next_seq} first, then this one again; it was not kept.",
                facts={"expected_seq": self.next_seq},
            )

    def is_repeat(self, seq: int, digest: bytes) -> bool:
        """Whether this very segment was kept under this number; False where the number is next.

        Raises:
            CallerError: The number was taken by other bytes (`seq_taken`).
        """
        if seq == self.next_seq:
            return False
        place = len(self._digests) - (self.next_seq - seq)
        if place >= 0 and self._digests[place] == digest:
            return True
        why = "with other bytes" if place >= 0 else "so long ago that it cannot be compared"
        raise CallerError(
            f"seq {seq} was pushed before, {why}; {self.next_seq} is next",
            code="seq_taken",
            help=f"If this is a new segment, push it as seq {self.next_seq}; it was not kept.",
        )

    def is_like_last(self, digest: bytes) -> bool:
        """Whether the segment that was kept last has the same bytes."""
        return bool(self._digests) and self._digests[-1] == digest

    def keep(self, digest: bytes, size: int) -> None:
        """The next segment is in the stream."""
        self._digests.append(digest)
        self.next_seq += 1
        self.bytes += size


async def digest_of(data: bytes) -> bytes:
    """What tells these bytes from others; a large segment does not hold up the loop."""
    if len(data) <= _SMALL_BYTES:
        return _digest(data)
    return await to_thread.run_sync(_digest, data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
