"""A test that hangs and lets its time limit pass by fails by name, and the others run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
