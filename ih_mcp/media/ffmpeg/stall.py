"""What is said of an ffmpeg that gives nothing, by a look at the file it reads."""

from __future__ import annotations

import os
from collections.abc import Sequence

import anyio
import anyio.to_thread

from ih_mcp.errors import MediaError

_PLACES = 64
_LOOK_BYTES = 1 << 12
_LOOK_SECONDS = 2.0  # chosen: a disk that does not answer may be why it gives nothing


async def stalled(seconds: float, descriptors: Sequence[int]) -> MediaError:
    """The error for an ffmpeg that gave nothing for so long.

    Args:
        descriptors: The files it reads, held open.
    """
    blank = 0
    with anyio.move_on_after(_LOOK_SECONDS):
        blank = max(
            [
                await anyio.to_thread.run_sync(_blank, one, abandon_on_cancel=True)
                for one in descriptors
            ],
            default=0,
        )
    if blank > _PLACES // 2:
        return MediaError(
            f"ffmpeg gave nothing for {seconds:.0f} s: at {blank} of {_PLACES} places, evenly "
            "apart, the file has nothing but zeros",
            help="It is incomplete, as where its size was reserved and a download or a recording "
            "has not filled it. Wait until it is whole, or get it again.",
            code="ffmpeg_stalled",
            retry=True,
        )
    return MediaError(
        f"ffmpeg gave nothing for {seconds:.0f} s",
        help="Copy the file to a local disk, or convert it to MP4 with H.264 and AAC.",
        code="ffmpeg_stalled",
        retry=True,
    )


def _blank(descriptor: int) -> int:
    """At how many places of a file there are zeros alone, as in a hole."""
    try:
        size = os.fstat(descriptor).st_size
        looks = (os.pread(descriptor, _LOOK_BYTES, size * n // _PLACES) for n in range(_PLACES))
        return sum(bool(data) and not any(data) for data in looks)
    except OSError:  # it is no file, or cannot be read any more
        return 0
