"""One page at a time records into a stream; a seat knows who, and how far their chunks came.

A recording is what one MediaRecorder gives from its start to its stop: its chunks are numbered
from 0, and joined they are one container stream. A page that lost its connection sends again
what was not confirmed; what was taken before is known by its number and not taken twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ih_mcp.errors import CallerError


@dataclass(slots=True)
class Seat:
    """Who records into one stream."""

    page: str = ""
    """The page that records; a name it gave itself. Empty while the seat is free."""
    recording: str = ""
    """The recording whose chunks came last."""
    next_seq: int = 0
    """Of that recording."""
    ended: set[str] = field(default_factory=set)
    """Recordings before that one; nothing of them is taken any more."""
    _leave: Callable[[str], None] | None = None

    def claim(self, page: str, leave: Callable[[str], None], *, takes_over: bool) -> None:
        """Sit down; a page that comes back takes its own place again.

        Args:
            leave: Called, with the reason, when another one takes the seat.

        Raises:
            CallerError: Another page records (`busy`).
        """
        if self.page and self.page != page and not takes_over:
            raise CallerError(
                "another page records into this stream",
                code="busy",
                help="Stop there first, or record here instead.",
            )
        before, self._leave = self._leave, leave
        is_same, self.page = self.page == page, page
        if before is not None and before != leave:
            before("came_back" if is_same else "taken_over")

    def free(self, leave: Callable[[str], None]) -> None:
        """Stand up, if it is still this one who sits."""
        if self._leave == leave:
            self.page, self._leave = "", None

    def expects(self, recording: str, seq: int) -> bool:
        """Whether this chunk is the next one; False where it was taken before.

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

    def took(self, recording: str, seq: int) -> None:
        """The chunk is in the stream."""
        if recording != self.recording:
            self.ended.add(self.recording)
            self.recording = recording
        self.next_seq = seq + 1
