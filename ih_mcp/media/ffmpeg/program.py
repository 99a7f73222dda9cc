"""Finds the ffmpeg that does the work, once; `check_setup` reports it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from ih_mcp.errors import MediaError
from ih_mcp.files import find_program

from .commands import MAX_PIXELS
from .process import ProcessLimits, environment

OLDEST_VERSION = (5, 1)  # chosen: the first with -fps_mode; Debian 12 has it

_WAYS = (
    "Set IH_MCP_FFMPEG to the path of an ffmpeg, install ffmpeg 5.1 or newer on PATH, "
    "or install the Python package imageio-ffmpeg, which brings one."
)
_VERSION = re.compile(r"ffmpeg version (\S+)")
_NUMBERED = re.compile(r"n?(\d+)\.(\d+)")
_VERSION_SECONDS = 10.0
_BUNDLED = Path(imageio_ffmpeg.__file__).parent / "binaries"


_LEAST_BYTES = 256 << 20
_INDEX_SHARE = 8  # an honest index needs a few bytes a packet, and packets are larger
_LOOK_SECONDS = 10.0
_LEAST_SECONDS = 60.0
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FfmpegLimits:
    """What ffmpeg may take, as the settings say; memory is bounded on Linux alone."""

    max_bytes: int = 2 << 30
    """Of memory, where pictures are decoded or encoded. Measured, with 2 threads and up to 1920
    pixels out: 1080p 423 MiB, 4K HEVC of 10 bit 646, 4K AV1 of 10 bit 806, 8K HEVC of 10 bit 1,221;
    ffmpeg 5.1 takes some less."""
    max_pixels: int = MAX_PIXELS
    max_silent_seconds: float = 30.0
    """How long its output is waited for."""

    def to_look(self, size: int) -> ProcessLimits:
        """For a look at a file of `size` bytes."""
        return self._means(self._index_bytes(size), _LOOK_SECONDS)

    def to_copy(self, size: int, seconds: float | None) -> ProcessLimits:
        """To copy a file of `size` bytes and, as far as is known, `seconds`."""
        return self._means(self._index_bytes(size), 2 * (seconds or _DAY_SECONDS))

    def to_encode(self, seconds: float | None) -> ProcessLimits:
        """To decode or encode pictures."""
        return self._means(self.max_bytes, 16 * (seconds or _DAY_SECONDS))

    def to_decode(self) -> ProcessLimits:
        """A stream that goes on as long as it does."""
        return ProcessLimits(memory_bytes=self.max_bytes, silent_seconds=self.max_silent_seconds)

    def _index_bytes(self, size: int) -> int:
        return min(self.max_bytes, _LEAST_BYTES + size // _INDEX_SHARE)

    def _means(self, memory_bytes: int, seconds: float) -> ProcessLimits:
        return ProcessLimits(
            memory_bytes=memory_bytes,
            processor_seconds=_LEAST_SECONDS + seconds,
            silent_seconds=self.max_silent_seconds,
            waiting_seconds=_LEAST_SECONDS + 2 * seconds,
        )


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg that ran and reported its version."""

    path: str
    version: str
    found_by: str
    """`IH_MCP_FFMPEG`, `PATH` or `imageio-ffmpeg`."""
    limits: FfmpegLimits = FfmpegLimits()

    @property
    def queues(self) -> bool:
        """Whether what it writes has a queue whose length can be set: from 6.0 on."""
        numbered = _numbered(self.version)
        return numbered is not None and numbered >= (6, 0)


_USUAL = FfmpegLimits()


def find_ffmpeg(explicit: str | None = None, limits: FfmpegLimits = _USUAL) -> Ffmpeg:
    """Find the ffmpeg to use: the explicit one, else the first that serves.

    Starts each candidate once, so it blocks for some milliseconds: call it in a thread.

    Args:
        explicit: The value of `IH_MCP_FFMPEG`. Nothing else is tried when it is given.
        limits: What each of its runs may take.

    Raises:
        MediaError: None serves, or the explicit one does not (`ffmpeg_missing`).
    """
    if explicit:
        is_name = Path(explicit).name == explicit  # Windows would start one of the current folder
        path = find_program(explicit) if is_name else explicit
        if path is None:
            raise _missing(f"there is no {explicit!a} on PATH, which IH_MCP_FFMPEG names")
        return _serving(path, "IH_MCP_FFMPEG", limits)
    refusals = []
    for path, found_by in _candidates():
        try:
            return _serving(path, found_by, limits)
        except MediaError as refusal:
            refusals.append(refusal.what)
    raise _missing("; ".join(refusals) or "no ffmpeg was found")


def is_supported(version: str) -> bool:
    """Whether a version text is of 5.1 or newer; builds without a number are taken as new."""
    numbered = _numbered(version)
    return numbered is None or numbered >= OLDEST_VERSION


def _numbered(version: str) -> tuple[int, ...] | None:
    """The two first numbers of a version text; None for a build without."""
    found = _NUMBERED.match(version)
    return tuple(map(int, found.groups())) if found else None


def _candidates() -> Iterator[tuple[str, str]]:
    if on_path := find_program("ffmpeg"):
        yield on_path, "PATH"
    # Not by its own finder, which starts the binary with all of our environment, keys too.
    for path in sorted(_BUNDLED.glob("ffmpeg*")):  # the wheel of some platforms brings none
        yield str(path), "imageio-ffmpeg"


def _serving(path: str, found_by: str, limits: FfmpegLimits) -> Ffmpeg:
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
    reported = _VERSION.match(answer.stdout.decode(errors="replace"))
    if reported is None:
        raise _missing(f"the program named by {found_by} is not ffmpeg")
    if not is_supported(reported[1]):
        raise _missing(f"the ffmpeg of {found_by} is {reported[1]}; 5.1 or newer is needed")
    return Ffmpeg(path=path, version=reported[1], found_by=found_by, limits=limits)


def _missing(what: str) -> MediaError:
    return MediaError(what, help=_WAYS, code="ffmpeg_missing")
