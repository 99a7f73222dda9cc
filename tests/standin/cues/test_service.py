"""Sessions of the real chain: bytes, ffmpeg, the cue engine, events, the vendor's client."""

from __future__ import annotations

import json
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.cues import NEVER
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.standin.test_sdk import classes, vendor

from . import long
from .stimuli import HEIGHT, HERTZ, WIDTH, mm_hm, pictures, silence, speech, swing, um

pytestmark = pytest.mark.timeout(90)
SECONDS = 22
MARK = "[local cue engine, no AI model; "


@pytest.fixture(scope="session")
def clip(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Halting speech, then somebody who listens and nods; WebM as a recorder makes it."""
    folder = tmp_path_factory.mktemp("cues")
    sound = np.concatenate(
        [speech(8), silence(1.5), um(), silence(0.3), speech(8), silence(6), mm_hm(), silence(12)]
    )[: SECONDS * HERTZ]
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HERTZ)
        file.writeframes((sound * 32_767).astype("<i2").tobytes())
    shown = b"".join(item.gray for item in pictures(swing(5, 2, start=12.5), SECONDS))
    command = [ffmpeg.path, "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray"]
    command += ["-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "15", "-i", "pipe:0"]
    command += ["-i", str(folder / "sound.wav"), "-c:v", "libvpx", "-deadline", "realtime"]
    command += ["-cpu-used", "8", "-b:v", "800k", "-g", "45", "-c:a", "libopus"]
    command += ["-threads", "1"]  # several wait for each other in loops: 90 s on a busy machine
    command += ["-f", "webm", "-live", "1", str(folder / "clip.webm")]
    subprocess.run(command, input=shown, check=True)
    return folder / "clip.webm"


def _parts(folder: Path, clip: Path, *, size: int) -> Path:
    data = clip.read_bytes()
    for number, at in enumerate(range(0, len(data), size)):
        (folder / f"part-{number:03}").write_bytes(data[at : at + size])
    (folder / "clip.mp4").symlink_to(clip)
    return folder


def _lives(events: list[dict[str, Any]]) -> list[str]:
    """Everything but what differs from session to session."""
    return [
        json.dumps(event["data"], sort_keys=True) for event in events if "Signal" in event["class"]
    ]


_WHOLE = 10**9
_SEEN: dict[tuple[str, int], list[dict[str, Any]]] = {}


@pytest.fixture
def told(tmp_path: Path, clip: Path, ffmpeg: Ffmpeg) -> Callable[..., Any]:
    """What the vendor's client saw of a session; each is held once."""

    async def tell(scenario: str, *, size: int = _WHOLE) -> list[dict[str, Any]]:
        if (scenario, size) not in _SEEN:
            folder = tmp_path / f"{scenario}-{size}"
            folder.mkdir()
            options = Options(analyst=choose_analyst("cues").make)
            async with serve(options, ffmpeg=ffmpeg) as running:
                seen = await vendor(scenario, running.url, _parts(folder, clip, size=size))
            _SEEN[scenario, size] = seen["events"]
        return _SEEN[scenario, size]

    return tell


@pytest.mark.parametrize("scenario", ["v1", pytest.param("v2", marks=long)])  # by day: test_sdk
async def test_the_vendors_client_reads_every_event(
    scenario: str, told: Callable[..., Any]
) -> None:
    events = await told(scenario)
    assert not {"UnknownEvent", "ErrorEvent"} & set(classes(events))
    detected = [event["data"] for event in events if event["class"] == "SignalDetectedEvent"]
    names = {data["signal_type"] for data in detected}
    assert {"hesitation", "agreement"} <= names
    assert not names & set(NEVER)
    assert all(data["rationale"].startswith(MARK) for data in detected)


async def test_chunks_of_any_size_give_the_same_events(told: Callable[..., Any]) -> None:
    assert _lives(await told("v1", size=7_000)) == _lives(await told("v1"))
