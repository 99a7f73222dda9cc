"""What an analyst of your own is made of, and how the stand-in analyses media.

An analyst looks at decoded pictures and sound and says what it sees in each window. To offer one,
write a class with the four methods of `Analyst` and name it in your package's `pyproject.toml`:

    [project.entry-points."ih_mcp.analysts"]
    loudness = "loudness_analyst:Loudness"

The class is called without arguments, once for each session::

    class Loudness:
        def describe(self) -> Description:
            return Description(
                name="loudness",
                version="0.1.0",
                senses=Senses(pictures_per_second=1, sound_hertz=8_000),
                signals=("interest",),
                sends_data_away=False,
            )

        async def feed(self, item: Picture | Sound) -> None:
            ...  # measure the media now: it comes only once

        async def observe(self, window: Window) -> Observations:
            found = Observation(
                signal_type="interest", probability="low", rationale="The sound got louder."
            )
            return Observations(signals=[found])

        async def aclose(self) -> None:
            ...  # the session is over

`ih-mcp standin --analyst loudness` then uses it. `examples/analyst-plugin` is a whole package.
"""

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.wire.dialects import PROBABILITIES

from .analyst import (
    ENGAGEMENT,
    ENTRY_POINTS,
    Analyst,
    AnalystError,
    Description,
    MakeAnalyst,
    Observation,
    Observations,
    Senses,
    find_analyst,
)
from .windows import Window

__all__ = [
    "ENGAGEMENT",
    "ENTRY_POINTS",
    "PROBABILITIES",
    "Analyst",
    "AnalystError",
    "Description",
    "MakeAnalyst",
    "Observation",
    "Observations",
    "Picture",
    "Senses",
    "Sound",
    "Window",
    "find_analyst",
]
