"""What a package with an analyst of its own may import, and the example that shows it."""

from __future__ import annotations

import re
from textwrap import dedent

from ih_mcp.media.ffmpeg import decode
from ih_mcp.standin import analysis
from ih_mcp.standin.analysis import Analyst, Window, analyst, windows

WINDOW = Window(0, 0.0, 8.0)


def test_the_package_offers_what_its_modules_define() -> None:
    """Analysts that were written against the modules go on working."""
    modules = (analyst, windows, decode)
    for name in analysis.__all__:
        homes = [module for module in modules if hasattr(module, name)]
        assert homes, name
        assert all(getattr(module, name) is getattr(analysis, name) for module in homes)


async def test_the_example_of_its_documentation_is_an_analyst() -> None:
    assert analysis.__doc__ is not None
    example = re.search(r"(    class Loudness:.*?)\n\n`ih-mcp", analysis.__doc__, re.DOTALL)
    assert example is not None
    names: dict[str, type[Analyst]] = {}
    exec(dedent(example[1]), {**vars(analysis)}, names)  # noqa: S102 - our own documentation
    loudness = names["Loudness"]()
    await loudness.feed(analysis.Sound(0.0, 8_000, b""))
    observations = await loudness.observe(WINDOW)
    description = loudness.describe()
    assert analyst.check_observations(observations, description, WINDOW) is observations
    assert observations.signals
    await loudness.aclose()
