"""Ctrl+C in a command: the first one ends its work in order, the second one ends the program."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio


@asynccontextmanager
async def interruptible(stop: Callable[[], bool]) -> AsyncIterator[None]:
    """Call `stop` at Ctrl+C, or when the process is asked to end.

    Args:
        stop: Ends the work in order; gives False where that was asked before.
    """
    if sys.platform == "win32":
        yield
        return
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    if not stop():
                        raise KeyboardInterrupt

        tasks.start_soon(listen)
        yield
        tasks.cancel_scope.cancel()
