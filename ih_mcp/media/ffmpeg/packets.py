"""A look at the packets of a file, for where its clock jumps; nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import PacketClock
from ih_mcp.media.file_admission import OpenedFile

from . import commands
from .process import ProcessLimits, running
from .program import Ffmpeg


async def look_through(
    clock: PacketClock,
    ffmpeg: Ffmpeg,
    source: OpenedFile,
    *,
    tracks: Sequence[str],
    container: str,
    means: ProcessLimits,
    start_seconds: float = 0.0,
    said: list[str] | None = None,
) -> PacketClock:
    """Let a clock see all packets of some tracks, as far as they can be read; gives the clock.

    What ffmpeg wrote to standard error comes into `said`.
    """
    command = commands.packets(
        ffmpeg.path,
        source.url,
        tracks,
        container=container,
        start_seconds=start_seconds,
        max_pixels=ffmpeg.limits.max_pixels,
    )
    async with running(command, descriptors=source.descriptors, means=means) as child:
        while data := await child.read():
            clock.feed(data)
        with suppress(MediaError):  # whoever reads the media tells what is wrong
            await child.finish()
        if said is not None:
            said.append(child.log.text())
    return clock
