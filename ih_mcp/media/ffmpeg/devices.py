"""Cameras and microphones as ffmpeg names them, one row per platform.

docs: ffmpeg-devices (v4l2, pulse, avfoundation, dshow). Seen on Linux; the listings of macOS and
Windows are read as ffmpeg's sources print them.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ih_mcp.errors import CallerError

_SIZE = {"video_size": "640x480", "framerate": 30}
DEVICE_FORMATS = frozenset({"v4l2", "pulse", "avfoundation", "dshow"})
"""What ffmpeg calls the devices of the platforms below."""
_V4L2 = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of ffmpeg."""

    url: str
    options: Mapping[str, object] = field(default_factory=dict)
    """Before it; None for those without a value."""


@dataclass(frozen=True, slots=True)
class Device:
    """A camera or microphone that is there."""

    kind: str
    """`video` or `audio`."""
    name: str
    """What to give to choose it."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Platform:
    """How a platform's devices are named and listed."""

    listings: Sequence[Sequence[str]]
    """Arguments of ffmpeg that print devices."""
    read: Callable[[str], list[Device]]
    """From what it printed."""
    inputs: Callable[[str, str], list[Input]]
    """For a camera and a microphone."""
    camera: str
    """Where none is named."""
    microphone: str


def devices_of(platform: str = sys.platform) -> Platform:
    """The row of a platform.

    Raises:
        CallerError: Nothing is known of it.
    """
    found = PLATFORMS.get(platform)
    if found is None:
        raise CallerError(
            f"cameras of {platform} are not known here",
            help="Set IH_MCP_CAPTURE_INPUT to what ffmpeg takes, or record in the page.",
        )
    return found


def read_inputs(text: str) -> list[Input]:
    """Inputs as a person writes them for ffmpeg: `-f v4l2 -i /dev/video0`, or an address alone.

    Raises:
        CallerError: They cannot be understood.
    """
    try:
        words = shlex.split(text)
    except ValueError as exc:
        raise _unreadable(text) from exc
    if len(words) == 1 and not words[0].startswith("-"):
        return [Input(words[0])]
    found: list[Input] = []
    options: dict[str, object] = {}
    name = ""
    for word in words:
        if name == "i":
            found.append(Input(word, options))
            options, name = {}, ""
        elif word.startswith("-") and not _is_number(word):
            name = word[1:]
            options |= {} if name == "i" else {name: None}
        elif name:
            options[name], name = word, ""
        else:
            raise _unreadable(text)
    if not found or options:
        raise _unreadable(text)
    return found


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d+)?", word) is not None


def _unreadable(text: str) -> CallerError:
    return CallerError(
        f"IH_MCP_CAPTURE_INPUT is no input of ffmpeg: {text}",
        help="Write it as for ffmpeg, such as: -f v4l2 -i /dev/video0 -f pulse -i default",
    )


# --- rows ----------------------------------------------------------------------------------------


def _linux(camera: str, microphone: str) -> list[Input]:
    return [
        Input(camera, {"f": "v4l2", **_SIZE}),
        Input(microphone, {"f": "pulse"}),
    ]


def _macos(camera: str, microphone: str) -> list[Input]:
    return [Input(f"{camera}:{microphone}", {"f": "avfoundation", **_SIZE})]


def _windows(camera: str, microphone: str) -> list[Input]:
    named = [f"video={camera}"] if camera else []
    named += [f"audio={microphone}"] if microphone else []
    return [Input(":".join(named), {"f": "dshow", **_SIZE})]


def _read_sources(text: str) -> list[Device]:
    """`-sources`: `* NAME [TITLE] (kinds)`, the default with a star; cameras by the system."""
    lines = re.findall(r"^[ *]+(\S+) \[(.*?)\]", text, re.MULTILINE)
    heard = [Device("audio", name, title) for name, title in lines if "/dev/video" not in name]
    return [*_v4l2(), *heard]


def _v4l2(folder: Path = _V4L2) -> list[Device]:
    """Cameras, as the kernel tells; blocks."""
    found = sorted(folder.glob("video*/name"))
    return [
        Device("video", f"/dev/{path.parent.name}", path.read_text(errors="replace").strip())
        for path in found
    ]


def _read_avfoundation(text: str) -> list[Device]:
    """`[AVFoundation … @ …] [0] TITLE`, below a line that names the kind."""
    found, kind = [], ""
    for line in text.splitlines():
        if heading := re.search(r"AVFoundation (video|audio) devices", line):
            kind = heading[1]
        elif kind and (item := re.search(r"\] \[(\d+)\] (.+)$", line)):
            found.append(Device(kind, item[1], item[2]))
    return found


def _read_dshow(text: str) -> list[Device]:
    """`"NAME" (video)`; before ffmpeg 5 a line above names the kind."""
    found, kind = [], ""
    for line in text.splitlines():
        if heading := re.search(r"DirectShow (video|audio) devices", line):
            kind = heading[1]
        elif "Alternative name" in line:
            continue
        elif item := re.search(r'\] +"(.+)"(?: \((video|audio|none)\))?', line):
            found.append(Device(item[2] or kind, item[1]))
    return found


PLATFORMS: Mapping[str, Platform] = {
    "linux": Platform(
        (("-sources", "pulse"),), _read_sources, _linux, "/dev/video0", "default"
    ),
    "darwin": Platform(
        (("-f", "avfoundation", "-list_devices", "true", "-i", ""),),
        _read_avfoundation, _macos, "0", "0",
    ),
    "win32": Platform(
        (("-f", "dshow", "-list_devices", "true", "-i", "dummy"),),
        _read_dshow, _windows, "", "",
    ),
}  # fmt: skip
