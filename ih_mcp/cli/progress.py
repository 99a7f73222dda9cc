"""How far long work is, on standard error: a line that changes on a terminal, else one at times.

Work that is over at once shows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import anyio
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from ih_mcp.errors import unwrap_single_error

from .console import plain, print_line

_QUIET_SECONDS = 1.0  # chosen: a line that is gone at once only disturbs
_LOOK_SECONDS = 0.5
_LINE_SECONDS = 15.0  # chosen: short work says nothing into a log
READING = "reading the journal"
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
    line = f"{step.text}: {int(100 * share)} %"
    if _MIN_SHARE <= share < 1.0:
        line += f", about {clock(elapsed_seconds * (1 - share) / share)} left"
    return line


def clock(seconds: float) -> str:
    """A duration, such as `1:20` or `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ReadProgress:
    """How far the messages of a stream, or of several, have been read.

    Args:
        then: What follows once all are read.
    """

    def __init__(self, text: str = READING, *, streams: int = 1, then: str = "") -> None:
        self._text, self._streams, self._then = text, streams, then
        self._read = 0
        self._share: float | None = None

    def note(self, cursor: int, last: int) -> None:
        """Note the newest cursor of a stream that was read, and the newest there is."""
        self._share = cursor / last if last else 1.0

    def note_whole(self) -> None:
        """Note that a stream was read to its end."""
        self._read, self._share = self._read + 1, 0.0

    def step(self) -> ProgressStep:
        if self._share is None:
            return ProgressStep(self._text)
        share = (self._read + self._share) / self._streams
        if self._then and share >= 1:
            return ProgressStep(self._then)
        return ProgressStep(self._text, share)


def doing(console: Console, text: str) -> AbstractAsyncContextManager[None]:
    """Show what is done while this is open, where nobody knows how far it is."""
    return showing(console, lambda: ProgressStep(text))


@asynccontextmanager
async def showing(console: Console, look: Callable[[], ProgressStep]) -> AsyncIterator[None]:
    """Show how far work is while this is open.

    Args:
        console: Of standard error; standard output belongs to the data.
        look: Says where the work is now; asked again and again.
    """
    line = _Line(console) if console.is_terminal else None
    token = _LINE.set(line)
    try:
        with unwrap_single_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(line.change if line else partial(_print_lines, console), look)
                yield
                tasks.cancel_scope.cancel()
    finally:
        _LINE.reset(token)
        if line:
            line.hide()


@contextmanager
def hidden() -> Iterator[None]:
    """Take the line of this task away, as while a person types in its place."""
    line = _LINE.get()
    if line:
        line.hide()
    yield
    if line:
        line.may_be_seen = True


def hidden_from_output() -> AbstractContextManager[None]:
    """Take the line away where standard output is the same terminal."""
    return hidden() if sys.stdout.isatty() else nullcontext()


class _Line:
    """The line on a terminal."""

    def __init__(self, console: Console) -> None:
        self._spinner = Spinner("dots")
        self._live = Live(
            self._spinner,
            console=console,
            refresh_per_second=12.5,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else what is printed for a pipe would come here
        )
        self.may_be_seen = True

    async def change(self, look: Callable[[], ProgressStep]) -> None:
        began = anyio.current_time()
        await anyio.sleep(_QUIET_SECONDS)
        while True:
            step = describe_step(look(), elapsed_seconds=anyio.current_time() - began)
            self._spinner.update(text=plain(step))
            if self.may_be_seen:
                self._live.start(refresh=True)
            await anyio.sleep(_LOOK_SECONDS)

    def hide(self) -> None:
        self.may_be_seen = False
        self._live.stop()


_LINE: ContextVar[_Line | None] = ContextVar("_LINE", default=None)


async def _print_lines(console: Console, look: Callable[[], ProgressStep]) -> None:
    began, shown = anyio.current_time(), ""
    while True:
        await anyio.sleep(_LINE_SECONDS)
        now = describe_step(look(), elapsed_seconds=anyio.current_time() - began)
        if now != shown:
            print_line(console, now)
            shown = now
