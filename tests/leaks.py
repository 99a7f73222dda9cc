"""A key is planted in every server that tests start; wherever it turns up, the run fails.

S8: looked at are, in every worker, all files that tests left behind (journals, mirrors, logs),
the captured output of each test, and every answer of a tool that goes through `look`; and, by one
process while tests run, the command lines of all processes and the environment of each ffmpeg. Not
only the key as it is, but encoded and cut in two as well.

The key stands in the environment as people have it from files, between a blank and a line break.
The odd keys cannot be sent at all; tests plant them wherever a credential is read.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

KEY = os.environ.get("IH_MCP_PLANTED_KEY", "ih_test_pL4nt+d~K3y.9vQ2w7Xc5Rt1Zs8")
"""With a "+", so that its URL-coded form is another. Named otherwise where the scan is tested."""
PLANTED = f" {KEY}\r\n"
"""As the environment has it."""
_HEAD, _TAIL = "ih_test_0ddH3ad~pL4nt", "0ddT41l~9vQ2w7Xc5Rt"
_ODD_CHARACTERS = {
    "CR": "\r", "LF": "\n", "NUL": "\0", "VT": "\x0b", "DEL": "\x7f", "space": " ",
    "quote": "\u2019", "umlaut": "\u00fc", "mark": "\ufeff", "bytes": "\udcff",
}  # fmt: skip
ODD_KEYS = {name: f"{_HEAD}'\"\\{char}\"'{_TAIL}" for name, char in _ODD_CHARACTERS.items()}
"""With both quotes and a backslash, which each way to write them down changes, but not what is
before and after: that is what the scan looks for."""
_NOT_TEXT = {".mp4", ".webm", ".mkv", ".mov", ".avi", ".ts", ".pcm", ".whl", ".gz"}
_MAX_BYTES = 64 * 2**20
_SAMPLE_SECONDS = 0.25
_PROC = Path("/proc")


def forms(key: str = KEY) -> list[bytes]:
    """The key as it could be written: plain, each half, reversed, hex, URL, JSON, base64."""
    half = len(key) // 2
    secret = key.removeprefix("ih_test_")
    raw = key.encode()
    found = [raw, secret[: len(secret) // 2].encode(), key[half:].encode(), key[::-1].encode()]
    found += [raw.hex().encode(), raw.hex().upper().encode(), quote(key, safe="").encode()]
    found += [key.replace("+", "\\u002b").encode()]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # where it stands in three bytes changes how it looks
            whole = encode(b" " * before + secret.encode())
            found.append(whole[4 if before else 0 : len(whole) // 4 * 4 - 4])
    return found


_SOUGHT = [form for secret in (KEY, _HEAD, _TAIL) for form in forms(secret)]
_PATTERN = re.compile(b"|".join(re.escape(form) for form in _SOUGHT))
_SEEN: list[str] = []


def look(place: str, data: str | bytes) -> None:
    """Look for the key in something a test got to see."""
    raw = data.encode(errors="replace") if isinstance(data, str) else data
    if found := _PATTERN.search(raw):
        start = max(0, found.start() - 40)
        _SEEN.append(f"{place}: ...{raw[start : found.start()]!r} then the key")


class Leaks:
    """The plugin; `tests/conftest.py` registers it."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self.found: list[str] = []
        self._done = set[str]()
        """Folders that workers looked through, all at the same time."""

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):  # one process of a run sees them all
            self._sampler.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Iterator[None]:  # what pytest makes of it is handed on
        report = yield
        for name, text in report.sections:  # type: ignore[attr-defined]
            look(f"{item.nodeid}: {name}", text)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._stop.set()
        config = session.config
        if (factory := getattr(config, "_tmp_path_factory", None)) is not None:
            with suppress(OSError):
                self._scan(factory.getbasetemp())
        self.found += dict.fromkeys(_SEEN)
        if (output := getattr(config, "workeroutput", None)) is not None:
            output["leaks"] = self.found
            output["looked_through"] = factory.getbasetemp().name if factory else ""
        elif self.found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        output = getattr(node, "workeroutput", {})
        self.found += output.get("leaks", [])
        self._done.add(output.get("looked_through", ""))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("S8: the planted key was found", red=True)
            for place in self.found:
                terminalreporter.write_line(place)

    # --- where it looks ----------------------------------------------------------------------

    def _scan(self, folder: Path) -> None:
        for place, folders, names in os.walk(folder):
            if place == str(folder):
                folders[:] = set(folders) - self._done
            for path in (Path(place, name) for name in [*folders, *names]):
                with suppress(OSError):
                    is_small = path.is_file() and path.stat().st_size < _MAX_BYTES
                    if is_small and not path.is_symlink() and path.suffix not in _NOT_TEXT:
                        look(str(path), path.read_bytes())
                    look("the name of a file", path.name)

    def _sample(self) -> None:
        if not _PROC.joinpath("self/cmdline").exists():
            return
        seen: dict[str, bytes] = {}
        settled = set[str]()  # had the same words twice: a process changes them when it begins
        while not self._stop.wait(_SAMPLE_SECONDS):
            here = set(filter(str.isdecimal, os.listdir(_PROC)))  # noqa: PTH208 - names alone
            settled &= here
            before, seen = seen, {}
            for process in here - settled:
                with suppress(OSError):  # it ended meanwhile, or is somebody else's
                    words = seen[process] = _read(f"{_PROC}/{process}/cmdline")
                    if words == before.get(process):  # it was looked at
                        settled.add(process)
                        continue
                    look("a process list", words)
                    if b"ffmpeg" in words.partition(b"\0")[0]:
                        look("the environment of ffmpeg", _read(f"{_PROC}/{process}/environ"))


def _read(path: str) -> bytes:
    """All of a file of the system; four times a second for each process, so without objects."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(descriptor, 2**16), b""))
    finally:
        os.close(descriptor)
