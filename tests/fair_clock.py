"""How long something takes, on a machine that is busy with other things too."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.forked import Watched


def seconds_until_exit(process: subprocess.Popen[bytes], leave: Callable[[], object]) -> float:
    """Call `leave`, and wait until the process has ended.

    Gives the seconds without those in which the process, or the service that this process plays
    for it, was ready to run and got no processor. The system counts them where it is Linux. Of a
    process that began by a fork, what its launcher and its server do beside it is left out.
    """
    if not Path(f"/proc/{process.pid}/schedstat").exists():
        began = time.monotonic()
        leave()
        process.wait()
        return time.monotonic() - began
    with Watched(process) as watched:
        file = Path(f"/proc/{watched.pid}/schedstat")
        began, before = time.monotonic(), _delays() | {file: _delay(file.read_text())}
        leave()
        watched.wait()
        took, after = time.monotonic() - began, _delays() | {file: _delay(watched.last_counts())}
    return took - sum(after[thread] - before[thread] for thread in before.keys() & after.keys())


def _delays() -> dict[Path, float]:
    """Seconds that each thread of this process had to wait."""
    found = {}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended
            found[file] = _delay(file.read_text())
    return found


def _delay(counts: str) -> float:
    """Seconds that a thread had to wait for a processor, by its `schedstat`."""
    return int(counts.split()[1]) / 1e9


def work_seconds() -> float:
    """What this process, and those it has started and that have ended, took of a processor."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)
