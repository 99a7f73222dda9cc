"""Rows of figures over media time, kept by blocks so that old ones can be forgotten."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FRAME_SECONDS = 0.01
BLOCK_FRAMES = 16
BLOCK_SECONDS = FRAME_SECONDS * BLOCK_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Figures of consecutive frames of 10 ms."""

    first: int
    """The number of the first frame, counted from the start of the session."""
    level: Floats
    """In dB of full scale."""
    pitch: Floats
    """In semitones over 100 Hz; NaN where there is no voice."""
    speech: Bools
    loud: Bools
    """Loud enough that something must be heard, speech or not."""
    present: Bools
    """Whether there was sound at all."""

    def between(self, start_seconds: float, end_seconds: float) -> Frames:
        """Those that start in a stretch of time."""
        low, high = (
            min(max(0, round(seconds / FRAME_SECONDS) - self.first), len(self.level))
            for seconds in (start_seconds, end_seconds)
        )
        return Frames(
            first=self.first + low,
            level=self.level[low:high],
            pitch=self.pitch[low:high],
            speech=self.speech[low:high],
            loud=self.loud[low:high],
            present=self.present[low:high],
        )


class FrameStore:
    """Blocks of frames in order; those between are absent sound."""

    def __init__(self) -> None:
        self._blocks: deque[Frames] = deque()

    def append(self, block: Frames) -> None:
        self._blocks.append(block)

    def between(self, start_seconds: float, end_seconds: float) -> Frames:
        """All frames of a stretch that are known, without holes: what is absent is silent."""
        first = round(start_seconds / FRAME_SECONDS)
        frames = max(0, round(end_seconds / FRAME_SECONDS) - first)
        whole = make_silent(first, frames)
        for block in self._blocks:
            part = block.between(start_seconds, end_seconds)
            at = part.first - first
            span = slice(at, at + len(part.level))
            for into, figures in (
                (whole.level, part.level),
                (whole.pitch, part.pitch),
                (whole.speech, part.speech),
                (whole.loud, part.loud),
                (whole.present, part.present),
            ):
                if len(part.level):
                    into[span] = figures
        return whole

    def forget(self, before_seconds: float) -> None:
        while self._blocks and (
            (self._blocks[0].first + BLOCK_FRAMES) * FRAME_SECONDS < before_seconds
        ):
            self._blocks.popleft()


def make_silent(first: int, frames: int) -> Frames:
    """Frames of absent sound."""
    return Frames(
        first=first,
        level=np.full(frames, SILENCE_DB),
        pitch=np.full(frames, np.nan),
        speech=np.zeros(frames, np.bool_),
        loud=np.zeros(frames, np.bool_),
        present=np.zeros(frames, np.bool_),
    )


SILENCE_DB = -100.0
