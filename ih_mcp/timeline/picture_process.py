"""Draws one picture in a process of its own.

matplotlib keeps Python's interpreter for 130 ms at once, and a thread that does so holds the event
loop up. A process of its own does not, has bounds of its own, and can be ended in the middle. It
starts in this package's folder: matplotlib reads a `matplotlibrc` of its working folder, which may
be somebody's project and can make it run other programs.

The process is this module run as a program. It reads a drawing as one line of JSON, writes the
picture to its output, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import anyio
from anyio import to_thread
from anyio.abc import Process

from ih_mcp.errors import IhMcpError

from .bounds import bounded
from .image import Format, draw, require_library
from .model import Drawing, as_text

_SECONDS = 120.0
_PIECE_BYTES = 1 << 16
_MEMORY_BYTES = 1 << 30  # measured: 0.2 GiB for a picture with as much as one shows
_PROCESSOR_SECONDS = 60  # measured: 3 s; where the library was never used, it looks for fonts first
_OWN_SETTINGS = ("IH_MCP_", "INTERHUMAN_")
if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NO_WINDOW
else:
    _FLAGS = 0


async def draw_in_process(drawing: Drawing, kind: Format) -> bytes:
    """The picture's bytes. Where the caller is cancelled, the process is killed.

    Raises:
        ConfigurationError: matplotlib is not installed.
        IhMcpError: The process cannot be started, failed, or took too long (`picture_failed`).
    """
    require_library()
    line, environment = await to_thread.run_sync(lambda: (_as_line(drawing), _environment()))
    command = [sys.executable, "-P", "-W", "ignore", "-m", "ih_mcp.timeline.picture_process", kind]
    try:
        with anyio.fail_after(_SECONDS):
            with anyio.CancelScope(shield=True):  # half a start could not be ended
                process = await anyio.open_process(
                    command, stderr=None, cwd=Path(__file__).parent, env=environment,
                    creationflags=_FLAGS,
                )  # fmt: skip
            async with process:
                data = await _exchange(process, line)
                await process.wait()
    except TimeoutError:
        raise _failed(f"it took longer than {_SECONDS:.0f} s") from None
    except OSError as exc:
        raise _failed(f"its process cannot be started: {exc.strerror}") from exc
    if process.returncode:
        raise _failed(f"its process ended with status {process.returncode}")
    return data


def _as_line(drawing: Drawing) -> bytes:
    return f"{as_text(bounded(drawing))}\n".encode()


async def _exchange(process: Process, line: bytes) -> bytes:
    """Hand over the line, and take the output until its end. The input stays open until then."""
    assert process.stdin
    assert process.stdout
    try:
        for start in range(0, len(line), _PIECE_BYTES):
            await process.stdin.send(line[start : start + _PIECE_BYTES])
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # it has ended; its status tells more
    return b"".join([piece async for piece in process.stdout])


def _environment() -> dict[str, str]:
    """Ours, without our settings: keys are none of its business."""
    own = {name: os.environ[name] for name in os.environ if not name.startswith(_OWN_SETTINGS)}
    path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
    return own | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def _failed(what: str) -> IhMcpError:
    return IhMcpError(
        f"the picture could not be drawn: {what}",
        help="Ask for format html, which needs no drawing; standard error may tell more.",
        code="picture_failed",
        retry=True,
    )


# --- in the process ------------------------------------------------------------------------------


def _main() -> None:
    """Draw what the input says, into the output."""
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_input, daemon=True).start()
    _set_limits()
    data = draw(json.loads(line), cast("Format", sys.argv[1]))
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    os._exit(0)  # nothing is left to be tidied up


def _end_with_input() -> None:
    """End the process when the one that wants the picture has ended, or wants it no more."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _set_limits() -> None:
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - not on every platform

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _main()
