"""Splitting against a plain remux of the same file: time, first segment, memory, disk.

    python -m bench.bench_media [--longest 4h] [--folder FOLDER]

Files are made by looping the demo clip; a run is a fresh process, so that its peak memory is its
own. Asserts the bounds at the end: at 1 h at most 1.2 times the remux, a first segment within
0.3 s, memory of one segment and 10 MB that does not grow with the file, nothing on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import anyio

from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.wire.dialects import DIALECTS

from .segments import segments_of

CLIP = Path(__file__).parents[1] / "examples" / "media" / "dialogue.mp4"
LENGTHS = {"10s": 10, "10min": 600, "1h": 3_600, "4h": 14_400}
MAX_RATIO, MAX_FIRST_SECONDS, SPARE_BYTES = 1.2, 0.3, 10 << 20
RUNS = 3


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    first_seconds: float
    largest_bytes: int
    own_bytes: int
    """Peak of this process."""
    baseline_bytes: int
    """Peak before splitting: the interpreter and what is imported."""
    ffmpeg_bytes: int
    disk_bytes: int = 0
    """Left or being written where temporary files go, at the end."""


def looped(ffmpeg: Ffmpeg, seconds: int, folder: Path) -> Path:
    path = folder / f"{seconds}.mp4"
    if not path.exists():
        command = [ffmpeg.path, "-nostdin", "-v", "error", "-stream_loop", "-1", "-i", str(CLIP)]
        subprocess.run([*command, "-t", str(seconds), "-c", "copy", str(path)], check=True)
    return path


def remux_seconds(ffmpeg: Ffmpeg, source: Path, folder: Path) -> float:
    target = folder / "remuxed.mp4"
    began = time.perf_counter()
    copy = ["-map", "0:V:0", "-map", "0:a:0", "-c", "copy", "-y", str(target)]
    subprocess.run([ffmpeg.path, "-nostdin", "-v", "error", "-i", str(source), *copy], check=True)
    took = time.perf_counter() - began
    target.unlink()
    return took


async def measure(source: Path, version: str, ffmpeg: Ffmpeg) -> Run:
    baseline = peak(resource.RUSAGE_SELF)
    began, first, largest = time.perf_counter(), 0.0, 0
    async with segments_of(source, DIALECTS[version], ffmpeg) as segments:
        async for segment in segments:
            first = first or time.perf_counter() - began
            largest = max(largest, len(segment.data))
    return Run(
        seconds=time.perf_counter() - began,
        first_seconds=first,
        largest_bytes=largest,
        own_bytes=peak(resource.RUSAGE_SELF),
        baseline_bytes=baseline,
        ffmpeg_bytes=peak(resource.RUSAGE_CHILDREN),
    )


def peak(who: int) -> int:
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)


def in_own_process(source: Path, version: str) -> Run:
    """A run whose peak memory and temporary files are its own."""
    with tempfile.TemporaryDirectory() as empty:
        answer = subprocess.run(
            [sys.executable, "-m", "bench.bench_media", "--one", str(source), version],
            capture_output=True,
            check=True,
            env={**os.environ, "TMPDIR": empty},
        )
        disk_bytes = sum(path.stat().st_size for path in Path(empty).rglob("*"))
    return replace(Run(**json.loads(answer.stdout)), disk_bytes=disk_bytes)


def compare(ffmpeg: Ffmpeg, longest: str, folder: Path) -> list[str]:
    """Print a row per length and version; what is out of bounds, as sentences."""
    broken: list[str] = []
    print("length  version  remux s  split s  ratio  first s  own MB (base)  ffmpeg MB  disk")
    for name in list(LENGTHS)[: list(LENGTHS).index(longest) + 1]:
        source = looped(ffmpeg, LENGTHS[name], folder)
        for version in ("v0", "v2"):
            # By turns, so that other load on the machine meets both alike.
            pairs = [
                (remux_seconds(ffmpeg, source, folder), in_own_process(source, version))
                for _ in range(RUNS)
            ]
            broken += row(name, version, pairs)
        source.unlink()
    return broken


def row(name: str, version: str, pairs: list[tuple[float, Run]]) -> list[str]:
    """Print it; what is out of bounds in it."""
    ratio = median(run.seconds / remuxed for remuxed, run in pairs)
    first = min(run.first_seconds for _, run in pairs)  # other load can only add to it
    worst = max((run for _, run in pairs), key=lambda run: run.own_bytes)
    print(
        f"{name:6}  {version:7}  {median(remuxed for remuxed, _ in pairs):7.2f}  "
        f"{median(run.seconds for _, run in pairs):7.2f}  {ratio:5.2f}  {first:7.3f}  "
        f"{worst.own_bytes / 1e6:6.1f} ({worst.baseline_bytes / 1e6:.1f})  "
        f"{worst.ffmpeg_bytes / 1e6:9.1f}  {worst.disk_bytes:4}",
        flush=True,
    )
    return out_of_bounds(f"{name} {version}", ratio, first, worst)


def out_of_bounds(what: str, ratio: float, first: float, run: Run) -> list[str]:
    grown = run.own_bytes - run.baseline_bytes - run.largest_bytes
    checks = (
        (what.startswith("1h") and ratio > MAX_RATIO, f"{ratio:.2f} times the remux"),
        (first > MAX_FIRST_SECONDS, f"first segment after {first:.3f} s"),
        (grown > SPARE_BYTES, f"{grown / 1e6:.1f} MB over one segment"),
        (run.disk_bytes > 0, f"{run.disk_bytes} bytes on the disk"),
    )
    return [f"{what}: {sentence}" for is_broken, sentence in checks if is_broken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--longest", choices=LENGTHS, default="1h")
    parser.add_argument("--folder", type=Path, help="where the long files are made")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    ffmpeg = find_ffmpeg(os.environ.get("IH_MCP_FFMPEG"))
    if asked.one:
        source, version = asked.one
        print(json.dumps(asdict(anyio.run(measure, Path(source), version, ffmpeg))))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        broken = compare(ffmpeg, asked.longest, Path(folder).resolve())
    sys.exit("; ".join(broken) or 0)


if __name__ == "__main__":
    main()
