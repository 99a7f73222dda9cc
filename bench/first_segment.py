"""From calling `split` to the first segment, of a 10 s and a 1 h file, beside ffmpeg's start."""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio

from ih_mcp.media.ffmpeg import Ffmpeg, find_ffmpeg
from ih_mcp.media.split import split
from ih_mcp.wire.dialects import V1

from .table import rounds, show

CLIP = Path(__file__).parents[1] / "examples" / "media" / "dialogue.mp4"


def run(count: int) -> None:
    ffmpeg = find_ffmpeg()
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "10s.mp4", Path(folder) / "1h.mp4"
        _loop(ffmpeg, short, 10)
        _loop(ffmpeg, long, 3600)
        measured = rounds(
            count,
            {
                "ffmpeg -version": partial(_start, ffmpeg),
                "first segment of a 10 s file": partial(anyio.run, _first, ffmpeg, short),
                "first segment of a 1 h file": partial(anyio.run, _first, ffmpeg, long),
            },
        )
    show("first segment", "ms", measured, floor="ffmpeg -version", scale=1000)


def _loop(ffmpeg: Ffmpeg, target: Path, seconds: int) -> None:
    subprocess.run(
        [
            *(ffmpeg.path, "-v", "error", "-stream_loop", "-1", "-i", str(CLIP)),
            *("-c", "copy", "-t", str(seconds), str(target)),
        ],
        check=True,
    )


def _start(ffmpeg: Ffmpeg) -> float:
    began = time.perf_counter()
    subprocess.run([ffmpeg.path, "-version"], check=True, capture_output=True)
    return time.perf_counter() - began


async def _first(ffmpeg: Ffmpeg, source: Path) -> float:
    began = time.perf_counter()
    cut = split(
        source,
        ffmpeg=ffmpeg,
        limits=V1.limits,
        framing=V1.framing,
        target_seconds=V1.target_segment_seconds,
    )
    async with aclosing(cut) as segments:
        async for _ in segments:
            return time.perf_counter() - began
    raise AssertionError("no segment")
