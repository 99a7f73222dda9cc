"""The sound of any file as raw samples, for models that only listen."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from . import commands
from .admit import opened
from .decode import BYTES_PER_SAMPLE, Sound
from .facts import require_tracks
from .ffmpeg import Ffmpeg
from .probe import probe
from .process import running
from .words import inflated

_MOST_GROWTH, _SPARE_BYTES = 1_000, 1 << 25  # chosen: speech in 1 kbit/s grows 256 times


async def sound(
    source: Path, *, ffmpeg: Ffmpeg, hertz: int = 16_000, piece_seconds: float = 1.0
) -> AsyncGenerator[Sound, None]:
    """Signed 16-bit little-endian mono samples of a file, from its beginning to its end.

    Use it under `contextlib.aclosing`. Samples carry no times; where the file has no sound there
    is silence, so that the position tells the time.

    Args:
        source: As `admit` gave it.
        ffmpeg: The binary.
        hertz: Samples per second.
        piece_seconds: How long each piece is; the last one is shorter.

    Raises:
        MediaError: It has no sound, or cannot be read, or is made to give silence without end.
    """
    facts = await probe(ffmpeg, source)
    require_tracks(facts, video=False, audio=True)
    allowance = ffmpeg.allowance
    piece_bytes = max(1, round(piece_seconds * hertz)) * BYTES_PER_SAMPLE
    given, waiting = 0, bytearray()
    async with opened(source) as file:
        command = commands.sound(
            ffmpeg.path, file.url, hertz=hertz, max_pixels=allowance.max_pixels
        )
        means = allowance.to_copy(file.size, facts.duration_seconds)
        left = _MOST_GROWTH * file.size + _SPARE_BYTES
        async with running(command, descriptors=file.descriptors, means=means) as child:
            while data := await child.read():
                if (left := left - len(data)) < 0:
                    raise inflated(file.size, _MOST_GROWTH)
                waiting += data
                while len(waiting) >= piece_bytes:
                    piece = bytes(waiting[:piece_bytes])
                    del waiting[:piece_bytes]
                    yield Sound(given / BYTES_PER_SAMPLE / hertz, hertz, piece)
                    given += piece_bytes
            await child.finish()
    if waiting:
        yield Sound(given / BYTES_PER_SAMPLE / hertz, hertz, bytes(waiting))
