"""What is handed out: built, installed and started as others do it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_packages = pytest.mark.skipif(
    "IH_MCP_TEST_PACKAGES" not in os.environ, reason="slow; `make packages` runs it"
)
UV = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")


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
