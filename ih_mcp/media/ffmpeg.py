"""Which ffmpeg does the work: found once, told by `check_setup`."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import imageio_ffmpeg

from ih_mcp.errors import MediaError

from .process import environment

OLDEST_VERSION = (5, 1)  # chosen: the first with -fps_mode; Debian 12 has it

_WAYS = (
    "Set IH_MCP_FFMPEG to the path of an ffmpeg, install ffmpeg 5.1 or newer on PATH, "
    "or install the Python package imageio-ffmpeg, which brings one."
)
_VERSION = re.compile(r"ffmpeg version (\S+)")
_NUMBERED = re.compile(r"n?(\d+)\.(\d+)")
_VERSION_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """A binary that ran and told its version."""

    path: str
    version: str
    found_by: str
    """`IH_MCP_FFMPEG`, `PATH` or `imageio-ffmpeg`."""


def find_ffmpeg(explicit: str | None = None) -> Ffmpeg:
    """Find the ffmpeg to use: the explicit one, else the first that serves.

    Starts each candidate once, so it blocks for some milliseconds: call it in a thread.

    Args:
        explicit: The value of `IH_MCP_FFMPEG`. Nothing else is tried when it is given.

    Raises:
        MediaError: None serves, or the explicit one does not (`ffmpeg_missing`).
    """
    if explicit:
        return _serving(explicit, "IH_MCP_FFMPEG")
    refusals = []
    for path, found_by in _candidates():
        try:
            return _serving(path, found_by)
        except MediaError as refusal:
            refusals.append(refusal.what)
    raise _missing("; ".join(refusals) or "no ffmpeg was found")


def is_supported(version: str) -> bool:
    """Whether a version text is of 5.1 or newer; builds without a number are taken as new."""
    numbered = _NUMBERED.match(version)
    return numbered is None or tuple(map(int, numbered.groups())) >= OLDEST_VERSION


def _candidates() -> Iterator[tuple[str, str]]:
    if on_path := shutil.which("ffmpeg"):
        yield on_path, "PATH"
    try:
        yield imageio_ffmpeg.get_ffmpeg_exe(), "imageio-ffmpeg"
    except RuntimeError:  # the wheel of this platform brings none
        return


def _serving(path: str, found_by: str) -> Ffmpeg:
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed argument list, no shell
            [path, "-nostdin", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
            env=environment(),
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise _missing(f"the ffmpeg of {found_by} does not run ({type(exc).__name__})") from exc
    told = _VERSION.match(answer.stdout.decode(errors="replace"))
    if told is None:
        raise _missing(f"the program named by {found_by} is not ffmpeg")
    if not is_supported(told[1]):
        raise _missing(f"the ffmpeg of {found_by} is {told[1]}; 5.1 or newer is needed")
    return Ffmpeg(path=path, version=told[1], found_by=found_by)


def _missing(what: str) -> MediaError:
    return MediaError(what, help=_WAYS, code="ffmpeg_missing")
