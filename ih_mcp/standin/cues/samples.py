"""Sound as it is decoded, into blocks of 0.16 s at 16 kHz on a fixed grid of media time.

Every later figure is computed from such blocks, so it does not depend on how the sound was cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ih_mcp.media.ffmpeg.decode import Sound

from .series import BLOCK_SECONDS, Bools, Floats

HERTZ = 16_000
BLOCK_SAMPLES = round(BLOCK_SECONDS * HERTZ)
_JOIN_SECONDS = 0.04  # chosen: containers round times to milliseconds, codecs pad their beginning
_FULL_SCALE = 32_768.0


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """0.16 s of sound."""

    index: int
    """Its place on the grid; blocks between two of them are absent."""
    samples: Floats
    """Within -1 and 1."""
    present: Bools
    """Per sample: whether there was sound."""


class BlockCutter:
    """Cuts sound at 16 kHz, or at 24 kHz (raw samples of `inter-2-audio`), into blocks."""

    def __init__(self) -> None:
        self._samples = np.zeros(0)
        self._present = np.zeros(0, np.bool_)
        self._index = 0
        self._resampler = _Resampler()

    @property
    def _next(self) -> int:
        """The number of the sample that continues what is here."""
        return self._index * BLOCK_SAMPLES + len(self._samples)

    def add_sound(self, sound: Sound) -> Iterator[SoundBlock]:
        """The blocks that are complete now."""
        samples = np.frombuffer(sound.samples, "<i2").astype(np.float64) / _FULL_SCALE
        start = round(sound.start_seconds * HERTZ)
        if sound.hertz != HERTZ:
            start, samples = self._resampler.resample(samples, start)
        gap = start - self._next
        if gap > _JOIN_SECONDS * HERTZ:
            yield from self._skip(gap)
        elif gap < -_JOIN_SECONDS * HERTZ:  # came twice; the first stands
            samples = samples[-gap:]
        self._append(samples, is_present=True)
        yield from self._whole()

    def _skip(self, samples: int) -> Iterator[SoundBlock]:
        """Fill up what is missing; whole blocks of it are left out."""
        to_grid = -self._next % BLOCK_SAMPLES
        self._append(np.zeros(min(samples, to_grid)), is_present=False)
        yield from self._whole()
        left = max(0, samples - to_grid)
        self._index += left // BLOCK_SAMPLES
        self._append(np.zeros(left % BLOCK_SAMPLES), is_present=False)

    def _append(self, samples: Floats, *, is_present: bool) -> None:
        self._samples = np.concatenate([self._samples, samples])
        self._present = np.concatenate([self._present, np.full(len(samples), is_present)])

    def _whole(self) -> Iterator[SoundBlock]:
        while len(self._samples) >= BLOCK_SAMPLES:
            yield SoundBlock(
                self._index, self._samples[:BLOCK_SAMPLES], self._present[:BLOCK_SAMPLES]
            )
            self._samples = self._samples[BLOCK_SAMPLES:]
            self._present = self._present[BLOCK_SAMPLES:]
            self._index += 1


class _Resampler:
    """24 kHz into 16 kHz: every third sample of the doubled rate behind a low pass."""

    _IN = BLOCK_SAMPLES * 3 // 2
    _TAPS = 48

    def __init__(self) -> None:
        taps = np.arange(-self._TAPS, self._TAPS + 1)
        low_pass = np.sinc(taps / 3) * np.hanning(len(taps) + 2)[1:-1]
        self._taps = low_pass * 2 / low_pass.sum()
        self._context = np.zeros(2 * self._TAPS)
        self._waiting = np.zeros(0)

    def resample(self, samples: Floats, start: int) -> tuple[int, Floats]:
        """The samples that are complete so far, and the number of the first one."""
        start -= round(len(self._waiting) * 2 / 3)
        self._waiting = np.concatenate([self._waiting, samples])
        blocks = []
        while len(self._waiting) >= self._IN:
            blocks.append(self._third(self._waiting[: self._IN]))
            self._waiting = self._waiting[self._IN :]
        return start, np.concatenate(blocks) if blocks else np.zeros(0)

    def _third(self, samples: Floats) -> Floats:
        doubled = np.zeros(2 * len(samples))
        doubled[::2] = samples
        doubled = np.concatenate([self._context, doubled])
        self._context = doubled[-2 * self._TAPS :]
        return np.convolve(doubled, self._taps, mode="valid")[::3]
