"""The sound of any file as raw samples, for models that only listen."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

from ih_mcp.errors import MediaError
from ih_mcp.media.clock_jumps import ClockJump, PacketClock
from ih_mcp.media.ffmpeg.packets import look_through
from ih_mcp.media.file_admission import opened
from ih_mcp.media.planner import Extent, too_little
from ih_mcp.media.segment_bounds import Bounds, bounds
from ih_mcp.wire.dialects import V2, Framing, Limits

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
    source: Path,
    *,
    ffmpeg: Ffmpeg,
    hertz: int = 16_000,
    limits: Limits = V2.limits,
    target_seconds: float = 1.0,
) -> AsyncGenerator[Sound, None]:
    """Signed 16-bit little-endian mono samples of a file, from its beginning to its end.

    Use it under `contextlib.aclosing`. Samples carry no times: where the file has no sound there
    is silence, so the position gives the time. More than a minute without sound is left out, and
    the piece it would be in names the jump.

    Args:
        source: As `admit` gave it.
        ffmpeg: The binary.
        hertz: Samples per second.
        limits: What the API session takes.
        target_seconds: How long pieces aim to be.

    Raises:
        MediaError: It has no sound, or cannot be read, or ends before it should; or what is left
            is less than the session takes (`too_short`, `too_small`).
    """
    facts = await probe(ffmpeg, source)
    require_tracks(facts, video=False, audio=True)
    jumps = await _jumps(source, ffmpeg, facts)
    limited = bounds(limits, Framing.CONTINUED, target_seconds=target_seconds)
    pieces, said = SoundPieces(hertz, limited, jumps), list[str]()

    def refuse_cut_off(*, is_sent: bool) -> None:
        ends = pieces.end_seconds + sum(jump.seconds for jump in jumps)
        refuse_early_end(facts, _declared(facts), ends, "".join(said), is_sent=is_sent)

    async with aclosing(_samples(source, ffmpeg, facts, hertz, jumps, said)) as samples:
        async for data in samples:
            for piece in pieces.feed(data):
                yield piece
    try:
        for piece in pieces.finish():
            yield piece
    except MediaError:
        refuse_cut_off(is_sent=False)
        raise
    refuse_cut_off(is_sent=True)


class SoundPieces:
    """Cuts samples into pieces of one length; the last one is shorter or, a little, longer.

    Args:
        hertz: Samples per second.
        limits: Of a piece.
        jumps: What was left out of them.
    """

    def __init__(self, hertz: int, limits: Bounds, jumps: Sequence[ClockJump]) -> None:
        self._hertz, self._limits = hertz, limits
        second_bytes = hertz * BYTES_PER_SAMPLE
        self._least_bytes = _whole_samples(
            max(limits.min_bytes, limits.min_seconds * second_bytes) + BYTES_PER_SAMPLE - 1
        )
        self._most_bytes = _whole_samples(min(limits.max_bytes, limits.max_seconds * second_bytes))
        wished = _whole_samples(limits.target_seconds * second_bytes)
        self._piece_bytes = max(self._least_bytes, min(wished, self._most_bytes))
        self._jumps = deque(jumps)
        self._waiting = bytearray()
        self._given_seconds = 0.0

    @property
    def end_seconds(self) -> float:
        """Of all that it was fed."""
        return self._end_of(len(self._waiting))

    def feed(self, data: bytes) -> Iterator[Sound]:
        """The pieces that these samples complete; what is left can be one as well."""
        self._waiting += data
        while len(self._waiting) >= self._piece_bytes + self._least_bytes:
            yield self._taken(self._piece_bytes)

    def finish(self) -> Iterator[Sound]:
        """The last pieces.

        Raises:
            MediaError: What is left is less than a piece may be (`too_short`, `too_small`).
        """
        if (size := len(self._waiting)) > self._most_bytes:
            are_two = size >= 2 * self._least_bytes
            yield self._taken(_whole_samples(size / 2) if are_two else self._most_bytes)
        if 0 < len(self._waiting) < self._least_bytes:
            left = Extent(self._given_seconds, self.end_seconds, len(self._waiting))
            raise too_little(left, self._limits)
        if self._waiting:
            yield self._taken(len(self._waiting))

    def _taken(self, size: int) -> Sound:
        samples = bytes(self._waiting[:size])
        del self._waiting[:size]
        start, self._given_seconds = self._given_seconds, self._end_of(size)
        jumps = []
        while self._jumps and self._jumps[0].at_seconds < self._given_seconds:
            jumps.append(self._jumps.popleft())
        return Sound(start, self._hertz, samples, tuple(jumps))

    def _end_of(self, size: int) -> float:
        return self._given_seconds + size / BYTES_PER_SAMPLE / self._hertz


def _whole_samples(size: float) -> int:
    return int(size) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE


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
