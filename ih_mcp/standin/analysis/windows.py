"""Sliding windows over media time: analysed at the same time, with results in order.

docs: launch blog: 8 s windows every 3 s, analysed concurrently, results strictly in media order,
redundant windows shed under backlog.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of media that is analysed as one."""

    index: int
    start_seconds: float
    end_seconds: float


class WindowGrid:
    """The windows that become complete as media time goes on.

    Args:
        min_seconds: The shortest last window worth analysing.
    """

    def __init__(
        self, *, window_seconds: float, hop_seconds: float, min_seconds: float = 0.0
    ) -> None:
        self._window_seconds = window_seconds
        self._hop_seconds = hop_seconds
        self._min_seconds = min_seconds
        self.windows = 0
        """How many windows there were so far."""

    def reach(self, until_seconds: float) -> list[Window]:
        """The windows that are complete now that all media before `until_seconds` is known."""
        complete = []
        while (window := self._at(self.windows)).end_seconds <= until_seconds:
            complete.append(window)
            self.windows += 1
        return complete

    def finish(self, end_seconds: float) -> list[Window]:
        """The remaining windows, now that the media has ended: at most one is shorter.

        It is left out where the one before reaches as far, and where it is too short.
        """
        windows = self.reach(end_seconds)
        start = self._at(self.windows).start_seconds
        covered = self._at(self.windows - 1).end_seconds if self.windows else 0.0
        if end_seconds > covered and end_seconds - start >= self._min_seconds:
            windows.append(Window(self.windows, start, end_seconds))
            self.windows += 1
        return windows

    def _at(self, index: int) -> Window:
        start = index * self._hop_seconds
        return Window(index, start, start + self._window_seconds)


@dataclass(slots=True, kw_only=True)
class Work:
    """How much work the analysis of one session took."""

    windows: int = 0
    """How many windows were analysed."""
    shed: int = 0
    """How many windows were not analysed."""
    seconds: float = 0.0
    """The time of analysis of all windows, without the time that they waited."""


@dataclass(slots=True)
class _Slot(Generic[T]):
    window: Window
    holds_place: bool
    done: anyio.Event = field(default_factory=anyio.Event)
    result: T | None = None


class WindowQueue(Generic[T]):
    """A queue of windows: a few are analysed at a time, a few wait, results come in order.

    `submit` makes the caller wait while too many are on their way, or sheds the window where
    shedding is on: a shed one keeps its place and has the result None. Made by `open_window_queue`.
    """

    def __init__(
        self,
        analyse: Callable[[Window], Awaitable[T]],
        tasks: TaskGroup,
        *,
        max_concurrent: int,
        max_waiting: int,
        sheds: bool,
        work: Work | None = None,
    ) -> None:
        self._work = work or Work()
        self._analyse = analyse
        self._tasks = tasks
        self._sheds = sheds
        self._places = anyio.Semaphore(max_concurrent + max_waiting)
        self._limiter = anyio.CapacityLimiter(max_concurrent)
        self._send, self._receive = anyio.create_memory_object_stream[_Slot[T]](10**6)

    async def submit(self, window: Window, *, sheds: bool = False) -> None:
        """Add a window to the queue; call it in ascending order.

        Args:
            sheds: Do not analyse this one.
        """
        slot: _Slot[T] = _Slot(window, holds_place=not sheds and await self._take_place())
        if slot.holds_place:
            self._tasks.start_soon(self._run, slot)
        else:
            self._work.shed += 1
            slot.done.set()
        with suppress(anyio.BrokenResourceError):  # the session was cancelled: nobody reads
            self._send.send_nowait(slot)

    def end(self) -> None:
        """No more windows come; `results` ends after the last."""
        self._send.close()

    async def results(self) -> AsyncIterator[tuple[Window, T | None]]:
        """The windows and their results, in order; None for a window that was not analysed."""
        async with self._receive:
            async for slot in self._receive:
                await slot.done.wait()
                yield slot.window, slot.result
                if slot.holds_place:  # only now, so that a slow reader holds up the queue
                    self._places.release()

    async def _take_place(self) -> bool:
        if not self._sheds:
            await self._places.acquire()
            return True
        try:
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    async def _run(self, slot: _Slot[T]) -> None:
        async with self._limiter:
            begun = anyio.current_time()
            slot.result = await self._analyse(slot.window)
            self._work.seconds += anyio.current_time() - begun
        self._work.windows += 1
        slot.done.set()


@asynccontextmanager
async def open_window_queue(
    analyse: Callable[[Window], Awaitable[T]],
    *,
    max_concurrent: int,
    max_waiting: int,
    sheds: bool = False,
    work: Work | None = None,
) -> AsyncIterator[WindowQueue[T]]:
    """Run a queue while this is open; leaving cancels unfinished windows.

    Args:
        analyse: Called in ascending order of the windows.
        max_waiting: How many may wait for their turn before `submit` waits or sheds.
        sheds: Shed a window that finds no place instead of waiting.
        work: Where to note what it takes.
    """
    async with anyio.create_task_group() as tasks:
        queue: WindowQueue[T] = WindowQueue(
            analyse,
            tasks,
            max_concurrent=max_concurrent,
            max_waiting=max_waiting,
            sheds=sheds,
            work=work,
        )
        with queue._send, queue._receive:  # noqa: SLF001 - its maker owns its streams
            yield queue
            tasks.cancel_scope.cancel()
