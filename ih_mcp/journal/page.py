"""What a reader gets at once: entries after a cursor."""

from __future__ import annotations

from dataclasses import dataclass

from .store import Entry


@dataclass(frozen=True, slots=True)
class Page:
    """Entries after a cursor, and where they stand in the whole."""

    entries: tuple[Entry, ...]
    cursor: int
    """Where to read on: at the newest of these entries, or at the newest one of the stream."""
    last: int
    """The newest cursor there is."""
    ended: bool
    """Whether the stream is over, so that nothing can follow `last`."""

    @property
    def is_newest(self) -> bool:
        """Whether there is nothing to read behind these entries yet."""
        return self.cursor >= self.last

    @property
    def is_final(self) -> bool:
        """Whether nothing follows these entries, now or later."""
        return self.ended and self.is_newest
