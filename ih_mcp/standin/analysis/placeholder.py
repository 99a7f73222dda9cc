"""The analyst that measures nothing about people: it makes events up from loudness and movement.

It exists so that a client sees every kind of event on any media, the same ones each time, however
the bytes were cut. What it says about people is invented, and each rationale begins with that.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from functools import cache
from statistics import fmean

from ih_mcp import __version__
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.wire.dialects import V2

from .analyst import Description, Observation, Observations, Senses
from .windows import Window

MARK = "[ih-mcp stand-in: no AI model, no measurement of people]"

SIGNALS = V2.signals  # of both models and all versions; `engagement.updated` tells the other two
_DESCRIPTION = Description(
    name="placeholder",
    version=__version__,
    senses=Senses(),
    signals=SIGNALS,
    never=("engagement", "disengagement"),
    sends_data_away=False,
)
_BANDS = ((0.75, "high"), (0.68, "medium"), (0.60, "low"))  # chosen: some signals, not all
_ENGAGED, _DISENGAGED = 0.55, 0.40
_LEVELS = 8
_EVERY = 8  # samples that count; enough to hear loudness, cheap without numpy


class Placeholder:
    """Events out of loudness and movement per second; see `Analyst`."""

    def __init__(self) -> None:
        self._loudness: dict[int, list[int]] = defaultdict(list)
        self._movement: dict[int, list[float]] = defaultdict(list)
        self._last: bytes | None = None

    def describe(self) -> Description:
        return _DESCRIPTION

    async def feed(self, item: Picture | Sound) -> None:
        match item:
            case Picture():
                self._measure_movement(item)
            case Sound():
                self._measure_loudness(item)

    async def observe(self, window: Window) -> Observations:
        levels = self._levels(window)
        self._forget(window.start_seconds)
        loud = round(fmean(level[0] for level in levels), 2)
        lively = round(fmean(level[1] for level in levels), 2)
        rationale = (
            f"{MARK} Made up from loudness {loud} and movement {lively} (of {_LEVELS - 1}) in "
            f"seconds {window.start_seconds:g} to {window.end_seconds:g}."
        )
        evidence = {"loudness": loud, "movement": lively}
        signals = [
            Observation(signal_type=name, probability=band, rationale=rationale, evidence=evidence)
            for name in SIGNALS
            if (band := _band(_score(name, levels))) is not None
        ]
        return Observations(signals=signals, engagement=_engagement(_score("engagement", levels)))

    async def aclose(self) -> None:
        self._loudness.clear()
        self._movement.clear()

    def _measure_movement(self, picture: Picture) -> None:
        if self._last is not None and len(self._last) == len(picture.gray):
            change = sum(abs(a - b) for a, b in zip(self._last, picture.gray, strict=True))
            second = int(picture.time_seconds)
            self._movement[second].append(change / len(picture.gray))
        self._last = picture.gray

    def _measure_loudness(self, sound: Sound) -> None:
        samples = array("h", sound.samples)
        first = round(sound.start_seconds * sound.hertz)
        for index in range(-first % _EVERY, len(samples), _EVERY):
            self._loudness[(first + index) // sound.hertz].append(abs(samples[index]))

    def _levels(self, window: Window) -> list[tuple[int, int]]:
        first = int(window.start_seconds)
        last = max(first + 1, int(window.end_seconds))
        return [
            (
                _level(fmean(self._loudness.get(second) or [0]) / 64),
                _level(fmean(self._movement.get(second) or [0])),
            )
            for second in range(first, last)
        ]

    def _forget(self, before_seconds: float) -> None:
        for kept in (self._loudness, self._movement):
            for second in [second for second in kept if second < int(before_seconds)]:
                del kept[second]


def _level(value: float) -> int:
    """0 to 7, each twice the one before."""
    return min(_LEVELS - 1, int(value).bit_length())


def _score(name: str, levels: list[tuple[int, int]]) -> float:
    return fmean(_table(name)[loud][lively] for loud, lively in levels)


@cache
def _table(name: str) -> list[list[float]]:
    """What a signal makes of a loudness and a movement: arbitrary, but always the same."""
    return [
        [
            hashlib.sha256(f"{name}/{loud}/{lively}".encode()).digest()[0] / 255
            for lively in range(_LEVELS)
        ]
        for loud in range(_LEVELS)
    ]


def _band(score: float) -> str | None:
    return next((band for least, band in _BANDS if score >= least), None)


def _engagement(score: float) -> str:
    if score >= _ENGAGED:
        return "engaged"
    return "disengaged" if score < _DISENGAGED else "neutral"
