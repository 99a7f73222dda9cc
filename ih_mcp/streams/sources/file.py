"""Sends a file into a stream, at the right pace."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from ih_mcp.errors import IhMcpError, StreamEndedError
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.ffmpeg.sound import sound
from ih_mcp.media.splitter import Segment, split
from ih_mcp.streams.outbox import QueuedSegment, RandomAccessPoint
from ih_mcp.streams.pacing import HeldSegment, PaceName, Pacer
from ih_mcp.streams.stream import Stream

RAW_HERTZ = 16_000


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that may be read, and the facts of its media."""

    path: Path
    facts: Facts
    ffmpeg: Ffmpeg
    is_raw: bool = False
    """Whether only its sound is sent, as raw samples of `RAW_HERTZ`."""


@asynccontextmanager
async def sending_media(stream: Stream) -> AsyncIterator[None]:
    """Mark that media is being sent into a stream; at the end, end the stream in order.

    A failure is noted in the stream, not raised; the segments before it are sent and drained.
    """
    stream.is_fed = True
    try:
        yield
    except StreamEndedError:
        return  # the stream is over: its own status says why
    except IhMcpError as exc:
        stream.fail(exc)
    finally:
        stream.is_fed = False
        stream.request_end(stops=False)


async def send_file(stream: Stream, source: FileSource, *, pace: PaceName) -> None:
    """Cut a file by the limits the session declared and send it; see `sending_media`."""
    async with sending_media(stream):
        await stream.wait_until_open()
        if stream.is_over:
            return
        turns = _Turns(stream, pace)
        pieces = _samples(stream, source) if source.is_raw else _segments(stream, source)
        async with aclosing(pieces) as segments:
            async for segment in segments:
                await turns.wait(segment)
                await stream.put(segment)
        stream.is_sent_whole = True


async def _segments(stream: Stream, source: FileSource) -> AsyncGenerator[QueuedSegment]:
    cut = split(
        source.path,
        ffmpeg=source.ffmpeg,
        limits=stream.limits,
        framing=stream.dialect.framing,
        target_seconds=stream.dialect.target_segment_seconds,
        facts=source.facts,
    )
    async with aclosing(cut) as segments:
        async for segment in segments:
            yield queued_segment(segment)


def queued_segment(segment: Segment) -> QueuedSegment:
    """Prepare a segment, with what another session needs to begin with it."""
    is_continued = segment.clocks is not None
    return QueuedSegment(
        segment.data,
        segment.start_seconds,
        segment.end_seconds,
        _entry(segment),
        segment.rebased if is_continued else None,
        counts_from_zero=not is_continued,
        clock_jumps=segment.jumps,
    )


def _entry(segment: Segment) -> RandomAccessPoint | None:
    """Where another session can begin in a segment: with its first key frame."""
    if segment.key_offset is None:
        return None
    return RandomAccessPoint(
        offset=segment.key_offset,
        seconds=segment.first_seconds,
        is_clean=not segment.has_leading,
    )


async def _samples(stream: Stream, source: FileSource) -> AsyncGenerator[QueuedSegment]:
    heard = sound(
        source.path,
        ffmpeg=source.ffmpeg,
        hertz=RAW_HERTZ,
        limits=stream.limits,
        target_seconds=stream.dialect.target_segment_seconds,
    )
    async with aclosing(heard) as pieces:
        async for piece in pieces:
            start, end = piece.start_seconds, piece.end_seconds
            yield QueuedSegment(
                piece.samples,
                start,
                end,
                RandomAccessPoint(),
                counts_from_zero=True,
                clock_jumps=piece.jumps,
            )


class _Turns:
    """Waits until the next segment of a file may be sent."""

    def __init__(self, stream: Stream, pace: PaceName) -> None:
        self._stream = stream
        self._clock = Pacer(pace, now=anyio.current_time())
        self._needs_no_clock = stream.plan.drops_nothing and pace is PaceName.AUTO
        self._session = stream.sessions

    async def wait(self, segment: QueuedSegment) -> None:
        """Return when the clock or an answer says so, or the stream is over.

        Where the other end reads no further than it can analyse, what it has read says enough.
        """
        if self._needs_no_clock:
            await self._stream.until(lambda: self._stream.is_delivered)
            return
        try:
            await self._wait(segment)
        finally:
            self._stream.hold(None)

    async def _wait(self, segment: QueuedSegment) -> None:
        stream, clock = self._stream, self._clock
        while not stream.is_over:
            now = anyio.current_time()
            if stream.sessions != self._session:
                self._session = stream.sessions
                clock.begin_anew(at=segment.start_seconds or 0.0, now=now)
            seen = self._seen()
            clock.learn(answered=stream.window_seconds, dropped=stream.dropped_seconds, now=now)
            at = clock.send_at(segment.end_seconds or 0.0)
            if now >= at:
                return
            stream.hold(HeldSegment(segment.start_seconds or 0.0, until=at))
            with anyio.CancelScope(deadline=at):
                await stream.until(lambda seen=seen: self._seen() != seen)  # type: ignore[misc]

    def _seen(self) -> tuple[object, ...]:
        stream = self._stream
        return stream.sessions, stream.window_seconds, stream.dropped_seconds
