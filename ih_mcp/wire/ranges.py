"""Sets of media time: stretches, and what is missing between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .spans import MediaRange


class Ranges:
    """A set of media seconds, as ascending stretches that do not touch.

    Args:
        join_seconds: Stretches closer than this count as one.
    """

    def __init__(self, ranges: Iterable[MediaRange] = (), *, join_seconds: float = 0.0) -> None:
        self._ranges: list[MediaRange] = []
        self._join_seconds = join_seconds
        for item in ranges:
            self.add(item.start_seconds, item.end_seconds)

    def __iter__(self) -> Iterator[MediaRange]:
        return iter(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Ranges({self._ranges!r})"

    @property
    def seconds(self) -> float:
        """How much time there is in all."""
        return sum(item.end_seconds - item.start_seconds for item in self)

    def add(self, start_seconds: float, end_seconds: float) -> None:
        """Add a stretch; what it touches grows together. Mostly called near the end."""
        if end_seconds <= start_seconds:
            return
        index = len(self._ranges)
        while index and self._ranges[index - 1].end_seconds + self._join_seconds >= start_seconds:
            index -= 1
        last = index
        while (
            last < len(self._ranges)
            and self._ranges[last].start_seconds - self._join_seconds <= end_seconds
        ):
            last += 1
        touched = self._ranges[index:last]
        start = min([start_seconds, *(item.start_seconds for item in touched)])
        end = max([end_seconds, *(item.end_seconds for item in touched)])
        self._ranges[index:last] = [MediaRange(start, end)]

    def within(self, start_seconds: float, end_seconds: float) -> Ranges:
        """The part inside a stretch."""
        return Ranges(
            MediaRange(max(item.start_seconds, start_seconds), min(item.end_seconds, end_seconds))
            for item in self
            if item.end_seconds > start_seconds and item.start_seconds < end_seconds
        )

    def missing(self, start_seconds: float, end_seconds: float) -> Ranges:
        """The part of a stretch that is not here."""
        left = Ranges()
        at = start_seconds
        for item in self.within(start_seconds, end_seconds):
            left.add(at, item.start_seconds)
            at = item.end_seconds
        left.add(at, end_seconds)
        return left
