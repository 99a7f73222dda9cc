"""What cutting an hour of film into segments costs, beside `ffmpeg -c copy` to a file of its kind.

CPU seconds of this process and of ffmpeg: on a busy machine the clock tells about its neighbours.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import anyio

from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.wire.dialects import V2

from .bench_media import CLIP
from .segments import segments_of
from .table import rounds, show

_SECONDS = 3_600
_KINDS = ("mp4", "mov", "mkv", "ts", "webm")
_TO_WEBM = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -c:a libopus"


def run(count: int) -> None:
    ffmpeg = find_ffmpeg(os.environ.get("IH_MCP_FFMPEG"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for kind in _KINDS:
            source = _looped(ffmpeg, kind, folder)
            measured = rounds(
                count,
                {
                    "ffmpeg -c copy to a file": partial(_copy, ffmpeg, source),
                    "ih-mcp, into segments of v2": partial(_split, ffmpeg, source),
                },
            )
            title = f"split of 1 h, {kind}, {source.stat().st_size / 1e6:.0f} MB"
            show(title, "s of CPU", measured, floor="ffmpeg -c copy to a file")
            source.unlink()


def _looped(ffmpeg: Ffmpeg, kind: str, folder: Path) -> Path:
    clip, path = CLIP, folder / f"hour.{kind}"
    if kind == "webm":
        clip = folder / "clip.webm"
        _run(ffmpeg, "-i", str(CLIP), *_TO_WEBM.split(), str(clip))
    _run(ffmpeg, "-stream_loop", "-1", "-i", str(clip), "-t", f"{_SECONDS}", *_COPY, str(path))
    return path


_COPY = ("-map", "0:V:0", "-map", "0:a:0", "-c", "copy", "-y")


def _run(ffmpeg: Ffmpeg, *arguments: str) -> None:
    subprocess.run([ffmpeg.path, "-nostdin", "-v", "error", *arguments], check=True)


def _copy(ffmpeg: Ffmpeg, source: Path) -> float:
    began, target = _cpu_seconds(), source.with_stem("copied")
    _run(ffmpeg, "-i", str(source), *_COPY, str(target))
    target.unlink()
    return _cpu_seconds() - began


def _split(ffmpeg: Ffmpeg, source: Path) -> float:
    async def work() -> None:
        async with segments_of(source, V2, ffmpeg) as segments:
            async for _ in segments:
                pass

    began = _cpu_seconds()
    anyio.run(work)
    return _cpu_seconds() - began


def _cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
