"""Serves launchers: forks a process for each that connects, until the input of the server ends."""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn


@dataclass(eq=False)
class Child:
    """A process of ih-mcp, and the launcher that stands for it."""

    pid: int
    process: int
    """A descriptor of the process; readable when it has ended."""
    launcher: socket.socket
    """Readable when the launcher was killed."""
    watchers: list[socket.socket] = field(default_factory=list)
    """Of tests that wait for its end and read what the system counted of it."""


def main(path: str, prepare: Callable[[], None]) -> None:
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)
        listener.listen(64)
        sys.stdout.write("listening\n")  # who connects now waits until all is imported
        sys.stdout.flush()
        prepare()
        gc.collect()
        gc.freeze()  # collections of a child leave these pages shared
        selector.register(sys.stdin, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj: key.data for key, _ in selector.select()}
            if sys.stdin in ready:  # the run is over, and so is what it started
                for child in {key.data for key in selector.get_map().values() if key.data}:
                    os.kill(child.pid, signal.SIGKILL)
                return
            if listener in ready and (child := _start(listener, selector)):
                selector.register(child.process, selectors.EVENT_READ, child)
                selector.register(child.launcher, selectors.EVENT_READ, child)
            for child in {child for child in ready.values() if child}:
                selector.unregister(child.process)
                selector.unregister(child.launcher)
                _finish(child, was_killed=child.process not in ready)


def _start(listener: socket.socket, selector: selectors.BaseSelector) -> Child | None:
    launcher, _ = listener.accept()
    size, streams, _, _ = socket.recv_fds(launcher, 4, 3)  # no streams where a child is watched
    try:
        request = marshal.loads(  # noqa: S302 - of our launcher, which cannot wait for `json`
            launcher.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        )
    except (EOFError, ValueError, OSError):  # it was killed before it had said what to start
        launcher.close()
        for stream in streams:
            os.close(stream)
        return None
    if "watched" in request:
        children = {key.data for key in selector.get_map().values() if key.data}
        _watch(launcher, [child for child in children if _peer(child) == request["watched"]])
        return None
    pid = os.fork()
    if not pid:
        selector.close()
        listener.close()
        launcher.close()
        _become(streams, **request)
    for stream in streams:
        os.close(stream)
    with suppress(ConnectionError):  # it was killed meanwhile; the next look at it says so
        launcher.sendall(pid.to_bytes(4, "big"))
    return Child(pid, os.pidfd_open(pid), launcher)


def _peer(child: Child) -> int:
    """The process id of its launcher."""
    credentials = child.launcher.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


def _watch(watcher: socket.socket, found: list[Child]) -> None:
    """Say the process id of a child, 0 where there is none, and its counts when it has ended."""
    watcher.sendall((found[0].pid if found else 0).to_bytes(4, "big"))
    if found:
        found[0].watchers.append(watcher)
    else:
        watcher.close()


def _finish(child: Child, *, was_killed: bool) -> None:
    if was_killed:
        os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # the counts can still be read
    for watcher in child.watchers:
        with watcher, suppress(OSError):  # nobody waits any more; or the system does not count
            watcher.sendall(Path(f"/proc/{child.pid}/schedstat").read_bytes())
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with child.launcher, suppress(ConnectionError):
        child.launcher.sendall(code.to_bytes(4, "big", signed=True))
    os.close(child.process)


def _become(
    streams: list[int],
    arguments: list[str],
    environment: dict[bytes, bytes],
    folder: str,
    ignored: list[int],
) -> NoReturn:
    """Go on as `python ARGUMENTS` would."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environb.update(environment)
    os.chdir(folder)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    encoding = os.environ.get("PYTHONIOENCODING") or "utf-8"
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115 - likewise
    sys.stderr = open(  # noqa: SIM115 - likewise
        2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False
    )
    kind, what, *sys.argv[1:] = arguments[arguments[0] == "-u" :]  # so says pytest-xdist
    sys.path[0] = folder
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = kind
            exec(what, {"__name__": "__main__"})  # noqa: S102 - the code of a test
    except SystemExit as ended:
        _end(ended.code)
    _end(None)


def _end(code: object) -> NoReturn:
    """End as Python does, but for taking down every module, which is most of its time."""
    if isinstance(code, int | None):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads; Python's first step
        atexit._run_exitfuncs()
        gc.collect()  # what is then found to be unfinished writes its warning
        with suppress(OSError, ValueError):  # Python says so itself, below
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit((code or 0) & 0xFF)
    raise SystemExit(code)
