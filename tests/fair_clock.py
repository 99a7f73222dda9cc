"""How long something takes, on a machine that is busy with other things too."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def seconds_until_exit(process: subprocess.Popen[bytes], leave: Callable[[], object]) -> float:
    """Call `leave`, and wait until the process has ended.

    Gives the seconds without those in which the process, or the service that this process plays
    for it, was ready to run and got no processor. The system counts them where it is Linux.
    """
    began, before = time.monotonic(), _delays(process.pid)
    leave()
    if before:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # the counts can still be read
    else:
        process.wait()
    took, after = time.monotonic() - began, _delays(process.pid)
    return took - sum(after[thread] - before[thread] for thread in before.keys() & after.keys())


def _delays(pid: int) -> dict[str, float]:
    """Seconds that the main thread of a process, and each thread of this one, had to wait."""
    files = [Path(f"/proc/{pid}/schedstat"), *Path("/proc/self/task").glob("*/schedstat")]
    found = {}
    for file in files:
        try:
            found[str(file)] = int(file.read_text().split()[1]) / 1e9
        except (OSError, IndexError):  # it has ended; or the system does not count
            continue
    return found


def work_seconds() -> float:
    """What this process, and those it has started and that have ended, took of a processor."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)
