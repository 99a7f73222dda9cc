"""How the media of a stream continues in another API session.

A session that is not the stream's first begins with a container header and a key frame. Segments
of a file are written anew, so that their clocks start at 0 there; chunks of a recorder go out as
they came, with the recorder's clock.
"""

from __future__ import annotations

from .outbox import QueuedSegment


class Splice:
    """Prepares the segments of a stream for one leg."""

    def __init__(self, *, is_first: bool) -> None:
        self._is_first = is_first
        self.is_begun = False
        """Whether the leg has media."""
        self.begins_seconds: float | None = None
        """Media time of the stream at which the leg begins; None where it is not known yet."""
        self.is_rebased = False
        """Whether the clock of the leg starts at 0 instead of going on."""

    @property
    def shift_seconds(self) -> float:
        """What to add to media times of the session to get those of the stream."""
        return (self.begins_seconds or 0.0) if self.is_rebased else 0.0

    def media_of(self, item: QueuedSegment) -> bytes | None:
        """The bytes to send for a segment; None where the session cannot begin with it."""
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
