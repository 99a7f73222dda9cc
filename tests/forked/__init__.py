"""Processes of ih-mcp that start by a fork of one that has imported the package already.

A real start costs 0.7 s of a processor, most of it imports. Here a server (`processes.py`) has
imported everything; a small launcher (`launcher.py`) hands over its arguments, environment,
working folder and standard streams, passes on signals, and ends as the process ends.
Tests of starting and of what a process inherits use `REAL` instead, and so does one test of each
kind of end: a fork ends without taking down its modules.
"""

from __future__ import annotations

import atexit
import marshal
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

REAL = [sys.executable, "-m", "ih_mcp"]
"""The command line of `ih-mcp` as any process starts."""

_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_SOCKET = "IH_MCP_TESTS_FORK_SERVER"
_SHARED = os.environ.get(_SOCKET)
"""Of the whole run; read here, since tests take settings out of the environment."""
_STARTING = threading.Lock()


def share_server() -> None:
    """Start the server for all test processes that this one starts."""
    if _is_possible():
        os.environ[_SOCKET] = _server(os.getpid())


def forked_worker(arguments: Sequence[str]) -> str | None:
    """The command line of a Python that has imported what pytest collects for these arguments.

    None where this is not possible.
    """
    if not _is_possible():
        return None
    return shlex.join(_launcher(_server(os.getpid(), "workers", *arguments)))


def forked() -> list[str]:
    """The command line of `ih-mcp` that starts by a fork; `REAL` where that is not possible."""
    return [*forked_python(), "-m", "ih_mcp"]


def forked_python() -> list[str]:
    """The command line of a Python that starts likewise; takes `-m MODULE` and `-c CODE`.

    What Python reads when it starts, such as `PYTHONPATH`, has no effect here.
    """
    if not _is_possible():
        return [sys.executable]
    with _STARTING:
        server = _SHARED or _server(os.getpid())
    return _launcher(server)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process, also one that began by a fork: its launcher then ends after it."""
    process.send_signal(signal.SIGUSR1 if _is_forked(process) else signal.SIGKILL)


def _is_forked(process: subprocess.Popen[Any]) -> bool:
    return isinstance(process.args, list) and _LAUNCHER in process.args


class Watched:
    """A process of these tests, until its end and what the system counted of it are known.

    One that began by a fork is watched itself, and not its launcher. It has to run by now: ask
    when it has said something.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.pid = process.pid
        """The process id of what runs."""
        self._server: socket.socket | None = None
        if _is_forked(process):
            assert isinstance(process.args, list)
            self._server = socket.socket(socket.AF_UNIX)
            self._server.connect(process.args[process.args.index(_LAUNCHER) + 1])
            request = marshal.dumps({"watched": process.pid})
            self._server.sendall(len(request).to_bytes(4, "big") + request)
            self.pid = int.from_bytes(self._server.recv(4, socket.MSG_WAITALL), "big")
            assert self.pid, "it has not begun, or has ended"
            self._end = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            os.close(self._end)

    def wait(self) -> None:
        """Wait until it has ended. Its parent has not been told of that yet."""
        if self._server:
            select.select([self._end], [], [])
        else:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def last_counts(self) -> str:
        """The `schedstat` of its main thread, after `wait`; empty where the system has none."""
        if not self._server:
            with suppress(OSError):
                return Path(f"/proc/{self.pid}/schedstat").read_text()
            return ""
        told = b""
        while not told.endswith(b"\n") and (more := self._server.recv(100)):
            told += more
        return told.decode()


def process_id(process: subprocess.Popen[Any]) -> int:
    """The process id of what runs, which has said something by now; see `Watched`."""
    with Watched(process) as watched:
        return watched.pid


def _launcher(server: str) -> list[str]:
    return [sys.executable, "-I", "-S", _LAUNCHER, server]


def _is_possible() -> bool:
    """Whether this system has what it takes, and nobody asks for processes that can be measured."""
    return hasattr(os, "pidfd_open") and "COVERAGE_PROCESS_START" not in os.environ


@cache
def _server(pid: int, module: str = "processes", *arguments: str) -> str:
    """Start a server of this test process; gives the path of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="ih-mcp-tests-")
    path = str(Path(folder.name) / f"{pid}.socket")
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.forked.{module}", path, *arguments],
        stdin=subprocess.PIPE,  # its end is the server's end
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"listening\n"

    @atexit.register
    def end() -> None:
        process.communicate()
        folder.cleanup()

    return path
