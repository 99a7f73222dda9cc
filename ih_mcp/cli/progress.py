"""How far long work is, on standard error: a line that changes on a terminal, else one at times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from rich.console import Console
from rich.status import Status

from .console import plain, print_line

_LOOK_SECONDS = 0.5
_LINE_SECONDS = 15.0  # chosen: short work says nothing into a log
_MIN_SHARE = 0.01  # below it the time left is a guess


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """Where work is now."""

    text: str
    share: float | None = None
    """How much of it is done, from 0 to 1; None where that is not known."""


def describe_step(step: ProgressStep, *, elapsed_seconds: float) -> str:
    """A step for a person, with percent and the time that is left."""
    if step.share is None:
        return step.text
    share = min(1.0, step.share)
    told = f"{step.text}: {int(100 * share)} %"
    if _MIN_SHARE <= share < 1.0:
        told += f", about {clock(elapsed_seconds * (1 - share) / share)} left"
    return told


def clock(seconds: float) -> str:
    """A duration, such as `1:20` or `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@asynccontextmanager
async def showing(console: Console, look: Callable[[], ProgressStep]) -> AsyncIterator[None]:
    """Show how far work is while this is open.

    Args:
        console: Of standard error; standard output belongs to the data.
        look: Says where the work is now; asked again and again.
    """
    async with anyio.create_task_group() as tasks:
        if console.is_terminal:
            with console.status(plain(look().text)) as status:
                tasks.start_soon(_update, status, look)
                yield
                tasks.cancel_scope.cancel()
        else:
            tasks.start_soon(_print_lines, console, look)
            yield
            tasks.cancel_scope.cancel()


async def _update(status: Status, look: Callable[[], ProgressStep]) -> None:
    began = anyio.current_time()
    while True:
        status.update(plain(describe_step(look(), elapsed_seconds=anyio.current_time() - began)))
        await anyio.sleep(_LOOK_SECONDS)


async def _print_lines(console: Console, look: Callable[[], ProgressStep]) -> None:
    began, shown = anyio.current_time(), ""
    while True:
        await anyio.sleep(_LINE_SECONDS)
        now = describe_step(look(), elapsed_seconds=anyio.current_time() - began)
        if now != shown:
            print_line(console, now)
            shown = now
