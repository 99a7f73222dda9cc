"""How long the event loop is held: what the process worked between two turns of it."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import anyio

_TICK_SECONDS = 0.001


@dataclass(slots=True)
class Hold:
    """The longest one. CPU is measured, not the clock: others use the machine too."""

    loop_seconds: float = 0.0
    """Of the loop's own thread."""
    process_seconds: float = 0.0
    """Of all threads; one that keeps the interpreter holds the loop as well.

    Where the system counts it (Linux), without the time in which the loop's thread was ready to run
    and got no processor: what others of this process do meanwhile says nothing of us.
    """
    is_fair: bool = False
    """Whether the waits for a processor could be left out of it."""
    turns: int = 0
    turned: anyio.Event = field(default_factory=anyio.Event)
    """Set by the next turn."""

    def restart(self) -> None:
        """Forget what was found; the next turn counts from here."""
        self.loop_seconds = self.process_seconds = 0.0

    async def next_turn(self) -> None:
        """Wait until what was done before has been measured."""
        await self.turned.wait()

    def __str__(self) -> str:
        return (
            f"{self.loop_seconds * 1000:.0f} ms own CPU, {self.process_seconds * 1000:.0f} in all"
        )


@asynccontextmanager
async def holding() -> AsyncIterator[Hold]:
    """Measure while the block runs, without what the tests before left in memory."""
    found = Hold()
    gc.collect()
    gc.freeze()  # else the collector goes through all of a long test run now and then

    async def tick(waited: Callable[[], float]) -> None:
        loop, process = time.thread_time(), time.process_time() - waited()
        while True:
            await anyio.sleep(_TICK_SECONDS)
            found.turns += 1
            loop, before = time.thread_time(), loop
            found.loop_seconds = max(found.loop_seconds, loop - before)
            process, before = time.process_time() - waited(), process
            found.process_seconds = max(found.process_seconds, process - before)
            found.turned.set()
            found.turned = anyio.Event()

    with _waits(found) as waited:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick, waited)
            await anyio.sleep(_TICK_SECONDS)
            yield found
            await anyio.sleep(_TICK_SECONDS)  # the block's own last turn counts too
            tasks.cancel_scope.cancel()


@contextmanager
def _waits(found: Hold) -> Iterator[Callable[[], float]]:
    """Gives how many seconds this thread was ready to run and got no processor.

    0 where the system does not count them: no such file, or no time slice in it.
    """
    try:
        counts = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
    except OSError:
        yield lambda: 0.0
        return
    try:
        found.is_fair = int(os.pread(counts, 100, 0).split()[2]) > 0
        yield lambda: int(os.pread(counts, 100, 0).split()[1]) / 1e9
    finally:
        os.close(counts)
