"""The media of one session on its way to analysed windows: decoding, windows and the analyst."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from ih_mcp.errors import IhMcpError, MediaError
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Analyst, Observations, check_observations
from ih_mcp.standin.analysis.media_timeline import MediaTimeline, OpenDecoder, too_short_error
from ih_mcp.standin.analysis.windows import Window, WindowGrid, WindowQueue, Work, open_window_queue
from ih_mcp.standin.options import Options
from ih_mcp.wire.messages import Error
from ih_mcp.wire.ranges import Ranges

_DEGRADED_SECONDS = 2.0  # chosen: a picture that is missing for longer than this is reported

logger = logging.getLogger(__name__)

_ANALYST_END_SECONDS = 1.0
_FAILED = Error(code="ih1001", message="The analysis of a window failed.")
_Result = Observations | Error


@dataclass(frozen=True, slots=True)
class _WindowMedia:
    """Where a window has media, and where its picture is missing."""

    present: Ranges
    degraded: Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysedWindow:
    """One window, with its media and what came of its analysis."""

    window: Window
    result: Observations | Error | None
    """What the analyst observed; an error if it failed; None if the window was not analysed."""
    present: Ranges
    """Where the window has media."""
    degraded: Ranges
    """Where its picture is missing although there is sound."""


class SessionAnalysis:
    """The media of one session on its way to analysed windows. Made by `run_analysis`.

    Feed the `timeline`, then call `finish`; meanwhile read `windows` in another task.
    """

    def __init__(
        self,
        analyst: Analyst,
        tasks: TaskGroup,
        queue: WindowQueue[_Result],
        *,
        options: Options,
        open_decoder: OpenDecoder,
        sheds: Callable[[int], bool],
    ) -> None:
        self._analyst = analyst
        self._queue = queue
        self._sheds = sheds
        self._grid = WindowGrid(
            window_seconds=options.window_seconds,
            hop_seconds=options.hop_seconds,
            min_seconds=options.min_window_seconds,
        )
        self._media: dict[int, _WindowMedia] = {}
        self.timeline = MediaTimeline(
            open_decoder,
            analyst.describe().senses,
            tasks,
            self._take_media,
            min_clip_seconds=options.min_window_seconds if options.strict else None,
        )

    async def finish(self) -> MediaError | None:
        """Analyse what is left after the last media; `windows` ends after it.

        Returns:
            Why the last clip cannot be decoded, or that there is too little media for a single
            window (chosen: `ih5006`); None if all is well.
        """
        complaint = await self.timeline.finish()
        for window in self._grid.finish(self.timeline.end_seconds):
            await self._submit(window)
        if self._grid.windows == 0 and self.timeline.end_seconds > 0:
            complaint = complaint or too_short_error("session", self.timeline.end_seconds)
        self._queue.end()
        return complaint

    async def windows(self) -> AsyncIterator[AnalysedWindow]:
        """The windows in order, each when it is analysed.

        The next window is analysed while the caller works on this one, but no more than the
        options allow: a caller who is slow makes the client wait.
        """
        async for window, result in self._queue.results():
            media = self._media.pop(window.index)
            yield AnalysedWindow(
                window=window, result=result, present=media.present, degraded=media.degraded
            )

    async def _take_media(self, item: Picture | Sound) -> None:
        try:
            await self._analyst.feed(item)
        except Exception:
            logger.exception("the analyst could not take its media")
        for window in self._grid.reach(self.timeline.reached_seconds):
            await self._submit(window)

    async def _submit(self, window: Window) -> None:
        start, end = window.start_seconds, window.end_seconds
        present = self.timeline.present.within(start, end)
        self._media[window.index] = _WindowMedia(present, self._degraded(present))
        is_shed = not list(present) or self._sheds(window.index + 1)
        await self._queue.submit(window, sheds=is_shed)

    def _degraded(self, present: Ranges) -> Ranges:
        """Where the pictures of the session are missing for long, although there is sound."""
        pictures = self.timeline.pictures.ranges
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
    options: Options,
    open_decoder: OpenDecoder,
    sheds: Callable[[int], bool] = lambda _: False,
    work: Work | None = None,
) -> AsyncIterator[SessionAnalysis]:
    """Run the analysis of one session while this is open; leaving cancels unfinished windows.

    Args:
        sheds: Whether the window of this number, from 1, is not to be analysed.
        work: Where to note how much work the analysis took.
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
            ) as queue,
            anyio.create_task_group() as tasks,
        ):
            yield SessionAnalysis(
                analyst, tasks, queue, options=options, open_decoder=open_decoder, sheds=sheds
            )
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_ANALYST_END_SECONDS):
            await analyst.aclose()


class _AnalysisPace:
    """The least time that the analysis of each window takes; windows come in order."""

    def __init__(self, ratio: float, speed: float | None) -> None:
        self._ratio = ratio
        self._speed = speed
        self._until_seconds = 0.0

    def seconds(self, window: Window) -> float:
        """In wall time. Media that an earlier window had does not count for the speed."""
        start, end = window.start_seconds, window.end_seconds
        new = end - max(start, self._until_seconds)
        self._until_seconds = end
        return max((end - start) * self._ratio, new / self._speed if self._speed else 0.0)


def _make_observe(analyst: Analyst, clock: _AnalysisPace) -> Callable[[Window], Awaitable[_Result]]:
    description = analyst.describe()

    async def observe(window: Window) -> _Result:
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
