"""From the open session to the first segment on the wire, beside ffmpeg's own start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio

from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.net.opener import open_socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.sources.file import FileSource, send_file
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1

from .table import rounds, show

CLIP = Path(__file__).parents[1] / "examples" / "media" / "dialogue.mp4"


def run(count: int) -> None:
    ffmpeg = find_ffmpeg()
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "10s.mp4", Path(folder) / "1h.mp4"
        _loop(ffmpeg, short, 10)
        _loop(ffmpeg, long, 3600)
        peer = [sys.executable, "-m", "bench.flood", "0"]
        quiet = subprocess.DEVNULL  # it complains of sessions that end after one segment
        with subprocess.Popen(peer, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
            assert process.stdout
            base = f"http://127.0.0.1:{process.stdout.readline().strip()}"
            first = partial(_timed, ffmpeg, base)
            measured = rounds(
                count,
                {
                    "ffmpeg -version": partial(_start, ffmpeg),
                    "first segment of a 10 s file": partial(first, short),
                    "first segment of a 1 h file": partial(first, long),
                },
            )
            process.terminate()
    show("first segment on the wire", "ms", measured, floor="ffmpeg -version", scale=1000)


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


def _timed(ffmpeg: Ffmpeg, base: str, path: Path) -> float:
    return anyio.run(_first, ffmpeg, base, path)


async def _first(ffmpeg: Ffmpeg, base: str, path: Path) -> float:
    """From the open session to the first segment given to the system."""
    source = FileSource(path, await probe(ffmpeg, path), ffmpeg)
    with tempfile.TemporaryDirectory() as folder:
        async with open_journal(Path(folder)) as journal, anyio.create_task_group() as tasks:
            stream = Stream(
                "st_bench",
                StreamConfig(dialect=V1, base_url=base),
                log=await journal.begin("st_bench", {}),
                opener=partial(open_socket, bearer="k"),
            )
            tasks.start_soon(stream.run)
            await stream.wait_until_open()
            began = time.perf_counter()
            tasks.start_soon(partial(send_file, stream, source, pace=PaceName.FAST))
            await stream.until(lambda: stream.leg is not None and stream.leg.bytes_sent > 0)
            seconds = time.perf_counter() - began
            tasks.cancel_scope.cancel()
    return seconds
