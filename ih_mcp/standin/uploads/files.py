"""Whole files: their facts, their bytes in an order that can be decoded, and their analysis.

Uploads and the segments of v0 are files of their own; some keep their index at the end, which a
stream cannot be read with, so those are written anew first.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import container_of
from ih_mcp.media.containers.mp4_boxes import box_headers
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import split
from ih_mcp.standin.analysis.analyst import (
    AnalystError,
    MakeAnalyst,
    Observations,
    check_observations,
)
from ih_mcp.standin.analysis.media_timeline import MediaTimeline, OpenDecoder
from ih_mcp.standin.analysis.windows import Window, WindowGrid
from ih_mcp.wire.dialects import V1, Framing

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_PIECE_SECONDS = 10.0
_LIMITS = replace(V1.limits, min_segment_seconds=None)


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """Reads whole media files by ffmpeg."""

    ffmpeg: Ffmpeg

    async def facts(self, path: Path) -> Facts:
        """What the file is; raises `MediaError` if it is no media."""
        return await probe(self.ffmpeg, path)

    @asynccontextmanager
    async def chunks(self, path: Path) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of the file, in an order that can be decoded without seeking."""
        async with await anyio.open_file(path, "rb") as file:
            first = await file.read(_CHUNK_BYTES)
        made = _read_chunks(path) if _is_in_order(first) else self._written_anew(path)
        async with aclosing(made) as chunks:
            yield chunks

    async def _written_anew(self, path: Path) -> AsyncGenerator[bytes, None]:
        segments = split(
            path,
            ffmpeg=self.ffmpeg,
            limits=_LIMITS,
            framing=Framing.CONTINUED,
            target_seconds=_PIECE_SECONDS,
        )
        async with aclosing(segments):
            async for segment in segments:
                yield segment.data


async def _read_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    async with await anyio.open_file(path, "rb") as file:
        while data := await file.read(_CHUNK_BYTES):
            yield data


def _is_in_order(first: bytes) -> bool:
    """Whether the index comes before the media; only MP4 may have it otherwise."""
    if container_of(first) != "mp4":
        return True
    for kind, _, _ in box_headers(first, 0, len(first)):
        if kind in {b"moov", b"moof", b"mdat"}:
            return kind != b"mdat"
    return False


@dataclass(frozen=True, slots=True)
class TemporaryFolder:
    """A temporary folder, created and removed in a thread."""

    _made: tempfile.TemporaryDirectory[str]

    @property
    def path(self) -> Path:
        return Path(self._made.name)

    @classmethod
    async def make(cls) -> TemporaryFolder:
        return cls(await anyio.to_thread.run_sync(_made_folder))

    async def remove(self) -> None:
        """Remove the folder with everything in it, also during a cancellation."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._made.cleanup)


def _made_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ih-mcp-", ignore_cleanup_errors=True)


@asynccontextmanager
async def temporary_folder() -> AsyncIterator[Path]:
    """A temporary folder while this is open."""
    made = await TemporaryFolder.make()
    try:
        yield made.path
    finally:
        await made.remove()


@asynccontextmanager
async def temporary_file(data: bytes) -> AsyncIterator[Path]:
    """A temporary file with this content."""
    async with temporary_folder() as place:
        path = place / "segment"
        await anyio.Path(path).write_bytes(data)
        yield path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnalysis:
    """What an analyst observed in a file."""

    duration_seconds: float
    windows: Sequence[tuple[Window, Observations]]
    has_pictures: bool
    has_sound: bool


async def analyse_file(
    chunks: AsyncIterator[bytes],
    *,
    grid: WindowGrid,
    make_analyst: MakeAnalyst,
    open_decoder: OpenDecoder,
    hears_only: bool = False,
) -> FileAnalysis:
    """Decode and analyse one file.

    Raises:
        MediaError: Nothing in it can be decoded.
        AnalystError: The analyst failed.
    """
    analyst = make_analyst()
    description = analyst.describe()
    windows: list[tuple[Window, Observations]] = []

    failures: list[Exception] = []

    async def observe(complete: Sequence[Window]) -> None:
        for window in complete:
            try:
                seen = check_observations(await analyst.observe(window), description, window)
            except Exception as exc:
                raise AnalystError(f"the analyst {description.name} failed") from exc
            windows.append((window, seen))

    async def take_media(item: Picture | Sound) -> None:
        try:
            await analyst.feed(item)
            await observe(grid.reach(line.reached_seconds))
        except Exception as exc:
            logger.exception("the analyst %s failed", description.name)
            failures.append(exc)

    try:
        async with anyio.create_task_group() as tasks:
            line = MediaTimeline(open_decoder, description.senses, tasks, take_media)
            line.hears_only = hears_only
            complaint = await _feed_all(line, chunks)
        if complaint is not None:
            raise complaint
        if failures:
            raise AnalystError(f"the analyst {description.name} failed") from failures[0]
        await observe(grid.finish(line.end_seconds))
    finally:
        await analyst.aclose()
    return FileAnalysis(
        duration_seconds=round(line.end_seconds, 3),
        windows=windows,
        has_pictures=line.pictures.end_seconds is not None,
        has_sound=line.sounds.end_seconds is not None,
    )


async def _feed_all(line: MediaTimeline, chunks: AsyncIterator[bytes]) -> MediaError | None:
    """One file is one clip, whatever its chunks look like."""
    try:
        first = True
        async for data in chunks:
            await line.feed(data, segment=1, opens=first)
            first = False
        return await line.finish()
    except MediaError as exc:
        await line.finish()
        return exc
