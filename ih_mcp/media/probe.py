"""Look at a file with one run of ffmpeg; ffprobe is not needed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from ih_mcp.errors import MediaError

from . import commands
from .admit import opened
from .edits import hidden_tracks
from .facts import AudioTrack, Facts, VideoTrack, no_media, parse, require_tracks
from .ffmpeg import Ffmpeg
from .process import running

__all__ = ["AudioTrack", "Facts", "VideoTrack", "probe", "require_tracks"]


async def probe(ffmpeg: Ffmpeg, path: Path, *, packets_seconds: float = 0.0) -> Facts:
    """What the file is; 20 to 70 ms.

    Args:
        ffmpeg: The binary.
        path: As `admit` gave it.
        packets_seconds: How much media to look through for key frames; it is not decoded.

    Raises:
        MediaError: It is not media, has neither picture nor sound, or is too large to decode.
        PathError: It is not the admitted file any more.
    """
    async with opened(path) as source:
        allowance = ffmpeg.allowance
        command = commands.probe(
            ffmpeg.path,
            source.url,
            packets_seconds=packets_seconds,
            max_pixels=allowance.max_pixels,
        )
        means = allowance.to_look(source.size)
        async with running(command, descriptors=source.descriptors, means=means) as child:
            lines = bytearray()
            while data := await child.read():
                lines += data
            try:
                await child.finish()
            except MediaError as failure:
                raise _explained(failure, child.words.text()) from None
        facts = parse(lines.decode(errors="replace"), child.words.text())
        _refuse_bombs(facts, child.words.text(), allowance.max_pixels)
        if facts.container_name != "mov":
            return facts
        hidden = await anyio.to_thread.run_sync(_hidden_tracks, source.descriptor)
        duration = facts.duration_seconds
        if hidden.keys() >= facts.present:  # ffmpeg 5.1 tells the length with what is hidden
            duration = max(hidden.values())
        return replace(facts, hidden=facts.hidden | hidden.keys(), duration_seconds=duration)


def _hidden_tracks(descriptor: int) -> dict[str, float]:
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        return hidden_tracks(file)


def _refuse_bombs(facts: Facts, words: str, max_pixels: int) -> None:
    video = facts.video
    if video is None:
        return
    if video.width * video.height > max_pixels:
        raise _too_large(video.width, video.height)
    if not video.width:  # nothing of it could be decoded
        raise _explained(_no_picture(), words)


def _explained(failure: MediaError, words: str) -> MediaError:
    if "does not contain any stream" in words:
        return no_media()
    refused = _REFUSED.search(words)
    return _too_large(int(refused[1]), int(refused[2])) if refused else failure


_REFUSED = re.compile(r"^\[.*\] Picture size (\d+)x(\d+) exceeds specified max pixel", re.MULTILINE)


def _too_large(width: int, height: int) -> MediaError:
    return MediaError(
        f"the picture is {width} x {height}, which is more than is taken",
        help="Scale it down first. IH_MCP_FFMPEG_MAX_PIXELS is how many pixels are taken.",
        code="picture_too_large",
        facts={"width": width, "height": height},
    )


def _no_picture() -> MediaError:
    return MediaError(
        "the size of the picture cannot be found out",
        help="The file is damaged, or of a kind this ffmpeg does not know; convert it to MP4.",
        code="not_media",
    )
