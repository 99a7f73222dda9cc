"""Conversation quality of the stand-in: its own invented weights, not the vendor's.

Published are only: five dimensions and their mean, 0 to 100, 50 where there is no evidence, from
engagement and signals (docs: conversation-quality). The weights are not published; those below
are invented, so scores of the stand-in compare with nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .signal_messages import PresentSignal

DIMENSIONS = ("clarity", "authority", "energy", "rapport", "learning")  # sdk 1.3.4
PERIOD_SECONDS = 8.0  # docs: launch blog, "about every 8 s"; the first closes at 11 with 8/3

_FACTORS: Mapping[str, float] = {"low": 0.4, "medium": 0.7, "high": 1.0}  # chosen
_WEIGHTS: Mapping[str, Mapping[str, float]] = {  # chosen: invented, points at full strength
    "agreement": {"rapport": 20, "clarity": 5},
    "confidence": {"authority": 20, "clarity": 10, "energy": 5},
    "confusion": {"clarity": -20, "learning": 5},
    "disagreement": {"rapport": -10, "authority": 5},
    "frustration": {"rapport": -20, "energy": -5},
    "hesitation": {"clarity": -10, "authority": -10},
    "interest": {"learning": 20, "energy": 10, "rapport": 5},
    "skepticism": {"rapport": -5, "learning": 5},
    "stress": {"energy": -10, "authority": -10},
    "uncertainty": {"authority": -15, "clarity": -5},
    "engaged": {"energy": 15, "rapport": 10, "learning": 5},
    "disengaged": {"energy": -20, "rapport": -10, "learning": -5},
}


@dataclass(slots=True)
class Quality:
    """Scores over periods of a session; windows come in order.

    A period closes with the first window that ends more than 8 s after the period began.
    """

    _start: float = 0.0
    _end: float = 0.0
    _windows: int = 0
    _evidence: dict[str, float] = field(default_factory=dict)
    _sums: dict[str, float] = field(default_factory=dict)
    _seconds: float = 0.0

    def window(
        self, end_seconds: float, seen: Sequence[PresentSignal], engagement: str | None
    ) -> Mapping[str, object] | None:
        """Take a window in; gives `{"overall", "timeline"}` when it closes a period."""
        self._windows += 1
        self._end = end_seconds
        strengths = {item.signal_type: _FACTORS.get(item.probability, 0.0) for item in seen}
        if engagement in _WEIGHTS:
            strengths[str(engagement)] = 1.0
        for name, strength in strengths.items():
            for dimension, weight in _WEIGHTS.get(name, {}).items():
                self._evidence[dimension] = self._evidence.get(dimension, 0.0) + weight * strength
        return self._close() if end_seconds - self._start > PERIOD_SECONDS else None

    def finish(self, *, min_seconds: float) -> Mapping[str, object] | None:
        """Close the last period, where it is long enough to tell."""
        is_long = self._windows > 0 and self._end - self._start >= min_seconds
        return self._close() if is_long else None

    def _close(self) -> Mapping[str, object]:
        scores = {
            name: _clamp(50 + self._evidence.get(name, 0.0) / self._windows) for name in DIMENSIONS
        }
        seconds = self._end - self._start
        self._seconds += seconds
        for name, score in scores.items():
            self._sums[name] = self._sums.get(name, 0.0) + score * seconds
        overall = {name: self._sums[name] / self._seconds for name in DIMENSIONS}
        span = {"start": round(self._start, 3), "end": round(self._end, 3)}
        entry = {**span, "values": _with_index(scores)}
        self._start, self._windows, self._evidence = self._end, 0, {}
        return {"overall": _with_index(overall), "timeline": [entry]}


def _with_index(scores: Mapping[str, float]) -> dict[str, float]:
    """The index is the mean of the five (docs: conversation-quality)."""
    rounded = {name: round(score, 1) for name, score in scores.items()}
    return {"quality_index": round(sum(rounded.values()) / len(rounded), 1), **rounded}


def _clamp(score: float) -> float:
    return min(100.0, max(0.0, score))
