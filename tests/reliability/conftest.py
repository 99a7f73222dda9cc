from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ih_mcp.media.ffmpeg import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.script import Script
from ih_mcp.standin.serve import Running, serve

from .writer import message


@pytest.fixture
async def flooding(ffmpeg: Ffmpeg) -> AsyncIterator[Running]:
    """A stand-in that says a thousand things at once to each session."""
    steps = [{"at": "ready", "send": message("flood", number)} for number in range(1, 1001)]
    async with serve(Options(script=Script.parse(steps)), ffmpeg=ffmpeg) as running:
        yield running
