"""An analyst of one's own: `interest` wherever the sound gets louder. Replace it by your model."""

from __future__ import annotations

import math
from array import array

from ih_mcp.standin.analysis import (
    Description,
    Observation,
    Observations,
    Picture,
    Senses,
    Sound,
    Window,
)

_LOUDER_DB = 6.0


class Loudness:
    """Compares the second half of a window with the first."""

    def __init__(self) -> None:
        self._levels: list[tuple[float, float]] = []

    def describe(self) -> Description:
        return Description(
            name="loudness",
            version="0.1.0",
            senses=Senses(pictures_per_second=1, sound_hertz=8_000),  # asks for what it needs only
            signals=("interest",),
            sends_data_away=False,  # true for a model behind a network
        )

    async def feed(self, item: Picture | Sound) -> None:
        """Measure once; windows overlap, media comes only once."""
        if isinstance(item, Sound):
            samples = array("h", item.samples)
            power = sum(sample * sample for sample in samples) / max(1, len(samples))
            self._levels.append((item.start_seconds, 10 * math.log10(power + 1)))

    async def observe(self, window: Window) -> Observations:
        middle = (window.start_seconds + window.end_seconds) / 2
        first, second = (
            self._mean(start, end)
            for start, end in ((window.start_seconds, middle), (middle, window.end_seconds))
        )
        self._levels = [item for item in self._levels if item[0] >= window.start_seconds]
        if second - first < _LOUDER_DB:
            return Observations()
        found = Observation(
            signal_type="interest",
            probability="low",
            rationale=f"[example plug-in] The sound got {second - first:.1f} dB louder.",
            evidence={"louder_db": second - first},
            start_seconds=middle,
        )
        return Observations(signals=[found])

    async def aclose(self) -> None:
        self._levels.clear()

    def _mean(self, start_seconds: float, end_seconds: float) -> float:
        levels = [level for at, level in self._levels if start_seconds <= at < end_seconds]
        return sum(levels) / len(levels) if levels else 0.0
