"""Compares the cue engine with mediapipe (head) and Praat (pitch, pauses) on clips; prints a table.

`python -m bench.referee --referee PYTHON [CLIP ...]`; `make referee` makes that environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray

from ih_mcp.media.ffmpeg.decode import Decoder, Picture, Sound
from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg
from ih_mcp.standin.cues.detectors import make_detector, make_finder
from ih_mcp.standin.cues.sight import Sight
from ih_mcp.standin.cues.voice import Voice

CLIP = Path(__file__).parents[2] / "examples" / "media" / "dialogue.mp4"
_JUDGE = Path(__file__).with_name("judge.py")
_PAUSE_SECONDS = 0.25
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--referee", required=True, help="the Python of the referee's environment")
    parser.add_argument("clips", nargs="*", type=Path)
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}; mediapipe 0.10.21, praat-parselmouth 0.4.7\n")
    print(
        "| clip | pictures with a face: both / referee | engine alone | movement r, right / down |"
        " pitch: median, over 2 st | voicing agrees | pauses: found / Praat, right / ours |"
    )
    print("|---|---|---|---|---|---|---|")
    for clip in options.clips or [CLIP]:
        print(_row(clip, options.referee))


def _row(clip: Path, referee: str) -> str:
    items = anyio.run(_decoded, find_ffmpeg(), clip)
    shown = [item for item in items if isinstance(item, Picture)]
    heard = [item for item in items if isinstance(item, Sound)]
    with tempfile.TemporaryDirectory() as folder:
        _keep(Path(folder), shown, heard)
        subprocess.run([referee, str(_JUDGE), folder], check=True, capture_output=True)
        judged = json.loads((Path(folder) / "judged.json").read_text())
    head = _head(shown, judged["head"]) if shown else ("-", "-", "-")
    voice = _voice(heard, judged["voice"]) if heard else ("-", "-", "-")
    return f"| {' | '.join([clip.name, *head, *voice])} |"


async def _decoded(ffmpeg: Ffmpeg, clip: Path) -> list[Picture | Sound]:
    command = [ffmpeg.path, "-v", "error", "-i", str(clip), "-c", "copy", "-f", "matroska", "-"]
    stream = (await anyio.run_process(command)).stdout
    items: list[Picture | Sound] = []
    decoder = Decoder(
        ffmpeg, pictures_per_second=15, picture_width=640, picture_height=480, keeps_aspect=True
    )
    async with decoder, anyio.create_task_group() as tasks:

        async def feed() -> None:
            await decoder.feed(stream)
            await decoder.finish()

        tasks.start_soon(feed)
        async for item in decoder:
            items.append(item)  # noqa: PERF401 - fed by another task
    return items


def _keep(folder: Path, shown: Sequence[Picture], heard: Sequence[Sound]) -> None:
    if shown:
        np.save(folder / "pictures.npy", np.stack([_image(item) for item in shown]))
    if heard:
        with wave.open(str(folder / "sound.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(heard[0].hertz)
            file.writeframes(b"".join(item.samples for item in heard))


def _image(item: Picture) -> NDArray[np.uint8]:
    return np.frombuffer(item.gray, np.uint8).reshape(item.height, item.width)


# --- head ----------------------------------------------------------------------------------------


def _head(shown: Sequence[Picture], judged: Sequence[Any]) -> tuple[str, str, str]:
    finder = make_finder()
    assert finder is not None
    sight = Sight(finder)
    for item in shown:
        sight.add_picture(item)
    by_time = dict(zip((item.time_seconds for item in shown), judged, strict=True))
    theirs = [look for look in sight.face_checks if by_time[look.time_seconds] is not None]
    both = sum(look.is_found for look in theirs)
    alone = sum(look.is_found for look in sight.face_checks) - both
    return f"{both} / {len(theirs)}", str(alone), _movement(sight, by_time)


def _movement(sight: Sight, by_time: dict[float, Any]) -> str:
    """The correlation of both engines' movement between pictures that follow each other."""
    ours, theirs = [], []
    for before, after in pairwise(sight.poses):
        was, now = by_time[before.time_seconds], by_time[after.time_seconds]
        if before.track != after.track or was is None or now is None:
            continue
        ours.append((after.right - before.right, after.down - before.down))
        theirs.append(((now[0] - was[0]) / now[2], (now[1] - was[1]) / now[2]))
    if len(ours) < 30:
        return "-"
    pairs = zip(np.array(ours).T, np.array(theirs).T, strict=True)
    return " / ".join(f"{np.corrcoef(a, b)[0, 1]:.2f}" for a, b in pairs)


# --- voice ---------------------------------------------------------------------------------------


def _voice(heard: Sequence[Sound], judged: dict[str, Any]) -> tuple[str, str, str]:
    detector = make_detector()
    assert detector is not None
    voice = Voice(detector)
    for item in heard:
        voice.add_sound(item)
    offset, end = heard[0].start_seconds, heard[-1].end_seconds
    frames = voice.frames.between(0, end - 1)
    times = np.array(judged["pitch_times"]) + offset
    at = np.round(times / 0.01 - 0.5).astype(int)
    inside = (at >= 0) & (at < len(frames.pitch))
    hertz = np.array(judged["pitch_hertz"])[inside]
    ours = frames.pitch[at[inside]]
    speech = frames.speech[at[inside]]
    both = np.isfinite(ours) & (hertz > 0) & speech
    error = np.abs(ours[both] - 12 * np.log2(hertz[both] / 100))
    agree = float((np.isfinite(ours) == (hertz > 0))[speech].mean()) if speech.any() else 0.0
    pitch = f"{np.median(error):.2f} st, {(error > 2).mean():.1%}" if both.any() else "-"
    return pitch, f"{agree:.0%}", _pauses(voice, judged["silences"], offset, end)


def _pauses(voice: Voice, silences: Sequence[Sequence[float]], offset: float, end: float) -> str:
    ours = [(a.end_seconds, b.start_seconds) for a, b in pairwise(voice.events.phrases)]
    theirs = [
        (start + offset, stop + offset)
        for start, stop in silences
        if start > 0.1 and stop + offset < end - 1 and stop - start >= _PAUSE_SECONDS
    ]
    found = sum(any(_is_same(a, b) for a in ours) for b in theirs)
    right = sum(any(_is_same(a, b) for b in theirs) for a in ours)
    return f"{found} / {len(theirs)}, {right} / {len(ours)}"


def _is_same(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * min(a[1] - a[0], b[1] - b[0])


if __name__ == "__main__":
    main()
