"""The ffmpeg that the settings ask for."""

from __future__ import annotations

from ih_mcp.media.ffmpeg.program import Ffmpeg, FfmpegLimits, find_ffmpeg
from ih_mcp.settings import Settings


def find_configured_ffmpeg(settings: Settings) -> Ffmpeg:
    """The ffmpeg of the settings; blocks, as it is started once for its version.

    Raises:
        MediaError: There is none.
    """
    limits = FfmpegLimits(
        max_bytes=settings.ffmpeg_max_bytes,
        max_pixels=settings.ffmpeg_max_pixels,
        max_silent_seconds=settings.ffmpeg_max_silent_seconds,
    )
    return find_ffmpeg(settings.ffmpeg, limits)
