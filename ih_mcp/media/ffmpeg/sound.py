"""The sound of any file as raw samples, for models that only listen."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from ih_mcp.media.clock_jumps import ClockJump, PacketClock
from ih_mcp.media.ffmpeg.packets import look_through
from ih_mcp.media.file_admission import opened

from . import commands
from .decode import BYTES_PER_SAMPLE, Sound
from .early_end import refuse_early_end
from .facts import Facts, require_tracks
from .ffmpeg_log import inflated
from .probe import probe
from .process import running
from .program import Ffmpeg

_MOST_GROWTH, _SPARE_BYTES = 1_000, 1 << 25  # chosen: speech in 1 kbit/s grows 256 times
_MAX_SILENT_SECONDS = 60.0  # chosen: nobody pays for hours of silence that a file only claims


async def sound(
    source: Path, *, ffmpeg: Ffmpeg, hertz: int = 16_000, piece_seconds: float = 1.0
) -> AsyncGenerator[Sound, None]:
    """Signed 16-bit little-endian mono samples of a file, from its beginning to its end.

    Use it under `contextlib.aclosing`. Samples carry no times: where the file has no sound there
    is silence, so the position gives the time. More than a minute without sound is left out, and
    the piece it would be in names the jump.

    Args:
        source: As `admit` gave it.
        ffmpeg: The binary.
        hertz: Samples per second.
        piece_seconds: How long each piece is; the last one is shorter.

    Raises:
        MediaError: It has no sound, or cannot be read, or ends before it should.
    """
    facts = await probe(ffmpeg, source)
    require_tracks(facts, video=False, audio=True)
    jumps = await _jumps(source, ffmpeg, facts)
    pieces = SoundPieces(hertz, piece_seconds, jumps)
    said = list[str]()
    async with aclosing(_samples(source, ffmpeg, facts, hertz, jumps, said)) as samples:
        async for data in samples:
            for piece in pieces.feed(data):
                yield piece
    for piece in pieces.finish():
        yield piece
    ends = pieces.given_seconds + sum(jump.seconds for jump in jumps)
    refuse_early_end(facts, _declared(facts), ends, "".join(said))


class SoundPieces:
    """Cuts samples into pieces of one length.

    Args:
        hertz: Samples per second.
        piece_seconds: How long each is.
        jumps: What was left out of them.
    """

    def __init__(self, hertz: int, piece_seconds: float, jumps: Sequence[ClockJump]) -> None:
        self._hertz = hertz
        self._piece_bytes = max(1, round(piece_seconds * hertz)) * BYTES_PER_SAMPLE
        self._jumps = deque(jumps)
        self._waiting = bytearray()
        self.given_seconds = 0.0

    def feed(self, data: bytes) -> Iterator[Sound]:
        self._waiting += data
        while len(self._waiting) >= self._piece_bytes:
            piece = bytes(self._waiting[: self._piece_bytes])
            del self._waiting[: self._piece_bytes]
            yield self._piece(piece)

    def finish(self) -> Iterator[Sound]:
        if self._waiting:
            yield self._piece(bytes(self._waiting))

    def _piece(self, samples: bytes) -> Sound:
        start = self.given_seconds
        self.given_seconds += len(samples) / BYTES_PER_SAMPLE / self._hertz
        jumps = []
        while self._jumps and self._jumps[0].at_seconds < self.given_seconds:
            jumps.append(self._jumps.popleft())
        return Sound(start, self._hertz, samples, tuple(jumps))


def _declared(facts: Facts) -> float | None:
    """How long the sound should be, where the file tells: a picture beside it may last longer."""
    return facts.sound_seconds or (None if facts.video else facts.sent_seconds)


async def _jumps(source: Path, ffmpeg: Ffmpeg, facts: Facts) -> list[ClockJump]:
    async with opened(source) as file:
        clock = await look_through(
            PacketClock(_MAX_SILENT_SECONDS, begins_seconds=0.0),
            ffmpeg,
            file,
            tracks=["a:0"],
            container=facts.container_name,
            means=ffmpeg.limits.to_copy(file.size, facts.duration_seconds),
        )
    return clock.jumps


async def _samples(
    source: Path,
    ffmpeg: Ffmpeg,
    facts: Facts,
    hertz: int,
    jumps: Sequence[ClockJump],
    said: list[str],
) -> AsyncGenerator[bytes, None]:
    """What ffmpeg writes, to its end; then what it said is added to `said`."""
    limits = ffmpeg.limits
    async with opened(source) as file:
        command = commands.sound(
            ffmpeg.path,
            file.url,
            hertz=hertz,
            container=facts.container_name,
            jumps=jumps,
            max_pixels=limits.max_pixels,
        )
        means = limits.to_copy(file.size, facts.duration_seconds)
        left = _MOST_GROWTH * file.size + _SPARE_BYTES
        async with running(command, descriptors=file.descriptors, means=means) as child:
            while data := await child.read():
                if (left := left - len(data)) < 0:
                    raise inflated(file.size, _MOST_GROWTH)
                yield data
            await child.finish()
            said.append(child.log.text())
