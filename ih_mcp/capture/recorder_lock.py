"""Which page may record into a stream, and which chunk it must send next.

A recording is what one MediaRecorder gives from its start to its stop: its chunks are numbered
from 0, and joined they are one container stream. A page that lost its connection sends again
what was not confirmed; a chunk that is already in the stream is recognised by its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ih_mcp.errors import CallerError


@dataclass(slots=True)
class RecorderLock:
    """Which browser page may record into a stream, and which chunk it must send next."""

    holder: str = ""
    """The page that records, by the name it gave itself; empty while nobody records."""
    recording: str = ""
    """The recording of the last chunk."""
    next_seq: int = 0
    """The number of the next chunk of that recording."""
    ended: set[str] = field(default_factory=set)
    """Recordings before that one; their chunks are ignored."""
    _on_lost: Callable[[str], None] | None = None

    def acquire(self, page: str, on_lost: Callable[[str], None], *, takes_over: bool) -> None:
        """Acquire the lock; a page that comes back acquires its own lock again.

        Args:
            on_lost: Called with the reason when another connection takes the lock.

        Raises:
            CallerError: Another page records (`busy`).
        """
        if self.holder and self.holder != page and not takes_over:
            raise CallerError(
                "another page records into this stream",
                code="busy",
                help="Stop there first, or record here instead.",
            )
        before, self._on_lost = self._on_lost, on_lost
        is_same, self.holder = self.holder == page, page
        if before is not None and before != on_lost:
            before("came_back" if is_same else "taken_over")

    def release(self, on_lost: Callable[[str], None]) -> None:
        """Release the lock if this connection still holds it."""
        if self._on_lost == on_lost:
            self.holder, self._on_lost = "", None

    def expects(self, recording: str, seq: int) -> bool:
        """Whether this chunk is the next one; False where it is in the stream already.

        Raises:
            CallerError: Chunks before it are missing (`seq_gap`).
        """
        if recording in self.ended:
            return False
        wanted = self.next_seq if recording == self.recording else 0
        if seq > wanted:
            raise CallerError(
                f"chunk {seq} came, but {wanted} is next",
                code="seq_gap",
                help="Send the chunks of a recording in order, from 0.",
                facts={"expected_seq": wanted},
            )
        return seq == wanted

    def confirm(self, recording: str, seq: int) -> None:
        """Note that the chunk is in the stream."""
        if recording != self.recording:
            self.ended.add(self.recording)
            self.recording = recording
        self.next_seq = seq + 1
