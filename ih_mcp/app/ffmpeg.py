"""The ffmpeg that the settings ask for."""

from __future__ import annotations

from ih_mcp.media.ffmpeg.program import Allowance, Ffmpeg, find_ffmpeg
from ih_mcp.settings import Settings


def the_ffmpeg(settings: Settings) -> Ffmpeg:
    """Starts it once to ask its version: call it in a thread.

    Raises:
        MediaError: There is none.
    """
    allowance = Allowance(
        max_bytes=settings.ffmpeg_max_bytes,
        max_pixels=settings.ffmpeg_max_pixels,
        max_silent_seconds=settings.ffmpeg_max_silent_seconds,
    )
    return find_ffmpeg(settings.ffmpeg, allowance)
