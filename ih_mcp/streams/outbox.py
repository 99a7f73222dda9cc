"""What waits to be sent: in order, bounded in bytes; a full outbox makes its sender wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ih_mcp.bell import Bell
from ih_mcp.wire.messages import Close, Configure

DEFAULT_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One segment on its way; seconds are media time of the leg, None where not known."""

    data: bytes
    start_seconds: float | None = None
    end_seconds: float | None = None


Item = Outgoing | Configure | Close


class Outbox:
    """A queue of segments and steering messages; an item leaves it after it was written."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self.bytes = 0
        """Of the segments that wait."""
        self._changed = Bell()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def segments(self) -> int:
        """How many segments wait."""
        return sum(isinstance(item, Outgoing) for item in self._items)

    def has_room(self, size: int) -> bool:
        """Whether a segment of `size` bytes may go in now; an empty outbox takes any."""
        return not self.bytes or self.bytes + size <= self._max_bytes

    def put(self, item: Item) -> None:
        """Append without waiting; for steering messages, and after `room`."""
        self._items.append(item)
        self.bytes += _size(item)
        self._changed.ring()

    async def room(self, size: int) -> None:
        """Wait until a segment of `size` bytes fits."""
        while not self.has_room(size):
            await self._changed.wait()

    async def head(self) -> Item:
        """The oldest item, which stays until `written`; waits for one."""
        while not self._items:
            await self._changed.wait()
        return self._items[0]

    def written(self) -> None:
        """The oldest item is on the wire: let go of it."""
        self.bytes -= _size(self._items.popleft())
        self._changed.ring()

    async def changed(self) -> None:
        """Wait for the next item to come or go."""
        await self._changed.wait()

    def clear(self) -> int:
        """Throw away what waits; gives the number of segments that were never sent."""
        unsent = self.segments
        self._items.clear()
        self.bytes = 0
        self._changed.ring()
        return unsent


def _size(item: Item) -> int:
    return len(item.data) if isinstance(item, Outgoing) else 0
