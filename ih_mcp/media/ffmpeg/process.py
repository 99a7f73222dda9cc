"""Runs one ffmpeg: feeds it, reads it, captures its stderr, and always kills and reaps it.

The process has no shell, no terminal, its own process group, an environment of a few names, and
on Linux bounds on memory, processor time and files. Nothing here starts a task, so that an async
generator may hold a process open between two of its items.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from ih_mcp.errors import MediaError

from .ffmpeg_log import FfmpegLog, failure
from .stall import stalled

_END_SECONDS = 2.0
_REST_SECONDS = 5.0  # chosen: ffmpeg looks for signals twice a second, then writes what it has
_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20  # a larger pipe lets ffmpeg run on while we hand over a segment
_GATHER_SECONDS = 0.003  # chosen: it takes longer to fill the pipe; halves what reading costs
_PROGRAM_BYTES = 1 << 30  # of address space: the program, and what its threads reserve
_MAX_FILES = 64
_ENVIRONMENT = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP",
    "XDG_RUNTIME_DIR", "PULSE_SERVER",  # where the sound server listens
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """What one process may take."""

    memory_bytes: int = 256 << 20
    """That it writes to; measured: 135 MiB for a film of 4 h, 119 MiB for one of 8K pictures, to
    look at it or to copy it."""
    processor_seconds: float | None = None
    silent_seconds: float = 30.0
    """How long it may keep us waiting at once; no local file keeps ffmpeg silent for so long."""
    waiting_seconds: float = float("inf")
    """How long it may keep us waiting, all in all."""
    file_bytes: int = 0
    """Of a file it writes; memory shared with a sound server counts as one."""


class Child:
    """A running ffmpeg. Made by `running`.

    Call `read` until it gives nothing, then `finish`. With input: `write` and `end_input` from
    another task, since ffmpeg waits while nobody reads.
    """

    def __init__(
        self,
        process: anyio.abc.Process,
        stdout: int,
        log: FfmpegLog,
        means: ProcessLimits,
        descriptors: Sequence[int] = (),
    ) -> None:
        self._process = process
        self._stdout = stdout
        self._log = log
        self._is_wide = _is_wide(stdout)
        self._came_bytes = 0
        self._gathers = False
        """Whether to let the pipe fill before the next piece: the last one was small."""
        self._descriptors = descriptors
        self._silence = means.silent_seconds
        self._seconds_left = means.waiting_seconds
        self._is_asked_to_end = False
        self._long_read = anyio.CancelScope()
        """Around the newest `read_patiently`; its deadline is that of all that follow."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> FfmpegLog:
        """What it wrote to standard error; complete after `finish`."""
        return self._log

    async def read(self) -> bytes:
        """The next bytes of its output as soon as there are some; nothing at the end.

        Raises:
            MediaError: It kept us waiting for too long (`ffmpeg_stalled`). The time between two
                calls does not count.
        """
        if self._gathers:
            await anyio.sleep(_GATHER_SECONDS)
        began = anyio.current_time()
        with anyio.move_on_after(min(self._silence, self._seconds_left)):
            data = await _read_pipe(self._stdout)
            self._seconds_left -= anyio.current_time() - began
            self._came_bytes += len(data)
            is_long = self._is_wide and self._came_bytes > _PIPE_BYTES
            self._gathers = is_long and 0 < len(data) < _READ_BYTES
            return data
        raise await stalled(anyio.current_time() - began, self._descriptors)

    async def read_patiently(self) -> bytes:
        """Like `read`, and it may take any time, as while the input comes slowly.

        Once it was asked to end it has a few seconds for all that is left.
        """
        with anyio.CancelScope(deadline=self._long_read.deadline) as self._long_read:
            return await _read_pipe(self._stdout)
        return b""

    def ask_to_end(self) -> None:
        """Let it take no more input and write its rest, which `read_patiently` gives."""
        if not self._is_asked_to_end:
            self._is_asked_to_end = True
            self._long_read.deadline = anyio.current_time() + _REST_SECONDS
            with suppress(ProcessLookupError, PermissionError):
                _interrupt(self._process)

    async def write(self, data: bytes) -> None:
        """Hand it bytes; waits while it has enough.

        Raises:
            MediaError: It ended already.
        """
        assert self._process.stdin is not None
        try:
            if self._process.returncode is not None:  # a write would go nowhere without an error
                raise anyio.BrokenResourceError
            await self._process.stdin.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self.finish()
            raise self.failure("ffmpeg ended before its input did") from None

    async def end_input(self) -> None:
        """Tell it that no more bytes come."""
        assert self._process.stdin is not None
        with suppress(anyio.BrokenResourceError, OSError):
            await self._process.stdin.aclose()

    async def finish(self) -> None:
        """Wait for its end; does nothing where it was asked to end, whose status tells nothing.

        Raises:
            MediaError: It failed; the text holds its last useful line.
        """
        if self._is_asked_to_end:
            return
        status = await self._process.wait()
        await anyio.to_thread.run_sync(self._log.join, abandon_on_cancel=True)
        if status == _KILLED:
            raise self.failure(f"ffmpeg was killed (status {status}): {_KILLERS}")
        if status:
            raise failure(self._log.last_useful(), status=status)

    def failure(self, what: str) -> MediaError:
        """An error with its last useful line, and what that line means where we know it."""
        return failure(self._log.last_useful(), what=what)


_USUAL = ProcessLimits()
_KILLED = -9  # SIGKILL, on POSIX
_KILLERS = "it took more processor time than it may, the machine lacks memory, or somebody did it"


@asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    takes_input: bool = False,
    descriptors: Sequence[int] = (),
    means: ProcessLimits = _USUAL,
    keeps: re.Pattern[bytes] | None = None,
) -> AsyncIterator[Child]:
    """Run `command` while the block lasts; when it ends the process is gone and reaped.

    Args:
        command: The argument list, the binary first.
        takes_input: Whether `Child.write` is used; otherwise standard input is closed.
        descriptors: Open files the process inherits.
        means: What it may take; bounds on memory and processor time hold on Linux alone.
        keeps: Which lines of what it says are kept from the beginning; see `FfmpegLog`.

    Raises:
        MediaError: It cannot be started.
    """
    stdout, log, process = await _start(command, takes_input, descriptors, keeps)
    try:
        _bound(process.pid, means)
        yield Child(process, stdout, log, means, descriptors)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_END_SECONDS):
            await _end(process)
            await anyio.to_thread.run_sync(log.join, abandon_on_cancel=True)
        os.close(stdout)


def environment() -> dict[str, str]:
    """All that an ffmpeg gets of ours: keys are none of its business."""
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}


async def _start(
    command: Sequence[str],
    takes_input: bool,
    descriptors: Sequence[int],
    keeps: re.Pattern[bytes] | None,
) -> tuple[int, FfmpegLog, anyio.abc.Process]:
    stdout, stdout_writer = os.pipe()
    stderr, stderr_writer = os.pipe()
    _prepare(stdout)
    try:
        with anyio.CancelScope(shield=True):  # half a start could not be ended
            process = await anyio.open_process(
                command,
                stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
                stdout=stdout_writer,
                stderr=stderr_writer,
                env=environment(),
                **_platform_options(descriptors),
            )
    except OSError as exc:
        os.close(stdout)
        os.close(stderr)
        raise MediaError(
            f"ffmpeg cannot be started: {exc.strerror}",
            help="Check that it is still there and that the machine has memory to spare.",
            code="ffmpeg_failed",
            retry=True,
        ) from exc
    except BaseException:
        os.close(stdout)
        os.close(stderr)
        raise
    finally:
        os.close(stdout_writer)
        os.close(stderr_writer)
    return stdout, FfmpegLog(stderr, keeps), process


async def _end(process: anyio.abc.Process) -> None:
    """SIGKILL, since ffmpeg ignores SIGTERM while it waits for a file to open."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            _kill(process.pid)
        await process.wait()
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.aclose()


if sys.platform == "win32":

    def _platform_options(_: Sequence[int]) -> dict[str, Any]:
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}

    def _kill(pid: int) -> None:
        os.kill(pid, signal.SIGTERM)  # TerminateProcess

    def _interrupt(process: anyio.abc.Process) -> None:
        process.kill()  # signals go to a console only, and it has none: its newest second is lost

    def _prepare(descriptor: int) -> None:
        """Threads wait for it, and its size is the system's."""

    def _is_wide(_: int) -> bool:
        return False

    def _bound(_pid: int, _means: ProcessLimits) -> None:
        """No bounds here."""

    async def _read_pipe(descriptor: int) -> bytes:
        return await anyio.to_thread.run_sync(
            os.read, descriptor, _READ_BYTES, abandon_on_cancel=True
        )

else:
    import fcntl

    def _platform_options(descriptors: Sequence[int]) -> dict[str, Any]:
        return {"start_new_session": True, "pass_fds": tuple(descriptors)}

    def _kill(pid: int) -> None:
        os.killpg(pid, signal.SIGKILL)

    def _interrupt(process: anyio.abc.Process) -> None:
        process.send_signal(signal.SIGINT)

    def _prepare(descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        if sys.platform == "linux":
            with suppress(OSError):  # refused beyond the user's quota: the usual size serves too
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _is_wide(descriptor: int) -> bool:
        """Whether more fits into the pipe than is read at once."""
        if sys.platform != "linux":
            return False
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) > _READ_BYTES

    def _bound(pid: int, means: ProcessLimits) -> None:
        if sys.platform == "linux":
            import resource  # noqa: PLC0415 - not on every platform

            bounds = {
                resource.RLIMIT_DATA: means.memory_bytes,
                resource.RLIMIT_AS: means.memory_bytes + _PROGRAM_BYTES,
                resource.RLIMIT_FSIZE: means.file_bytes,
                resource.RLIMIT_CORE: 0,  # it would hold pictures
                resource.RLIMIT_NOFILE: _MAX_FILES,
            }
            if means.processor_seconds is not None:
                bounds[resource.RLIMIT_CPU] = math.ceil(means.processor_seconds)
            for what, bound in bounds.items():
                with suppress(ProcessLookupError, PermissionError, ValueError):
                    resource.prlimit(pid, what, (bound, bound))

    async def _read_pipe(descriptor: int) -> bytes:
        while True:
            try:
                data = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(descriptor)
            else:
                await anyio.lowlevel.checkpoint()
                return data
