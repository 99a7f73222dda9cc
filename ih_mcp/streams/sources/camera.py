"""A camera into a stream: never slowed by what is slower than it.

Little waits for the connection. Where more would have to, the oldest goes and the newest stays;
how much went is told in the stream's status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import anyio

from ih_mcp.errors import unwrap_single_error
from ih_mcp.media.camera import record
from ih_mcp.media.cutter import Segment
from ih_mcp.media.ffmpeg.devices import Input
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.notifier import Notifier
from ih_mcp.streams.stream import Stream

from .file import queued_segment, sending_media

MAX_WAITING_SECONDS = 10.0
_IN_OUTBOX = 2  # segments: what is there cannot be taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSource:
    """What is recorded."""

    inputs: Sequence[Input]
    ffmpeg: Ffmpeg
    max_seconds: float | None = None
    """How long; None for as long as the stream lives."""


async def send_camera(stream: Stream, camera: CameraSource) -> None:
    """Record into a stream; see `sending_media`."""
    async with sending_media(stream):
        await stream.wait_until_open()
        if stream.is_over:
            return
        waiting = NewestSegments()
        with unwrap_single_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_send, stream, waiting)
                await _record(stream, camera, waiting)


class NewestSegments:
    """Segments that wait for the connection: not more than a bound, the newest ones.

    Args:
        max_seconds: Of media; the newest segment stays in any case.
    """

    def __init__(self, max_seconds: float = MAX_WAITING_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._segments: deque[Segment] = deque()
        self._is_complete = False
        self._changed = Notifier()

    def put(self, segment: Segment) -> float:
        """Take the newest one; gives the seconds of those that had to go for it."""
        self._segments.append(segment)
        gone = 0.0
        while len(self._segments) > 1 and self._seconds > self._max_seconds:
            gone += _seconds(self._let_go())
        self._changed.notify()
        return gone

    def complete(self) -> None:
        """Nothing more comes."""
        self._is_complete = True
        self._changed.notify()

    async def head(self) -> Segment | None:
        """The oldest one, which may go yet; None once nothing more comes."""
        while not self._segments:
            if self._is_complete:
                return None
            await self._changed.wait()
        return self._segments[0]

    def take(self) -> Segment:
        """The oldest one, out of the queue."""
        return self._segments.popleft()

    @property
    def _seconds(self) -> float:
        return sum(map(_seconds, self._segments))

    def _let_go(self) -> Segment:
        """The oldest that has no header: without the header nothing after it could be decoded."""
        place = 1 if self._segments[0].headed and len(self._segments) > 1 else 0
        segment = self._segments[place]
        del self._segments[place]
        return segment


def _seconds(segment: Segment) -> float:
    return segment.end_seconds - segment.start_seconds


async def _record(stream: Stream, camera: CameraSource, waiting: NewestSegments) -> None:
    recording = record(
        camera.inputs,
        ffmpeg=camera.ffmpeg,
        limits=stream.limits,
        framing=stream.dialect.framing,
        target_seconds=stream.dialect.target_segment_seconds,
        max_seconds=camera.max_seconds,
    )
    async with aclosing(recording) as segments:
        async for segment in segments:
            if gone := waiting.put(segment):
                stream.note_skipped(gone)
    waiting.complete()


async def _send(stream: Stream, waiting: NewestSegments) -> None:
    while await waiting.head() is not None:
        await stream.until(lambda: stream.waiting_segments < _IN_OUTBOX)
        segment = waiting.take()  # the oldest by now
        await stream.put(queued_segment(segment))
