"""What is usual for a speaker's voice: the running median over earlier stretches of speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .phrases import Events
from .series import FRAME_SECONDS, FrameStore

STRETCH_SECONDS = 3.0
_MIN_SPEECH_SECONDS = 1.2
MIN_STRETCHES = 4
_KEPT_STRETCHES = 10  # half a minute: then a lasting change has become the usual
_LEAST_DEVIATION = {"pitch_semitones": 0.4, "level_db": 1.0, "syllables_per_second": 0.25}


@dataclass(frozen=True, slots=True)
class UsualValue:
    """A median, and the median of the distances from it."""

    median: float
    deviation: float

    def difference(self, value: float) -> float:
        """How far a value lies over it."""
        return value - self.median

    def deviations(self, value: float) -> float:
        """The same, in deviations."""
        return (value - self.median) / self.deviation


@dataclass(frozen=True, slots=True)
class Baseline:
    pitch_semitones: UsualValue
    level_db: UsualValue
    syllables_per_second: UsualValue


@dataclass(frozen=True, slots=True)
class _Stretch:
    end_seconds: float
    pitch_semitones: float
    level_db: float
    syllables_per_second: float


class SpeechHistory:
    """Stretches of 3 s, each measured once, when all of it is known."""

    def __init__(self) -> None:
        self._stretches: list[_Stretch] = []
        self._next = 0

    def measure(self, frames: FrameStore, events: Events, until_seconds: float) -> None:
        """Measure the stretches that are complete up to here."""
        while (self._next + 1) * STRETCH_SECONDS <= until_seconds:
            start = self._next * STRETCH_SECONDS
            self._next += 1
            if (stretch := _measure_stretch(frames, events, start)) is not None:
                self._stretches.append(stretch)

    def baseline(self, before_seconds: float) -> Baseline | None:
        """What was usual before; None while fewer than four stretches had speech."""
        stretches = [
            stretch for stretch in self._stretches if stretch.end_seconds <= before_seconds
        ][-_KEPT_STRETCHES:]
        if len(stretches) < MIN_STRETCHES:
            return None
        return Baseline(*(_usual_value(name, stretches) for name in _LEAST_DEVIATION))

    def forget(self, before_seconds: float) -> None:
        old = [stretch for stretch in self._stretches if stretch.end_seconds <= before_seconds]
        del self._stretches[: max(0, len(old) - _KEPT_STRETCHES)]


def _measure_stretch(frames: FrameStore, events: Events, start: float) -> _Stretch | None:
    end = start + STRETCH_SECONDS
    part = frames.between(start, end)
    seconds = float(part.speech.sum()) * FRAME_SECONDS
    voiced = part.pitch[part.speech & np.isfinite(part.pitch)]
    if seconds < _MIN_SPEECH_SECONDS or not len(voiced):
        return None
    syllables = sum(start <= item.time_seconds < end for item in events.syllables)
    return _Stretch(
        end,
        float(np.median(voiced)),
        float(np.median(part.level[part.speech])),
        syllables / seconds,
    )


def _usual_value(name: str, stretches: list[_Stretch]) -> UsualValue:
    values = np.array([getattr(stretch, name) for stretch in stretches])
    median = float(np.median(values))
    deviation = float(np.median(np.abs(values - median)))
    return UsualValue(median, max(deviation, _LEAST_DEVIATION[name]))
