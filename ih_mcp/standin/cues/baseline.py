"""What a speaker's voice is usually like: the running median of earlier stretches of speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .phrases import Events
from .series import FRAME_SECONDS, FrameStore

HOP_SECONDS = 3.0
_MIN_SPEECH_SECONDS = 1.2
MIN_HOPS = 4
_KEPT_HOPS = 10  # half a minute: then a lasting change has become the usual
_LEAST_DEVIATION = {"pitch_semitones": 0.4, "level_db": 1.0, "syllables_per_second": 0.25}


@dataclass(frozen=True, slots=True)
class Usual:
    """A median, and the median of the distances from it."""

    median: float
    deviation: float

    def over(self, value: float) -> float:
        """How far a value lies over it."""
        return value - self.median

    def deviations(self, value: float) -> float:
        """The same, in deviations."""
        return (value - self.median) / self.deviation


@dataclass(frozen=True, slots=True)
class Baseline:
    pitch_semitones: Usual
    level_db: Usual
    syllables_per_second: Usual


@dataclass(frozen=True, slots=True)
class _Hop:
    end_seconds: float
    pitch_semitones: float
    level_db: float
    syllables_per_second: float


class Hops:
    """Stretches of 3 s, each measured once, when all of it is known."""

    def __init__(self) -> None:
        self._hops: list[_Hop] = []
        self._next = 0

    def measure(self, frames: FrameStore, events: Events, until_seconds: float) -> None:
        """Take in the stretches that are known up to here."""
        while (self._next + 1) * HOP_SECONDS <= until_seconds:
            start = self._next * HOP_SECONDS
            self._next += 1
            if (hop := _measured(frames, events, start)) is not None:
                self._hops.append(hop)

    def usual(self, before_seconds: float) -> Baseline | None:
        """What was usual before; None while fewer than four stretches had speech."""
        hops = [hop for hop in self._hops if hop.end_seconds <= before_seconds][-_KEPT_HOPS:]
        if len(hops) < MIN_HOPS:
            return None
        return Baseline(*(_usual(name, hops) for name in _LEAST_DEVIATION))

    def forget(self, before_seconds: float) -> None:
        old = [hop for hop in self._hops if hop.end_seconds <= before_seconds]
        del self._hops[: max(0, len(old) - _KEPT_HOPS)]


def _measured(frames: FrameStore, events: Events, start: float) -> _Hop | None:
    end = start + HOP_SECONDS
    part = frames.between(start, end)
    seconds = float(part.speech.sum()) * FRAME_SECONDS
    voiced = part.pitch[part.speech & np.isfinite(part.pitch)]
    if seconds < _MIN_SPEECH_SECONDS or not len(voiced):
        return None
    syllables = sum(start <= item.time_seconds < end for item in events.syllables)
    return _Hop(
        end,
        float(np.median(voiced)),
        float(np.median(part.level[part.speech])),
        syllables / seconds,
    )


def _usual(name: str, hops: list[_Hop]) -> Usual:
    values = np.array([getattr(hop, name) for hop in hops])
    median = float(np.median(values))
    deviation = float(np.median(np.abs(values - median)))
    return Usual(median, max(deviation, _LEAST_DEVIATION[name]))
