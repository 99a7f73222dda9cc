"""One timeline over all media that a session sends: clips, their continuations, raw PCM.

skill v2 and docs agree once read together: a binary message that begins with a container header
opens a new clip, any other continues the clip before; the service keeps the header of a
session's first chunk for that. Times go on from clip to clip (docs: stream-analyze v1).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import is_headed
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.wire.ranges import Ranges

from .analyst import Senses
from .codecs import shorten_complaint

_GAP_SECONDS = 1.0  # chosen: a jump of media time longer than this is a gap
_MAX_LAG_SECONDS = 2.0  # chosen: decoded media is interleaved; a track so far behind is missing
_PICTURE_SECONDS = 0.04  # chosen: of the last one; those between are joined as no gap
_SAMPLE_BYTES = 2  # of pcm_s16le
_PCM_SECONDS = 1  # of sound that is analysed at once


class ClipDecoder(Protocol):
    """A running decoder of one clip; `ih_mcp.media.ffmpeg.decode.Decoder` is one."""

    async def feed(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...
    def __aiter__(self) -> AsyncIterator[Picture | Sound]: ...


OpenDecoder = Callable[[Senses], AbstractAsyncContextManager[ClipDecoder]]
TakeMedia = Callable[[Picture | Sound], Awaitable[None]]


@dataclass(slots=True)
class _DecodedTrack:
    """Where one kind of media is present, and up to where it is known."""

    ranges: Ranges = field(default_factory=lambda: Ranges(join_seconds=_GAP_SECONDS))
    end_seconds: float | None = None

    def add(self, start_seconds: float, end_seconds: float) -> None:
        self.ranges.add(start_seconds, end_seconds)
        self.end_seconds = max(self.end_seconds or 0.0, end_seconds)


@dataclass(slots=True)
class _Clip:
    decoder: ClipDecoder
    segment: int
    """The binary message that opened it."""
    base_seconds: float
    done: anyio.Event = field(default_factory=anyio.Event)
    error: MediaError | None = None
    items: int = 0


class MediaTimeline:
    """Decodes binary messages into media with the times of the session.

    Args:
        tasks: Owns the decoders.
        take: Called for each picture and sound, in the order they are decoded; while it works
            nothing more is decoded, and `feed` waits.
        min_clip_seconds: A clip that is shorter gets an error.
    """

    def __init__(
        self,
        open_decoder: OpenDecoder,
        senses: Senses,
        tasks: TaskGroup,
        take: TakeMedia,
        *,
        min_clip_seconds: float | None = None,
    ) -> None:
        self._open_decoder = open_decoder
        self._senses = senses
        self._tasks = tasks
        self._take = take
        self._min_clip_seconds = min_clip_seconds
        self._clip: _Clip | None = None
        self._first_bytes = b""
        self._pcm_rest = b""
        self._pcm_samples = 0
        self._base_seconds = 0.0
        self.pictures = _DecodedTrack()
        self.sounds = _DecodedTrack()
        self.present = Ranges(join_seconds=_GAP_SECONDS)
        """Where there is any media."""
        self.hears_only = False
        """Whether pictures are ignored."""

    @property
    def end_seconds(self) -> float:
        """The end of the media so far."""
        return max(self.pictures.end_seconds or 0.0, self.sounds.end_seconds or 0.0)

    @property
    def reached_seconds(self) -> float:
        """All media before this is known; a track far behind the other counts as missing."""
        if self.hears_only:
            return self.sounds.end_seconds or 0.0
        tracks = (self.pictures, self.sounds)
        ends = [max(track.end_seconds or 0.0, self._base_seconds) for track in tracks]
        return max(min(ends), max(ends) - _MAX_LAG_SECONDS)

    async def feed(self, data: bytes, *, segment: int, opens: bool | None = None) -> None:
        """Decode the next binary message; waits while the analysis is busy.

        Args:
            opens: Whether it opens a clip; by default its first bytes decide.

        Raises:
            MediaError: It, or the clip it follows, cannot be decoded; `code` is the id that says
                so, `facts["segment"]` the message. What follows may be fine.
        """
        data, self._first_bytes = self._first_bytes + data, b""
        complaint = None
        if is_headed(data) if opens is None else opens:
            complaint = await self._end_clip()
            self._clip = await self._tasks.start(self._run, segment)
        elif self._clip is None and _may_become_a_header(data):
            self._first_bytes = data  # seen: a recorder whose first chunk is one byte
            return
        if self._clip is None:
            raise _malformed_error("the message begins without a container header", segment)
        try:
            await self._clip.decoder.feed(data)
        except MediaError as exc:
            await self._end_clip()
            raise _malformed_error(shorten_complaint(exc.what), segment) from exc
        if complaint is not None:
            raise complaint

    async def feed_pcm(self, data: bytes, *, hertz: int) -> None:
        """Take in signed 16-bit mono samples, cut anywhere."""
        data = self._pcm_rest + data
        whole = len(data) - len(data) % _SAMPLE_BYTES
        self._pcm_rest = data[whole:]
        step = _PCM_SECONDS * hertz * _SAMPLE_BYTES
        for at in range(0, whole, step):  # a message may hold a quarter of an hour
            piece = data[at : min(at + step, whole)]
            start = self._base_seconds + self._pcm_samples / hertz  # no error adds up
            self._pcm_samples += len(piece) // _SAMPLE_BYTES
            await self._put(Sound(start, hertz, piece))

    async def finish(self) -> MediaError | None:
        """No more messages come; returns when everything is decoded and taken.

        Gives the complaint about the last clip, where there is one.
        """
        if self._first_bytes:
            return _malformed_error("the media ends inside its header", 1)
        return await self._end_clip()

    async def _end_clip(self) -> MediaError | None:
        clip, self._clip = self._clip, None
        if clip is None:
            return None
        with suppress(MediaError):  # the task of the clip reports it
            await clip.decoder.finish()
        await clip.done.wait()
        self._base_seconds = self.end_seconds
        return self._complaint(clip)

    def _complaint(self, clip: _Clip) -> MediaError | None:
        if not clip.items:
            what = (
                shorten_complaint(clip.error.what)
                if clip.error
                else "nothing in it could be decoded"
            )
            return _malformed_error(what, clip.segment)
        seconds = self.end_seconds - clip.base_seconds
        if self._min_clip_seconds is not None and seconds < self._min_clip_seconds:
            return too_short_error("clip", seconds, facts={"segment": clip.segment})
        return None

    async def _run(self, segment: int, *, task_status: TaskStatus[_Clip]) -> None:
        async with self._open_decoder(self._senses) as decoder:
            clip = _Clip(decoder, segment, self.end_seconds)
            self._base_seconds = clip.base_seconds
            task_status.started(clip)
            try:
                async for item in decoder:
                    if self.hears_only and isinstance(item, Picture):
                        continue
                    clip.items += 1
                    await self._put(_shift(item, clip.base_seconds))
            except MediaError as exc:
                clip.error = exc
            finally:
                clip.done.set()

    async def _put(self, item: Picture | Sound) -> None:
        if isinstance(item, Picture):
            start, track = item.time_seconds, self.pictures
            end = start + _PICTURE_SECONDS
        else:
            start, track = item.start_seconds, self.sounds
            end = item.end_seconds
        track.add(start, end)
        self.present.add(0.0 if start <= _GAP_SECONDS else start, end)
        await self._take(item)


def _shift(item: Picture | Sound, by_seconds: float) -> Picture | Sound:
    match item:
        case Picture():
            return replace(item, time_seconds=item.time_seconds + by_seconds)
        case Sound():
            return replace(item, start_seconds=item.start_seconds + by_seconds)


_SIGNATURES = (b"\x1a\x45\xdf\xa3", b"RIFF", b"OggS")


def _may_become_a_header(data: bytes) -> bool:
    """Whether so few bytes may still turn out to begin a container (`ftyp` follows a length)."""
    return len(data) < 8 and (
        any(signature.startswith(data[:4]) for signature in _SIGNATURES)
        or (data[:1] == b"\0" and b"ftyp".startswith(data[4:8]))
    )


def too_short_error(
    what: str, seconds: float, *, facts: Mapping[str, object] | None = None
) -> MediaError:
    """`ih5006`, with how long it is: cut off, so that 2.996 s is not said to be 3.00 s."""
    whole = math.floor(seconds * 100) / 100
    return MediaError(f"the {what} has {whole:.2f} s of media", code="ih5006", facts=facts)


def _malformed_error(what: str, segment: int) -> MediaError:
    return MediaError(what, code="ih5004", facts={"segment": segment})
