"""Pacing: a file against a stand-in whose analysis has a set speed, and drops what is too much.

Floor: the seconds that analysis itself took. Nothing may be dropped; the whole stream may take 1.15
times the floor (docs/reliability.md).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio

from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.net.opener import open_socket
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.registry import open_registry
from ih_mcp.streams.sources.file import FileSource, send_file
from ih_mcp.wire.dialects import V1, Dialect
from ih_mcp.wire.messages import Config

TIMELINE = ("conversation_quality_timeline",)


async def make_clip(ffmpeg: Ffmpeg, path: Path, seconds: int) -> None:
    """A small, long clip that is quick to decode; its sound comes and goes."""
    picture = f"testsrc=size=64x36:rate=5:duration={seconds}"
    sound = f"aevalsrc=0.3*sin(440*t)*mod(floor(t/7)\\,2):s=8000:d={seconds}"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    outputs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-b:a", "16k"]
    command = [ffmpeg.path, "-nostdin", "-loglevel", "error", *inputs, *outputs, str(path)]
    await anyio.run_process(command, check=True)


async def paced(
    clip: Path, ffmpeg: Ffmpeg, *, speed: float, include: tuple[str, ...] = (), api: Dialect = V1
) -> tuple[float, float, float, dict[str, object]]:
    """Stream `clip`; gives seconds taken, seconds of analysis, seconds dropped, the status."""
    options = Options(analysis_speed=speed, sheds=True)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            serve(options, ffmpeg=ffmpeg) as standin,
            open_journal(Path(folder)) as journal,
            open_registry(journal) as registry,
        ):
            facts = await probe(ffmpeg, clip)
            started = time.perf_counter()
            stream = await registry.start(
                StreamConfig(
                    dialect=api, base_url=standin.url, config=Config(include=include or None)
                ),
                partial(open_socket, bearer="ih_test_key"),
                feed=partial(send_file, source=FileSource(clip, facts, ffmpeg), pace=PaceName.AUTO),
            )
            await stream.until(lambda: False)
            took = time.perf_counter() - started
            record = standin.recorder.sessions[-1]
            return took, record.work.seconds, record.dropped.seconds, stream.status().to_json()


def run(rounds: int, *, minutes: float = 20, speed: float = 60) -> None:
    """Print a line for each round."""
    ffmpeg = find_ffmpeg(None)
    print(f"\npacing: {minutes:g} min of media, analysed at {speed:g} times real time")
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.mp4"
        anyio.run(make_clip, ffmpeg, clip, int(60 * minutes))
        for name, include in (("each window", TIMELINE), ("as they come", ())) * rounds:
            work = partial(paced, clip, ffmpeg, speed=speed, include=include)
            took, analysis, dropped, _ = anyio.run(work)
            print(
                f"  answers {name:<13} {took:8.1f} s, analysis {analysis:.1f} s (floor), "
                f"{took / analysis:.2f} x floor (<= 1.15), {dropped:g} s dropped (0)"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="of media")
    parser.add_argument("--speed", type=float, default=60, help="seconds of media per second")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    run(options.rounds, minutes=options.minutes, speed=options.speed)


if __name__ == "__main__":
    main()
