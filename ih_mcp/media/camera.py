"""A camera as segments: ffmpeg records and encodes, and is read without pause.

Each segment begins with a key frame, so that any but the first may be left out.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from anyio import run_process

from ih_mcp.errors import MediaError
from ih_mcp.wire.dialects import Framing, Limits

from .containers.container import READERS
from .cutter import Cutter, Segment
from .ffmpeg import commands
from .ffmpeg.devices import DEVICE_FORMATS, Device, Input, Platform
from .ffmpeg.process import Child, environment, running
from .ffmpeg.program import Ffmpeg
from .segment_bounds import bounds

_TOO_LITTLE = frozenset({"too_short", "too_small"})
_SHARED_BYTES = 128 << 20  # seen: PulseAudio shares 64 MiB with whom it hears for
_LOOK_SECONDS = 0.5  # chosen: some pictures of any camera


class RecordingEnd:
    """Ends a recording in order: what was recorded until then is still given."""

    def __init__(self) -> None:
        self._is_requested = False
        self._recorder: Child | None = None

    def request(self) -> bool:
        """Let the recording end now; gives False where that was asked before."""
        is_first, self._is_requested = not self._is_requested, True
        if self._recorder:
            self._recorder.ask_to_end()
        return is_first

    def follow(self, recorder: Child) -> None:
        """Ask this one to end, at once if the end was requested already."""
        self._recorder = recorder
        if self._is_requested:
            recorder.ask_to_end()


async def record(
    inputs: Sequence[Input],
    *,
    ffmpeg: Ffmpeg,
    limits: Limits,
    framing: Framing,
    target_seconds: float,
    max_seconds: float | None = None,
    end: RecordingEnd | None = None,
) -> AsyncGenerator[Segment, None]:
    """Record until the inputs end, for `max_seconds`, or until `end` is requested.

    Use it under `contextlib.aclosing`: when the block ends, ffmpeg is gone. Take segments as soon
    as they come: while nobody does, a camera's pictures are lost without a word.

    Raises:
        MediaError: A device cannot be opened, or the recording broke off.
    """
    is_whole = framing is Framing.WHOLE
    least = limits if is_whole else replace(limits, min_segment_seconds=None)  # a rest continues
    limited = bounds(least, framing, target_seconds=target_seconds)
    cutter = Cutter(READERS["mp4"](), limited, framing, is_live=True)
    async with aclosing(_read_devices(inputs, ffmpeg, max_seconds, end)) as recorded:
        async for data in recorded:
            for segment in cutter.feed(data):
                yield segment
    try:
        for segment in cutter.finish():
            yield segment
    except MediaError as exc:
        if exc.code not in _TOO_LITTLE:  # the last moments, which nobody could analyse
            raise


async def require_openable(inputs: Sequence[Input], ffmpeg: Ffmpeg) -> None:
    """Open devices for a moment, so that one that is missing or busy costs no API session.

    Raises:
        MediaError: A device cannot be opened.
    """
    async with aclosing(_read_devices(inputs, ffmpeg, _LOOK_SECONDS)) as recorded:
        async for _ in recorded:
            pass


async def _read_devices(
    inputs: Sequence[Input],
    ffmpeg: Ffmpeg,
    max_seconds: float | None,
    end: RecordingEnd | None = None,
) -> AsyncGenerator[bytes, None]:
    command = commands.recorded(ffmpeg.path, inputs, max_seconds=max_seconds)
    means = replace(ffmpeg.limits.to_decode(), file_bytes=_SHARED_BYTES)
    try:
        async with running(command, means=means) as child:
            if end:
                end.follow(child)
            while data := await child.read_patiently():
                yield data
            await child.finish()
    except MediaError as exc:
        raise _no_device_error(inputs, exc.what) from exc


def _no_device_error(inputs: Sequence[Input], reason: str) -> MediaError:
    if all(item.options.get("f") in DEVICE_FORMATS for item in inputs):
        return MediaError(
            f"the camera cannot be recorded: {reason}",
            code="no_device",
            help="See ih-mcp capture --list-devices; another program may use the camera.",
        )
    return MediaError(
        f"the input cannot be recorded: {reason}",
        code="no_device",
        help="Check IH_MCP_CAPTURE_INPUT: ffmpeg takes the same words, and says more about them.",
    )


async def list_devices(platform: Platform, ffmpeg: Ffmpeg) -> list[Device]:
    """The cameras and microphones that ffmpeg sees."""
    printed = ""
    for arguments in platform.listings:
        done = await run_process(
            [ffmpeg.path, "-nostdin", "-hide_banner", *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=environment(),
            check=False,  # listing ends with an error: no input was opened
        )
        printed += done.stdout.decode(errors="replace")
    return platform.read(printed)
