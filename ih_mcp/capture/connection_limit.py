"""How many pages may be connected, and which connection ends when a new one comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_CONNECTIONS = 32


@dataclass(eq=False, slots=True)
class ConnectionSlot:
    """One connection of a page."""

    abort: Callable[[], None]
    """Ends the connection at once."""
    has_key: bool = False
    """Whether its page showed a valid key."""


class ConnectionLimit:
    """The connections of pages; one without a key ends where a new one needs its slot."""

    def __init__(self) -> None:
        self._slots: list[ConnectionSlot] = []

    def acquire(self, abort: Callable[[], None]) -> ConnectionSlot | None:
        """A slot for a new connection; None where pages with a key have them all."""
        if len(self._slots) >= MAX_CONNECTIONS:
            unknown = next((slot for slot in self._slots if not slot.has_key), None)
            if unknown is None:
                return None
            self.release(unknown)
            unknown.abort()
        slot = ConnectionSlot(abort)
        self._slots.append(slot)
        return slot

    def release(self, slot: ConnectionSlot) -> None:
        """Give the slot of a connection that is over to others."""
        if slot in self._slots:
            self._slots.remove(slot)
