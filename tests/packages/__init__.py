"""What is handed out: built, installed and started as others do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.road.host import REPOSITORY

needs_packages = pytest.mark.skipif(
    "IH_MCP_TEST_PACKAGES" not in os.environ, reason="slow; `make packages` runs it"
)
UV = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")


_LEFT_OUT = (
    *(".git", ".venv*", ".*_cache", ".fuzz", ".hypothesis", ".mutation"),
    *("__pycache__", "build", "dist", "tests"),
)


def copy_repository(folder: Path) -> Path:
    """A copy without what is made in a clone: environments can have gigabytes.

    And without the tests, since what they plant would be found where a host copies it.
    """
    return shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))


def uv(*words: object, **environment: str) -> str:
    """What uv prints to a command that has to pass; `make packages` brings it."""
    done = subprocess.run(
        [UV, "--quiet", *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (words, done.stderr[-3000:])
    return done.stdout


def run_tool(package: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the program of a package, in an environment that uv makes for it."""
    command = [str(UV), "--quiet", "tool", "run", "--from", package, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
