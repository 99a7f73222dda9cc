"""A video that a browser plays: the file itself, or a copy in a container and codecs it knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ih_mcp.media.ffmpeg import commands
from ih_mcp.media.ffmpeg.facts import Facts, VideoTrack
from ih_mcp.media.ffmpeg.process import ProcessLimits, running
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.file_admission import opened

_PICTURES = {"h264", "vp8", "vp9", "av1"}
_SOUNDS = {"aac", "mp3", "opus", "vorbis", "flac"}
_IN_MP4 = {"h264", "av1", "aac", "mp3", "flac", "opus", "vp9"}
_IN_WEBM = {"vp8", "vp9", "av1", "opus", "vorbis"}
_CONTAINERS = {"mov": ("video/mp4", _IN_MP4), "matroska": ("video/webm", _IN_WEBM)}
_PLAIN = {None, "yuv420p", "yuvj420p"}  # of H.264, no browser decodes 4:2:2 or 10 bit
_GROWTH = 4  # chosen: what is encoded anew may be larger than the file, as AVI of screens
_LEAST_BYTES = 1 << 30
_DONE = re.compile(rb"out_time_us=(\d+)")


def browser_type(facts: Facts) -> str | None:
    """The MIME type of a file that browsers play as it is; None where a copy is needed."""
    found = _CONTAINERS.get(facts.container_name)
    if found is None or len(_copied(facts)) < len(facts.present):
        return None
    mime_type, codecs = found
    tracks = (facts.video, facts.audio)
    return mime_type if all(track.codec in codecs for track in tracks if track) else None


def _copied(facts: Facts) -> frozenset[str]:
    """Of `video` and `audio`, those that browsers can decode as they are."""
    video, audio, copied = facts.video, facts.audio, set[str]()
    if video and video.codec in _PICTURES and _is_plain(video):
        copied.add("video")
    if audio and audio.codec in _SOUNDS:
        copied.add("audio")
    return frozenset(copied - facts.changing)


def _is_plain(video: VideoTrack) -> bool:
    return video.codec != "h264" or video.pixel_format in _PLAIN


async def make_browser_copy(
    ffmpeg: Ffmpeg, source: Path, facts: Facts, output: Path, on_progress: Callable[[float], None]
) -> None:
    """Write a copy as MP4 that browsers play.

    Args:
        output: An empty file of this user alone.
        on_progress: Called with the seconds of media that are done.

    Raises:
        PathError: The source cannot be opened.
        MediaError: ffmpeg cannot read or write it.
    """
    copies = _copied(facts) & _playable_in_mp4(facts)
    tracks = [name for name, track in (("v:0", facts.video), ("a:0", facts.audio)) if track]
    async with opened(source) as file:
        command = commands.browser_copy(
            ffmpeg.path,
            file.url,
            str(output),
            tracks=tracks,
            copies=copies,
            max_pixels=ffmpeg.limits.max_pixels,
        )
        limits = _limits(ffmpeg, facts, file.size, is_copy=copies == facts.present)
        async with running(command, descriptors=file.descriptors, means=limits) as child:
            while data := await child.read():
                if (seconds := _seconds_done(data)) is not None:
                    on_progress(seconds)
            await child.finish()


def _playable_in_mp4(facts: Facts) -> frozenset[str]:
    tracks = {"video": facts.video, "audio": facts.audio}
    return frozenset(name for name, track in tracks.items() if track and track.codec in _IN_MP4)


def _limits(ffmpeg: Ffmpeg, facts: Facts, size: int, *, is_copy: bool) -> ProcessLimits:
    seconds = facts.duration_seconds
    usual = ffmpeg.limits.to_copy(size, seconds) if is_copy else ffmpeg.limits.to_encode(seconds)
    return replace(usual, file_bytes=max(_LEAST_BYTES, _GROWTH * size))


def _seconds_done(lines: bytes) -> float | None:
    found = _DONE.findall(lines)
    return int(found[-1]) / 1e6 if found else None
