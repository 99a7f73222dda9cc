"""How the segments of a stream go on in another API session.

A session that is not the stream's first begins with a container header and a key frame. Segments
of a file are written anew, so that their clocks start at 0 there; chunks of a recorder go out as
they came, with the recorder's clock.
"""

from __future__ import annotations

from .outbox import QueuedSegment


class Splice:
    """What one leg makes of the stream's segments."""

    def __init__(self, *, is_first: bool) -> None:
        self._is_first = is_first
        self.is_begun = False
        """Whether media was given."""
        self.begins_seconds: float | None = None
        """Where in the stream's media it begins; None where that is not known yet."""
        self.is_rebased = False
        """Whether its clock starts at 0, and not where the stream's clock is."""

    @property
    def shift_seconds(self) -> float:
        """What to add to media times of the session to get those of the stream."""
        return (self.begins_seconds or 0.0) if self.is_rebased else 0.0

    def media_of(self, item: QueuedSegment) -> bytes | None:
        """The bytes to send; None where a session cannot begin with it, so that it is left out."""
        if not self.is_begun:
            return self._begin(item)
        if item.rebased and self.is_rebased:
            return item.rebased(self.shift_seconds, headed=False)
        return item.data

    def _begin(self, item: QueuedSegment) -> bytes | None:
        if self._is_first:
            self.is_begun, self.begins_seconds = True, item.start_seconds
            return item.data
        entry = item.entry
        if entry is None:
            return None
        self.is_begun = True
        self.begins_seconds = entry.seconds if entry.seconds is not None else item.start_seconds
        if item.rebased and self.begins_seconds is not None:
            self.is_rebased = True
            return item.rebased(self.begins_seconds, headed=True)
        self.is_rebased = item.counts_from_zero
        return entry.header + item.data[entry.offset :]
