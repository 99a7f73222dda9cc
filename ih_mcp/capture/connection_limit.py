"""How many pages may be connected, and which has to go where a new one comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_PAGES = 32


@dataclass(eq=False, slots=True)
class Place:
    """One connection of a page."""

    abort: Callable[[], None]
    """Ends the connection at once."""
    is_known: bool = False
    """Whether it has shown a key."""


class Places:
    """The connections of pages; those without a key make room for new ones."""

    def __init__(self) -> None:
        self._taken: list[Place] = []

    def take(self, abort: Callable[[], None]) -> Place | None:
        """A place for a new connection; None where pages with a key have them all."""
        if len(self._taken) >= MAX_PAGES:
            unknown = next((place for place in self._taken if not place.is_known), None)
            if unknown is None:
                return None
            self.free(unknown)
            unknown.abort()
        place = Place(abort)
        self._taken.append(place)
        return place

    def free(self, place: Place) -> None:
        """The connection is over."""
        if place in self._taken:
            self._taken.remove(place)
