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
        MediaError: It has no sound, or cannot be read.
    """
    require_tracks(await probe(ffmpeg, source), video=False, audio=True)
    piece_bytes = max(1, round(piece_seconds * hertz)) * BYTES_PER_SAMPLE
    given, waiting = 0, bytearray()
    async with opened(source) as file:
        command = commands.sound(ffmpeg.path, file.url, hertz=hertz)
        async with running(command, descriptors=file.descriptors) as child:
            while data := await child.read():
                waiting += data
                while len(waiting) >= piece_bytes:
                    piece = bytes(waiting[:piece_bytes])
                    del waiting[:piece_bytes]
                    yield Sound(given / BYTES_PER_SAMPLE / hertz, hertz, piece)
                    given += piece_bytes
            await child.finish()
    if waiting:
        yield Sound(given / BYTES_PER_SAMPLE / hertz, hertz, bytes(waiting))
