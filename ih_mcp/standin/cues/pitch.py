"""The pitch of short stretches of sound, by autocorrelation.

After Boersma 1993: the autocorrelation of the windowed sound over that of the window.
"""

from __future__ import annotations

import numpy as np

from .series import Bools, Floats

FRAME_SAMPLES = 640  # three periods of the lowest pitch
_FFT = 2_048
_LOWEST_HERTZ, _HIGHEST_HERTZ = 75.0, 500.0
_HERTZ = 16_000
_VOICED = 0.5  # chosen on known tones and real clips
_OCTAVE_COST = 0.05  # chosen: an octave lower must be so much better; with 0.02 some tones fell
_NEIGHBOURS = 7  # frames on each side
_MAX_JUMP_SEMITONES = 8.0

_WINDOW = np.hanning(FRAME_SAMPLES)
_LOW = int(_HERTZ / _HIGHEST_HERTZ)
_HIGH = int(_HERTZ / _LOWEST_HERTZ) + 1
_OF_WINDOW = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _FFT)) ** 2)[: _HIGH + 2]
_OF_WINDOW /= _OF_WINDOW[0]
_LAGS = np.arange(_LOW, _HIGH)
_COST = _OCTAVE_COST * np.log2(_LAGS / _LOW)


def compute_spectra(frames: Floats) -> Floats:
    """The power spectra of frames, a row each; what `estimate_pitches` and `compute_bands` read."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    power: Floats = np.abs(np.fft.rfft(centred * _WINDOW, _FFT)) ** 2
    return power


def estimate_pitches(power: Floats) -> Floats:
    """Semitones over 100 Hz per row; NaN where it is not voiced."""
    auto = np.fft.irfft(power)[:, : _HIGH + 2]
    auto = auto / np.maximum(auto[:, :1], 1e-12) / _OF_WINDOW
    left, inner, right = (auto[:, _LOW + side : _HIGH + side] for side in (-1, 0, 1))
    is_peak = (inner > left) & (inner >= right)
    bend = np.where(is_peak, left - 2 * inner + right, -1.0)
    height = np.where(is_peak, inner - (left - right) ** 2 / (8 * bend), -1.0)
    best = (height - _COST).argmax(axis=1)
    rows = np.arange(len(auto))
    lag = _LAGS[best] + 0.5 * (left - right)[rows, best] / bend[rows, best]
    is_voiced = height[rows, best] >= _VOICED
    return np.where(is_voiced, 12 * np.log2(_HERTZ / lag / 100), np.nan)


def remove_jumps(pitch: Floats) -> Floats:
    """Without frames whose octave does not fit those around them; the ends are left out.

    Gives `2 * EDGE_FRAMES` frames fewer than it takes.
    """
    around = np.lib.stride_tricks.sliding_window_view(pitch, 2 * _NEIGHBOURS + 1)
    known = np.isfinite(around)
    filled = np.sort(np.where(known, around, np.inf), axis=1)
    middle = filled[np.arange(len(filled)), np.maximum(known.sum(axis=1) - 1, 0) // 2]
    here = pitch[_NEIGHBOURS:-_NEIGHBOURS]
    fits: Bools = np.abs(here - np.where(np.isfinite(middle), middle, 0.0)) < _MAX_JUMP_SEMITONES
    return np.where(fits, here, np.nan)


EDGE_FRAMES = _NEIGHBOURS

_BAND_HERTZ = (100, 250, 400, 550, 700, 900, 1150, 1400, 1750, 2150, 2700, 3400, 4400)
_BAND_BINS = [round(hertz * _FFT / _HERTZ) for hertz in _BAND_HERTZ]


def compute_bands(power: Floats) -> Floats:
    """The loudness of twelve bands in dB against their mean: what a vowel sounds like."""
    sums = np.add.reduceat(power, _BAND_BINS, axis=1)[:, :-1]
    levels = 10 * np.log10(sums + 1e-9)
    against_mean: Floats = levels - levels.mean(axis=1, keepdims=True)
    return against_mean
