"""The queue of segments that wait to be sent; a full outbox makes its sender wait."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ih_mcp.notifier import Notifier
from ih_mcp.wire.messages import Close, Configure

if TYPE_CHECKING:  # the readers of containers load with the first media
    from ih_mcp.media.clock_jumps import ClockJump
    from ih_mcp.media.containers.container_types import TimeJump

DEFAULT_MAX_BYTES = 64 * 2**20
AWAY_SEGMENTS, AWAY_BYTES = 2, 8 * 2**20
"""The most segments and bytes that may wait while there is no connection."""


class Rebase(Protocol):
    """Rewrites the media of a segment for a session whose clock starts at `origin_seconds`.

    `headed` is the first one there: it gets a header, and begins at the segment's entry.
    """

    def __call__(self, origin_seconds: float, *, headed: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RandomAccessPoint:
    """Where in a segment another API session can begin."""

    header: bytes = b""
    """The container header to put before it; empty where the segment has one."""
    offset: int = 0
    """Where it is in the segment; the bytes before it only continue the segment before."""
    seconds: float | None = None
    """Media time of the stream there; None where it is not known."""
    is_clean: bool = True
    """Whether every picture from there on can be decoded; else a few need the media before."""


@dataclass(frozen=True, slots=True)
class QueuedSegment:
    """One segment to send; seconds are media time of the stream, None where it is not known."""

    data: bytes
    start_seconds: float | None = None
    end_seconds: float | None = None
    entry: RandomAccessPoint | None = None
    """Where another session can begin in it; None where none can."""
    rebased: Rebase | None = None
    """Writes the segment with another clock; None where that cannot be done."""
    counts_from_zero: bool = False
    """Whether every session counts its media from 0, as the media has no clock of its own."""
    clock_jumps: tuple[ClockJump, ...] = ()
    """The jumps in the clock of its file; the time they skip is left out of its times."""
    jump: TimeJump | None = None
    """Set where its times do not continue those of the segment before."""

    def split_at_access_point(self) -> tuple[QueuedSegment, QueuedSegment]:
        """Split it into the end of one session and the beginning of the next."""
        assert self.entry is not None  # the caller has checked it
        entry, rebased = self.entry, self.rebased
        before = replace(
            self,
            data=self.data[: entry.offset],
            end_seconds=entry.seconds,
            entry=None,
            rebased=rebased and partial(_rebased_before, rebased, entry.offset),
        )
        after = replace(
            self,
            data=self.data[entry.offset :],
            start_seconds=entry.seconds,
            entry=replace(entry, offset=0),
            rebased=rebased and partial(_rebased_behind, rebased, entry.offset),
        )
        return before, after


def _rebased_before(
    rebased: Rebase,
    offset: int,
    origin_seconds: float,
    *,
    headed: bool,  # noqa: ARG001 - never: no session can begin with it
) -> bytes:
    return rebased(origin_seconds, headed=False)[:offset]


def _rebased_behind(rebased: Rebase, offset: int, origin_seconds: float, *, headed: bool) -> bytes:
    media = rebased(origin_seconds, headed=headed)
    return media if headed else media[offset:]


Item = QueuedSegment | Configure | Close


class QueueBudget:
    """Bounds the bytes that wait in all outboxes of a process, and those kept to be sent again."""

    def __init__(self, max_bytes: float = math.inf) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0
        self.kept_bytes = 0
        """The size of segments that were sent and may have to be sent again."""
        self._freed = Notifier()

    @property
    def keeps_too_much(self) -> bool:
        return self.kept_bytes > self._max_bytes

    def has_room(self, size: int) -> bool:
        return self.bytes + size <= self._max_bytes

    def add(self, size: int) -> None:
        """Count that so many more bytes wait; fewer, where the size is negative."""
        self.bytes += size
        if size < 0:
            self._freed.notify()

    async def wait_until_freed(self) -> None:
        """Wait until fewer bytes wait."""
        await self._freed.wait()


class Outbox:
    """A queue of segments and steering messages; an item leaves it after it was written.

    Args:
        max_bytes: The most bytes of segments that may wait.
        queued: The bound that all outboxes share, so that many streams do not fill the memory.
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
        """Whether there is no connection, so that only few segments may wait."""
        self.bytes = 0
        """The size of the segments that wait."""
        self._changed = Notifier()

    @property
    def segments(self) -> int:
        """How many segments wait."""
        return sum(isinstance(item, QueuedSegment) for item in self._items)

    @property
    def closes(self) -> bool:
        """Whether the request to end the session waits."""
        return any(isinstance(item, Close) for item in self._items)

    def has_room(self, size: int) -> bool:
        """Whether a segment of `size` bytes may be put now.

        An empty outbox accepts any segment, so that other streams cannot starve this one.
        """
        if self.is_away and self.segments >= AWAY_SEGMENTS:
            return False
        most = min(self._max_bytes, AWAY_BYTES) if self.is_away else self._max_bytes
        return not self.bytes or (self.bytes + size <= most and self.queued.has_room(size))

    def put(self, item: Item) -> None:
        """Append an item at once: a steering message, or a segment after `wait_for_room`."""
        self._items.append(item)
        self._count(_size(item))
        self._changed.notify()

    def is_full_of_others(self, size: int) -> bool:
        """Whether the segments of other streams leave no room for `size` bytes."""
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
        """Set whether the connection is down."""
        self.is_away = is_away
        self._changed.notify()

    async def head(self) -> Item:
        """Wait for the oldest item; it stays until `remove_written`."""
        while not self._items:
            await self._changed.wait()
        return self._items[0]

    def remove_written(self) -> None:
        """Remove the oldest item, which was written to the connection."""
        item = self.leave_out()
        if self._keeps_sent and isinstance(item, QueuedSegment):
            self._sent.append(item)
            self._count_kept(_size(item))
            while self._sent and (self._sent_bytes > self._max_bytes or self.queued.keeps_too_much):
                self._forget()

    def leave_out(self) -> Item:
        """Remove the oldest item without sending it."""
        item = self._items.popleft()
        self._count(-_size(item))
        self._changed.notify()
        return item

    def leave_out_segments(self) -> int:
        """Remove all segments, and keep what steers the session; gives how many there were."""
        count = self.segments
        self._items = deque(item for item in self._items if not isinstance(item, QueuedSegment))
        self._count(-self.bytes)
        self._changed.notify()
        return count

    def split_head(self) -> None:
        """Split the oldest segment where a session can begin; the part before it is sent alone."""
        item = self._items.popleft()
        assert isinstance(item, QueuedSegment)
        self._items.extendleft(reversed(item.split_at_access_point()))

    def forget_settled(self, until_seconds: float) -> None:
        """Forget the sent segments that end by then: nothing asks for them again."""
        while self._sent and (self._sent[0].end_seconds or math.inf) <= until_seconds:
            self._forget()

    def put_back(self) -> int:
        """Queue the kept sent segments again, before all others; gives how many there are."""
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
        """Wait until an item is added or removed."""
        await self._changed.wait()

    def clear(self) -> int:
        """Remove all items; gives the number of segments that were never sent."""
        unsent = self.segments
        self._items.clear()
        self._sent.clear()
        self._count(-self.bytes)
        self._count_kept(-self._sent_bytes)
        self._changed.notify()
        return unsent


def _size(item: Item) -> int:
    return len(item.data) if isinstance(item, QueuedSegment) else 0
