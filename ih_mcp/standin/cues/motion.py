"""How far a patch of a picture moved from one picture to the next, to fractions of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Patch = NDArray[np.float32]

_LEAST_CONTRAST = 2.0  # of 255: a patch flatter than this shows no movement
_SMOOTH = 0.12  # of the sampling rate; the finest detail differs from picture to picture


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a picture and how coarsely it is looked at; all in whole pixels."""

    left: int
    top: int
    columns: int
    rows: int
    factor: int
    """So many pixels in each direction are one point."""

    def moved(self, right: int, down: int) -> Region:
        return Region(self.left + right, self.top + down, self.columns, self.rows, self.factor)

    def cut(self, picture: Gray) -> Patch | None:
        """The points of this rectangle; None where it is not wholly in the picture."""
        height, width = self.rows * self.factor, self.columns * self.factor
        is_inside = (
            0 <= self.left <= picture.shape[1] - width
            and 0 <= self.top <= picture.shape[0] - height
        )
        if not is_inside:
            return None
        pixels = picture[self.top : self.top + height, self.left : self.left + width]
        if self.factor == 1:
            return pixels.astype(np.float32)
        # rows first: adding whole rows of 16 bits is what numpy does fastest
        rows = pixels.reshape(self.rows, self.factor, width).sum(axis=1, dtype=np.uint16)
        points = rows.reshape(self.rows, self.columns, self.factor).sum(axis=2, dtype=np.uint32)
        mean: Patch = points.astype(np.float32) / np.float32(self.factor**2)
        return mean


def estimate_coarse_shift(before: Patch, after: Patch) -> tuple[int, int]:
    """The shift (right, down) in whole points, by phase correlation; for large ones."""
    window = _window(before.shape)
    a = np.fft.rfft2((before - before.mean()) * window)
    b = np.fft.rfft2((after - after.mean()) * window)
    cross = b * np.conj(a)
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3) * _low_pass(before.shape), before.shape)
    row, column = np.unravel_index(int(peak.argmax()), peak.shape)
    rows, columns = before.shape
    return (
        int((column + columns // 2) % columns - columns // 2),
        int((row + rows // 2) % rows - rows // 2),
    )


def estimate_fine_shift(before: Patch, after: Patch) -> tuple[float, float] | None:
    """The shift (right, down) in points where it is below two, by least squares.

    A change of brightness or contrast is no movement. None where there is nothing to hold on to.
    """
    a, b = _normalise(before), _normalise(after)
    if a is None or b is None:
        return None
    middle = (a + b) * np.float32(0.5)
    right = (middle[1:-1, 2:] - middle[1:-1, :-2]) * np.float32(0.5)
    down = (middle[2:, 1:-1] - middle[:-2, 1:-1]) * np.float32(0.5)
    change = (b - a)[1:-1, 1:-1]
    window = _window(change.shape)
    weighted_right, weighted_down = right * window, down * window
    xx = float(np.vdot(weighted_right, right))
    xy = float(np.vdot(weighted_right, down))
    yy = float(np.vdot(weighted_down, down))
    tx = -float(np.vdot(weighted_right, change))
    ty = -float(np.vdot(weighted_down, change))
    slope = xx * yy - xy * xy
    if slope <= 1e-6 * (xx + yy) ** 2:
        return None
    return (yy * tx - xy * ty) / slope, (xx * ty - xy * tx) / slope


def _normalise(patch: Patch) -> Patch | None:
    """With mean 0 and spread 1; None where it is flat."""
    centred = patch - np.float32(np.add.reduce(patch, axis=None) / patch.size)
    spread = float(np.vdot(centred, centred) / patch.size) ** 0.5
    return None if spread < _LEAST_CONTRAST else centred * np.float32(1 / spread)


@cache
def _window(shape: tuple[int, ...]) -> Patch:
    rows, columns = (np.hanning(size + 2)[1:-1] for size in shape)
    return np.outer(rows, columns).astype(np.float32)


@cache
def _low_pass(shape: tuple[int, ...]) -> Patch:
    rows = np.fft.fftfreq(shape[0])[:, None]
    columns = np.fft.rfftfreq(shape[1])[None, :]
    return np.exp(-(rows**2 + columns**2) / (2 * _SMOOTH**2)).astype(np.float32)
