"""Sends a camera into a stream; a slow connection never slows the camera.

Only few segments wait for the connection. Where more would have to wait, the oldest are dropped;
the status of the stream says how much media that was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import anyio

from ih_mcp.errors import unwrap_single_error
from ih_mcp.media.camera import RecordingEnd, record
from ih_mcp.media.cutter import Segment
from ih_mcp.media.ffmpeg.devices import Input
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.notifier import Notifier
from ih_mcp.streams.stream import Stream

from .file import queued_segment, sending_media

MAX_WAITING_SECONDS = 10.0
_IN_OUTBOX = 2  # segments: one in the outbox can no longer be dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSource:
    """What to record."""

    inputs: Sequence[Input]
    ffmpeg: Ffmpeg
    max_seconds: float | None = None
    """How long to record; None for as long as the stream lives."""


async def send_camera(stream: Stream, camera: CameraSource) -> None:
    """Record into a stream; see `sending_media`.

    When the stream is asked to end, what was recorded until then is still sent.
    """
    async with sending_media(stream):
        await stream.wait_until_open()
        if stream.is_over:
            return
        waiting = NewestSegments()
        stream.recording = end = RecordingEnd()
        with unwrap_single_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_send, stream, waiting)
                await _record(stream, camera, waiting, end)


class NewestSegments:
    """The newest segments, which wait for the connection; older ones are dropped.

    Args:
        max_seconds: The most media that may wait; the newest segment always stays.
    """

    def __init__(self, max_seconds: float = MAX_WAITING_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._segments: deque[Segment] = deque()
        self._is_complete = False
        self._changed = Notifier()

    def put(self, segment: Segment) -> float:
        """Add the newest segment; gives how many seconds were dropped for it."""
        self._segments.append(segment)
        dropped = 0.0
        while len(self._segments) > 1 and self._seconds > self._max_seconds:
            dropped += _seconds(self._drop_oldest())
        self._changed.notify()
        return dropped

    def complete(self) -> None:
        """Note that no segment follows."""
        self._is_complete = True
        self._changed.notify()

    async def head(self) -> Segment | None:
        """Wait for the oldest segment, which may still be dropped; None once no segment follows."""
        while not self._segments:
            if self._is_complete:
                return None
            await self._changed.wait()
        return self._segments[0]

    def pop_oldest(self) -> Segment:
        """Remove and give the oldest segment."""
        return self._segments.popleft()

    @property
    def _seconds(self) -> float:
        return sum(map(_seconds, self._segments))

    def _drop_oldest(self) -> Segment:
        """Drop the oldest segment but the one with the header: all others need the header."""
        place = 1 if self._segments[0].headed and len(self._segments) > 1 else 0
        segment = self._segments[place]
        del self._segments[place]
        return segment


def _seconds(segment: Segment) -> float:
    return segment.end_seconds - segment.start_seconds


async def _record(
    stream: Stream, camera: CameraSource, waiting: NewestSegments, end: RecordingEnd
) -> None:
    recording = record(
        camera.inputs,
        ffmpeg=camera.ffmpeg,
        limits=stream.limits,
        framing=stream.dialect.framing,
        target_seconds=stream.dialect.target_segment_seconds,
        max_seconds=camera.max_seconds,
        end=end,
    )
    async with aclosing(recording) as segments:
        async for segment in segments:
            if dropped := waiting.put(segment):
                stream.note_skipped(dropped)
    waiting.complete()


async def _send(stream: Stream, waiting: NewestSegments) -> None:
    while await waiting.head() is not None:
        await stream.until(lambda: stream.waiting_segments < _IN_OUTBOX)
        segment = waiting.pop_oldest()  # the oldest by now
        await stream.put(queued_segment(segment))
