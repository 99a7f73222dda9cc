"""Real media for the stand-in, made once from the clip in the repository."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import split
from ih_mcp.wire.dialects import V0, V1, Framing


@pytest.fixture(scope="session")
def continued(dialogue: Path, ffmpeg: Ffmpeg) -> list[bytes]:
    """The clip as one stream in pieces of about 3 s: the first carries the header."""
    return anyio.run(_cut, dialogue, ffmpeg, Framing.CONTINUED, 3.0)


@pytest.fixture(scope="session")
def whole(dialogue: Path, ffmpeg: Ffmpeg) -> list[bytes]:
    """The clip as files of about 5 s that decode alone."""
    return anyio.run(_cut, dialogue, ffmpeg, Framing.WHOLE, 5.0)


async def _cut(source: Path, ffmpeg: Ffmpeg, framing: Framing, seconds: float) -> list[bytes]:
    limits = V1.limits if framing is Framing.CONTINUED else replace(V0.limits)
    segments = split(source, ffmpeg=ffmpeg, limits=limits, framing=framing, target_seconds=seconds)
    async with aclosing(segments):
        return [segment.data async for segment in segments]
