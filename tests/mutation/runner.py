"""Runs tests of a changed copy of the tree, each time in a fork of a process that is warm.

What the tests import of others is imported once; a start costs a quarter of that of `pytest`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import Phase, settings

PLUGINS = [
    "pytest", "_hypothesis_pytestplugin", "anyio.pytest_plugin", "pytest_cov.plugin",
    "pytest_timeout", "xdist.looponfail", "xdist.plugin",
]  # fmt: skip
_WARM = [
    *PLUGINS, "hypothesis", "hypothesis.strategies", "blockbuster", "av", "ffmpeg",
    "httpx2", "mcp.client.session", "mcp.server.mcpserver", "pydantic_settings",
    "rich.console", "starlette.applications", "starlette.routing", "tomlkit", "uvicorn",
    "websockets.asyncio.client", "websockets.asyncio.server",
]  # fmt: skip
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(_WARM)


_HUNG = 1
"""The exit code of a process that `tests/hung.py` ends."""


@dataclass(frozen=True)
class Failure:
    """The first test that failed, or that ran when the time was over."""

    test: str
    is_time: bool


class _First:
    """A plugin of pytest that notes the first test that fails, and keeps the order it was given.

    Of files it was given by their tests it runs those alone; one that is not there any more is no
    failure.
    """

    def __init__(self, told: Connection, tests: Sequence[str]) -> None:
        self.failed = ("", "")
        self._told = told
        self._order = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """No example that fails is made smaller: that takes minutes, and one is enough."""
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("first failure", parent=settings(), phases=phases)
        settings.load_profile("first failure")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = {test for test in self._order if "::" in test}
        items[:] = [item for item in items if item.nodeid in chosen or not chosen]
        items.sort(key=lambda item: self._order.get(item.nodeid, len(self._order)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._told.send(("runs", nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not any(self.failed):
            is_time = "from pytest-timeout" in report.longreprtext
            self.failed = ("time" if is_time else "failed", report.nodeid)


def first_failure(tests: Sequence[str], tree: Path, seconds: float) -> Failure | None:
    """Run tests of a tree, for so long at most."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_work, args=(theirs, list(tests), str(tree)))
    process.start()
    theirs.close()
    running, until = "the run", time.monotonic() + seconds
    try:
        while ours.poll(max(0.0, until - time.monotonic())):
            state, test = ours.recv()
            if state != "runs":
                return Failure(test, is_time=state == "time") if state else None
            running = test
        return Failure(running, is_time=True)
    except EOFError:
        pass
    finally:
        if process.pid:
            _end(process.pid)
        process.kill()  # it may not have its group yet
        process.join()
        ours.close()
    return Failure(running, is_time=process.exitcode == _HUNG)


def _end(pid: int) -> None:
    """End the process and all it started, which are one group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _work(told: Connection, tests: list[str], tree: str) -> None:
    os.setsid()
    os.chdir(tree)
    os.environ["PYTHONPATH"] = tree
    sys.path.insert(0, tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "ih_mcp"}]:
        del sys.modules[name]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    first = _First(told, tests)
    files = [*filter(os.path.exists, dict.fromkeys(test.partition("::")[0] for test in tests))]
    options = ["-qx", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["-o", "timeout=60"]  # others use the machine too
    code = pytest.main([*options, *files], plugins=[first]) if files else 0
    told.send(first.failed if any(first.failed) or code in {0, 5} else ("failed", "the run"))
