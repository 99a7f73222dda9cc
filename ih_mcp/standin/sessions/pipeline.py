"""Media in, messages out: decoding, windows, analyst and telling of one session, joined."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from ih_mcp.errors import IhMcpError
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Analyst, Observations, check_observations
from ih_mcp.standin.analysis.coverage import Ranges
from ih_mcp.standin.analysis.media_timeline import MediaTimeline, OpenDecoder, too_short_error
from ih_mcp.standin.analysis.message_builder import MessageBuilder
from ih_mcp.standin.analysis.windows import Window, WindowGrid, WindowQueue, Work, open_window_queue
from ih_mcp.standin.options import Options
from ih_mcp.wire.messages import Config, Error, Reading

_DEGRADED_SECONDS = 2.0  # chosen: a picture missing for longer than this is told

logger = logging.getLogger(__name__)

_ANALYST_END_SECONDS = 1.0
_FAILED = Error(code="ih1001", message="The analysis of a window failed.")
_Seen = Observations | Error

Tell = Callable[[Reading | Error], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What an analysis asks of the session it belongs to."""

    tell: Tell
    """Send a message; returns when it left."""
    config: Callable[[], Config]
    """The configuration that holds now."""
    signals: Callable[[], Sequence[str]]
    """The signal types the session can report now."""
    begin_window: Callable[[int], Awaitable[None]]
    """Called before the messages of a window, which count from 1."""
    sheds: Callable[[int], bool]
    """Whether a window is not to be analysed, by order."""
    keep: Callable[[Window, Observations], None]
    """Called with what was seen in a window, before its messages leave."""
    deliver: Callable[[Ranges], Awaitable[None]]
    """Called with the media of a window whose messages have left: it is billed."""


@dataclass(frozen=True, slots=True)
class _WindowMedia:
    """Where a window has media, and where its picture is missing."""

    present: Ranges
    degraded: Ranges


class SessionAnalysis:
    """One session's media on its way to messages. Made by `run_analysis`.

    Feed `line`, then `finish`, then `last_words`.
    """

    def __init__(
        self,
        analyst: Analyst,
        tasks: TaskGroup,
        windows: WindowQueue[_Seen],
        *,
        telling: MessageBuilder,
        options: Options,
        open_decoder: OpenDecoder,
        hooks: Hooks,
    ) -> None:
        self._analyst = analyst
        self._windows = windows
        self._hooks = hooks
        self._grid = WindowGrid(
            window_seconds=options.window_seconds,
            hop_seconds=options.hop_seconds,
            min_seconds=options.min_window_seconds,
        )
        self._media: dict[int, _WindowMedia] = {}
        self._all_told = anyio.Event()
        self._tells = anyio.CancelScope()
        self._telling = telling
        self.line = MediaTimeline(
            open_decoder,
            analyst.describe().senses,
            tasks,
            self._take,
            min_clip_seconds=options.min_window_seconds if options.strict else None,
        )

    async def finish(self) -> None:
        """No more media comes: analyse the rest and tell it.

        Raises:
            MediaError: The last clip cannot be decoded, or there is too little media for a single
                window (chosen: `ih5006`); the rest is told all the same.
        """
        complaint = await self.line.finish()
        for window in self._grid.finish(self.line.end_seconds):
            await self._submit(window)
        if self._grid.windows == 0 and self.line.end_seconds > 0:
            complaint = complaint or too_short_error("session", self.line.end_seconds)
        self._windows.end()
        await self._all_told.wait()
        if complaint is not None:
            raise complaint

    async def last_words(self) -> Ranges:
        """Tell the ends of what is still active; gives what was told as dropped."""
        for message in self._telling.finish(self.line.end_seconds, config=self._hooks.config()):
            await self._hooks.tell(message)
        return self._telling.dropped

    async def tell_windows(self) -> None:
        """Tell windows as they are done, until the last; runs beside everything else."""
        with self._tells:
            async for window, seen in self._windows.results():
                await self._tell_window(window, seen)
        self._all_told.set()

    def stop_telling(self) -> None:
        """Tell no more windows."""
        self._tells.cancel()

    async def _tell_window(self, window: Window, seen: _Seen | None) -> None:
        media = self._media.pop(window.index)
        await self._hooks.begin_window(window.index + 1)
        match seen:
            case Observations():
                await self._tell_seen(window, seen, media)
            case Error():
                await self._hooks.tell(seen)
            case None:
                pass

    async def _tell_seen(self, window: Window, seen: Observations, media: _WindowMedia) -> None:
        self._hooks.keep(window, seen)
        messages = self._telling.window(
            window,
            seen,
            present=media.present,
            degraded=media.degraded,
            config=self._hooks.config(),
            published=self._hooks.signals(),
        )
        for message in messages:
            await self._hooks.tell(message)
        await self._hooks.deliver(media.present)

    async def _take(self, item: Picture | Sound) -> None:
        try:
            await self._analyst.feed(item)
        except Exception:
            logger.exception("the analyst could not take its media")
        for window in self._grid.reach(self.line.reached_seconds):
            await self._submit(window)

    async def _submit(self, window: Window) -> None:
        start, end = window.start_seconds, window.end_seconds
        present = self.line.present.within(start, end)
        self._media[window.index] = _WindowMedia(present, self._degraded(present))
        is_shed = not list(present) or self._hooks.sheds(window.index + 1)
        await self._windows.submit(window, sheds=is_shed)

    def _degraded(self, present: Ranges) -> Ranges:
        """Where a session that has pictures misses them for long, while there is sound."""
        pictures = self.line.pictures.ranges
        if not list(pictures):
            return Ranges()
        return Ranges(
            gap
            for part in present
            for gap in pictures.missing(part.start_seconds, part.end_seconds)
            if gap.end_seconds - gap.start_seconds > _DEGRADED_SECONDS
        )


@asynccontextmanager
async def run_analysis(
    *,
    telling: MessageBuilder,
    options: Options,
    open_decoder: OpenDecoder,
    hooks: Hooks,
    work: Work | None = None,
) -> AsyncIterator[SessionAnalysis]:
    """Run the analysis of one session; leaving cancels what is on its way.

    Args:
        telling: Makes the messages of what was seen.
        work: Where to note what it takes.
    """
    analyst = options.analyst()
    is_one_by_one = options.analysis_speed is not None
    try:
        async with (
            open_window_queue(
                _make_observe(
                    analyst, _AnalysisPace(options.analysis_ratio, options.analysis_speed)
                ),
                max_concurrent=1 if is_one_by_one else options.max_concurrent_windows,
                max_waiting=options.max_waiting_windows,
                sheds=options.sheds,
                work=work,
            ) as windows,
            anyio.create_task_group() as tasks,
        ):
            analysis = SessionAnalysis(
                analyst,
                tasks,
                windows,
                telling=telling,
                options=options,
                open_decoder=open_decoder,
                hooks=hooks,
            )
            tasks.start_soon(analysis.tell_windows)
            yield analysis
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_ANALYST_END_SECONDS):
            await analyst.aclose()


class _AnalysisPace:
    """How long the analysis of a window takes at least; windows come in order."""

    def __init__(self, ratio: float, speed: float | None) -> None:
        self._ratio = ratio
        self._speed = speed
        self._until_seconds = 0.0

    def seconds(self, window: Window) -> float:
        """Of wall time; only media that no window before showed counts for the speed."""
        start, end = window.start_seconds, window.end_seconds
        new = end - max(start, self._until_seconds)
        self._until_seconds = end
        return max((end - start) * self._ratio, new / self._speed if self._speed else 0.0)


def _make_observe(analyst: Analyst, clock: _AnalysisPace) -> Callable[[Window], Awaitable[_Seen]]:
    description = analyst.describe()

    async def observe(window: Window) -> _Seen:
        done_at = anyio.current_time() + clock.seconds(window)
        try:
            seen = check_observations(await analyst.observe(window), description, window)
        except IhMcpError as exc:
            logger.error("%s", exc)  # noqa: TRY400 - foreseen; a traceback tells nothing more
            return _FAILED
        except Exception:
            logger.exception("the analyst %s failed", description.name)
            return _FAILED
        await anyio.sleep_until(done_at)
        return seen

    return observe
