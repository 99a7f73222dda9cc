"""A test that hangs and lets its time limit pass by fails by name, and the others run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # it has no types
from _pytest._io import TerminalWriter

import ih_mcp

from .conftest import REPOSITORY

TESTS = """
import time
import pytest

def hang():
    while True:
        try:
            time.sleep(60)
        except BaseException:  # as a task that nobody awaits swallows it
            pass

def test_hangs():
    hang()

def test_fails_and_then_hangs(request):
    request.addfinalizer(hang)
    assert False

def test_other():
    pass
"""
CONFTEST = """
from tests import hung

hung.GRACE_SECONDS = 0.5

def pytest_configure(config):
    config.pluginmanager.register(hung.Hung())
"""


def test_what_hangs_is_ended_and_named(tmp_path: Path) -> None:
    (tmp_path / "test_made.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={tmp_path}"]
    plugins = ["-p", "xdist", "-n1", "-p", "pytest_timeout", "-o", "timeout=0.5"]
    done = subprocess.run(
        [*command, *plugins, "-p", "no:cacheprovider", str(tmp_path)],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    for name in ("test_hangs", "test_fails_and_then_hangs"):
        assert f"crashed while running 'test_made.py::{name}'" in done.stdout
    assert "1 passed" in done.stdout
    assert "in hang\n" in done.stderr  # what its threads were doing


async def test_a_limit_that_is_reached_while_our_code_runs_in_the_loop_fails_the_test(
    tmp_path: Path,
) -> None:
    """What it writes of other threads is no blocking call of ours, whose error ours may handle."""
    made: dict[str, Callable[..., Any]] = {}
    ours = Path(ih_mcp.__file__).with_name("made.py")
    exec(compile("async def run(work, *given): work(*given)", ours, "exec"), made)  # noqa: S102
    is_over = threading.Event()
    other = threading.Thread(target=is_over.wait)
    other.start()
    with (tmp_path / "written").open("w", encoding="utf-8") as file:
        config = SimpleNamespace(get_terminal_writer=lambda: TerminalWriter(file))
        settings = SimpleNamespace(disable_debugger_detection=True, timeout=1)
        try:
            with pytest.raises(pytest.fail.Exception, match="Timeout"):
                await made["run"](
                    pytest_timeout.timeout_sigalrm, SimpleNamespace(config=config), settings
                )
        finally:
            is_over.set()
            other.join()
    assert other.name in (tmp_path / "written").read_text(encoding="utf-8")
