"""A terminal with a host in it, as a person has one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

_ROWS, _COLUMNS = 50, 140
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[@-Z\\-_=>78c])"
)
_PRIVATE = re.compile(rb"\x1b\[[<>=?][0-9;:]*[^hl0-9;:]")  # pyte 0.8.2 raises TypeError at most
_ANSWERS = {  # to what programs ask of their terminal
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;c",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}


class Terminal:
    """What a program prints, and the keys that are pressed. Use `open_terminal`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._printed = b""
        self._screen = pyte.Screen(_COLUMNS, _ROWS)
        self._emulator = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """All that was printed, then what the screen shows, without control sequences and spaces.

        Programs print a space as a move of the cursor, and leave out what stands there already: a
        letter that a line shares with the one before it is on the screen alone.
        """
        printed = _CONTROL.sub("", self._printed.decode(errors="replace"))
        return "".join([*printed.split(), "\n", *"".join(self._screen.display).split()])

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def has_shown(self, words: str) -> Callable[[], bool]:
        """A condition for `wait`."""
        return lambda: "".join(words.split()) in self.text

    def wait(self, is_met: Callable[[], bool], *, seconds: float) -> bool:
        """Go on printing until a condition is met; gives whether it was."""
        end = time.monotonic() + seconds
        while not is_met():
            if time.monotonic() > end:
                return False
            self._read()
        return True

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return
        with suppress(OSError):  # its program is over
            printed = os.read(self._descriptor, 65_536)
            self._printed += printed
            self._emulator.feed(_PRIVATE.sub(b"", printed))
            for asked, answer in _ANSWERS.items():
                if asked in printed:
                    os.write(self._descriptor, answer)


def end_daemons(folder: Path) -> None:
    """End what a host left running; its files name the processes (Codex starts two)."""
    for file in folder.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(json.loads(file.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)


@contextmanager
def open_terminal(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Iterator[Terminal]:
    """Run a program in a terminal, until the caller is done with it."""
    child, descriptor = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execvpe(command[0], [*command], {**env, "TERM": "xterm-256color"})  # noqa: S606 - no shell
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    terminal = Terminal(descriptor)
    try:
        yield terminal
    finally:
        os.kill(child, signal.SIGTERM)
        is_over = [False]

        def ended() -> bool:
            is_over[0] = is_over[0] or os.waitpid(child, os.WNOHANG)[0] != 0
            return is_over[0]

        if not terminal.wait(ended, seconds=10):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(descriptor)
