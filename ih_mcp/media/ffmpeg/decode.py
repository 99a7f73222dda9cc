"""A container stream as pictures and sound: what the other end of the wire sees in the bytes.

One ffmpeg reads the stream from a pipe and writes gray pictures and mono sound, as Matroska, to
another; that is read by the same walk as everything else here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import ClockJump
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.ebml import ALL, Element, Elements, Id
from ih_mcp.media.containers.matroska_clusters import block_of

from . import commands
from .process import Child, running
from .program import Ffmpeg

_WANTED: dict[int, int] = {
    Id.TRACKS: ALL,
    Id.TIMESTAMP: 8,
    Id.SIMPLE_BLOCK: ALL,
    Id.BLOCK: ALL,
}
_TICKS_PER_SECOND = 1_000.0  # ffmpeg's muxer always writes milliseconds
_VIDEO = b"\x01"
_FED_BYTES = 1 << 16
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class Picture:
    time_seconds: float
    """From the start of the stream."""
    width: int
    height: int
    gray: bytes
    """Row by row, a byte a pixel."""


@dataclass(frozen=True, slots=True)
class Sound:
    start_seconds: float
    """From the start of the stream."""
    hertz: int
    samples: bytes
    """Mono, signed, 16 bit, little endian."""
    jumps: tuple[ClockJump, ...] = ()
    """Of the source's clock, in it; what they skip is left out."""

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + len(self.samples) / BYTES_PER_SAMPLE / self.hertz


class Decoder:
    """Decodes one container stream (WebM, Matroska, fragmented MP4, MPEG-TS).

    Feed it in one task and iterate it in another: `feed` waits while nobody takes the items. The
    same bytes give the same items, however they were cut.

        async with Decoder(ffmpeg, pictures_per_second=2) as decoder:
            task_group.start_soon(feed_all, decoder)  # feed(), feed(), finish()
            async for item in decoder:
                ...

    Args:
        ffmpeg: The binary.
        pictures_per_second: At most; those of the stream nearest behind a regular grid.
        picture_width: Of a `Picture`, whatever the stream has.
        picture_height: Likewise.
        sound_hertz: Samples per second of `Sound`.
        keeps_aspect: Put black bars around a picture of another shape instead of stretching it.
        decoders: The only ones of ffmpeg to use, by their names there; any where there are none.
    """

    def __init__(
        self,
        ffmpeg: Ffmpeg,
        *,
        pictures_per_second: float = 2.0,
        picture_width: int = 64,
        picture_height: int = 48,
        sound_hertz: int = 16_000,
        keeps_aspect: bool = False,
        decoders: Sequence[str] = (),
    ) -> None:
        self._size = (picture_width, picture_height)
        self._means = ffmpeg.limits.to_decode()
        self._hertz = sound_hertz
        self._command = commands.decoded(
            ffmpeg.path,
            max_pixels=ffmpeg.limits.max_pixels,
            pictures_per_second=pictures_per_second,
            width=picture_width,
            height=picture_height,
            hertz=sound_hertz,
            keeps_aspect=keeps_aspect,
            decoders=decoders,
        )
        self._stack = AsyncExitStack()
        self._child: Child | None = None
        self._elements = Elements(_WANTED)
        self._video: int | None = None
        self._cluster_ticks = 0
        self._items: deque[Picture | Sound] = deque()

    async def __aenter__(self) -> Self:
        self._child = await self._stack.enter_async_context(
            running(self._command, takes_input=True, means=self._means)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises:
            MediaError: ffmpeg gave up, since they are not media.
        """
        for at in range(0, len(data), _FED_BYTES):
            await self._running.write(data[at : at + _FED_BYTES])

    async def finish(self) -> None:
        """The stream has ended; the iteration ends when all of it was given."""
        await self._running.end_input()

    async def __aiter__(self) -> AsyncIterator[Picture | Sound]:
        while data := await self._running.read_patiently():
            for element in self._elements.feed(data):
                self._handle(element)
            while self._items:
                yield self._items.popleft()
        await self._running.finish()

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise anyio.ClosedResourceError
        return self._child

    def _handle(self, element: Element) -> None:
        match element.number:
            case Id.TRACKS:
                self._video = _video_track(element.payload)
            case Id.TIMESTAMP:
                self._cluster_ticks = element.unsigned
            case Id.SIMPLE_BLOCK | Id.BLOCK:
                self._handle_block(element.payload)
            case _:
                pass

    def _handle_block(self, payload: bytes) -> None:
        block = block_of(payload)
        if block is None:
            raise MediaError("ffmpeg wrote a block without a header", code="ffmpeg_failed")
        seconds = (self._cluster_ticks + block.ticks) / _TICKS_PER_SECOND
        media = payload[block.header_bytes :]
        self._items.append(
            Picture(seconds, *self._size, media)
            if block.track == self._video
            else Sound(seconds, self._hertz, media)
        )


def _video_track(tracks: bytes) -> int | None:
    """The number of the picture's track, if there is one."""
    for number, entry in ebml.children(tracks):
        fields = dict(ebml.children(entry)) if number == Id.TRACK_ENTRY else {}
        if fields.get(Id.TRACK_TYPE) == _VIDEO:
            return int.from_bytes(fields[Id.TRACK_NUMBER], "big")
    return None
