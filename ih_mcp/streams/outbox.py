"""What waits to be sent: in order, bounded in bytes; a full outbox makes its sender wait."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ih_mcp.media.clock_jumps import ClockJump
from ih_mcp.notifier import Notifier
from ih_mcp.wire.messages import Close, Configure

if TYPE_CHECKING:
    from ih_mcp.media.containers.container_types import TimeJump

DEFAULT_MAX_BYTES = 64 * 2**20
AWAY_SEGMENTS, AWAY_BYTES = 2, 8 * 2**20
"""The most that may wait while there is no connection."""


class Rebase(Protocol):
    """Writes a segment's media anew, for a session whose clock starts at `origin_seconds`."""

    def __call__(self, origin_seconds: float, *, headed: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RandomAccessPoint:
    """Where in a segment another API session can begin."""

    header: bytes = b""
    """What has to go before; nothing where the segment has it."""
    offset: int = 0
    """Bytes before it only continue what was sent before."""
    seconds: float | None = None
    """Media time there, of the stream; None where not known."""
    is_clean: bool = True
    """Whether every picture from there on can be shown; else a few need what came before."""


@dataclass(frozen=True, slots=True)
class QueuedSegment:
    """One segment on its way; seconds are media time of the stream, None where not known."""

    data: bytes
    start_seconds: float | None = None
    end_seconds: float | None = None
    entry: RandomAccessPoint | None = None
    """None where no session can begin with it."""
    rebased: Rebase | None = None
    """None where its clocks cannot be set."""
    counts_from_zero: bool = False
    """Without a clock of the stream's own: every session counts from 0."""
    clock_jumps: tuple[ClockJump, ...] = ()
    """Of the clock of its file; what they skip is left out, and not part of its times."""
    jump: TimeJump | None = None
    """Where its times do not go on from those before."""

    def split_at_access_point(self) -> tuple[QueuedSegment, QueuedSegment]:
        """What belongs to the session before, and what the next can begin with."""
        assert self.entry is not None  # who asks has looked
        entry = self.entry
        before = replace(
            self, data=self.data[: entry.offset], end_seconds=entry.seconds, entry=None
        )
        after = replace(
            self,
            data=self.data[entry.offset :],
            start_seconds=entry.seconds,
            entry=replace(entry, offset=0),
        )
        return before, after


Item = QueuedSegment | Configure | Close


class QueueBudget:
    """The bytes that wait in all outboxes of a process, and as many that may be sent again."""

    def __init__(self, max_bytes: float = math.inf) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0
        self.kept_bytes = 0
        """Of segments that were sent and may have to be sent again."""
        self._freed = Notifier()

    @property
    def keeps_too_much(self) -> bool:
        return self.kept_bytes > self._max_bytes

    def has_room(self, size: int) -> bool:
        return self.bytes + size <= self._max_bytes

    def add(self, size: int) -> None:
        """So many more wait; fewer, where it is negative."""
        self.bytes += size
        if size < 0:
            self._freed.notify()

    async def wait_until_freed(self) -> None:
        """Wait until some of them went."""
        await self._freed.wait()


class Outbox:
    """A queue of segments and steering messages; an item leaves it after it was written.

    Args:
        max_bytes: Of segments that wait.
        queued: What all outboxes share, so that many streams do not fill the memory.
        keeps_sent: Whether segments are kept after they were sent, until they are settled, so
            that `put_back` can have them sent again; the newest that `max_bytes` allow, and what
            all outboxes share.
    """

    def __init__(
        self,
        max_bytes: int = DEFAULT_MAX_BYTES,
        *,
        queued: QueueBudget | None = None,
        keeps_sent: bool = False,
    ) -> None:
        self._max_bytes = max_bytes
        self.queued = queued or QueueBudget()
        self._items: deque[Item] = deque()
        self._keeps_sent = keeps_sent
        self._sent: deque[QueuedSegment] = deque()
        self._sent_bytes = 0
        self.is_away = False
        """Whether there is no connection, so that only little more is taken."""
        self.bytes = 0
        """Of the segments that wait."""
        self._changed = Notifier()

    @property
    def segments(self) -> int:
        """How many segments wait."""
        return sum(isinstance(item, QueuedSegment) for item in self._items)

    @property
    def closes(self) -> bool:
        """Whether the end waits."""
        return any(isinstance(item, Close) for item in self._items)

    def has_room(self, size: int) -> bool:
        """Whether a segment of `size` bytes may go in now.

        An empty outbox takes any, so that no stream is starved by what others hold.
        """
        if self.is_away and self.segments >= AWAY_SEGMENTS:
            return False
        most = min(self._max_bytes, AWAY_BYTES) if self.is_away else self._max_bytes
        return not self.bytes or (self.bytes + size <= most and self.queued.has_room(size))

    def put(self, item: Item) -> None:
        """Append without waiting; for steering messages, and after `room`."""
        self._items.append(item)
        self._count(_size(item))
        self._changed.notify()

    def is_full_of_others(self, size: int) -> bool:
        """Whether it is what other streams hold that leaves no room for `size` bytes."""
        is_room_here = self.bytes + size <= self._max_bytes
        return bool(self.bytes) and is_room_here and not self.queued.has_room(size)

    async def wait_for_room(self, size: int) -> None:
        """Wait until a segment of `size` bytes fits."""
        while not self.has_room(size):
            if self.queued.has_room(size):
                await self._changed.wait()
            else:
                await self.queued.wait_until_freed()

    def set_away(self, is_away: bool) -> None:
        """There is a connection from now on, or there is none."""
        self.is_away = is_away
        self._changed.notify()

    async def head(self) -> Item:
        """The oldest item, which stays until `written`; waits for one."""
        while not self._items:
            await self._changed.wait()
        return self._items[0]

    def remove_written(self) -> None:
        """The oldest item is on the wire: let go of it."""
        item = self.leave_out()
        if self._keeps_sent and isinstance(item, QueuedSegment):
            self._sent.append(item)
            self._count_kept(_size(item))
            while self._sent and (self._sent_bytes > self._max_bytes or self.queued.keeps_too_much):
                self._forget()

    def leave_out(self) -> Item:
        """The oldest item goes without being sent."""
        item = self._items.popleft()
        self._count(-_size(item))
        self._changed.notify()
        return item

    def split_head(self) -> None:
        """Part the oldest segment where a session can begin: what is before it goes out alone."""
        item = self._items.popleft()
        assert isinstance(item, QueuedSegment)
        self._items.extendleft(reversed(item.split_at_access_point()))

    def forget_settled(self, until_seconds: float) -> None:
        """Sent segments that end by then need not be sent again."""
        while self._sent and (self._sent[0].end_seconds or math.inf) <= until_seconds:
            self._forget()

    def put_back(self) -> int:
        """What was sent and kept waits again, before all else; gives how many segments."""
        count = len(self._sent)
        while self._sent:
            self._items.appendleft(self._sent.pop())
        self._count(self._sent_bytes)
        self._count_kept(-self._sent_bytes)
        self._changed.notify()
        return count

    def _count(self, size: int) -> None:
        self.bytes += size
        self.queued.add(size)

    def _count_kept(self, size: int) -> None:
        self._sent_bytes += size
        self.queued.kept_bytes += size

    def _forget(self) -> None:
        self._count_kept(-_size(self._sent.popleft()))

    async def changed(self) -> None:
        """Wait for the next item to come or go."""
        await self._changed.wait()

    def clear(self) -> int:
        """Throw away what waits; gives the number of segments that were never sent."""
        unsent = self.segments
        self._items.clear()
        self._sent.clear()
        self._count(-self.bytes)
        self._count_kept(-self._sent_bytes)
        self._changed.notify()
        return unsent


def _size(item: Item) -> int:
    return len(item.data) if isinstance(item, QueuedSegment) else 0
