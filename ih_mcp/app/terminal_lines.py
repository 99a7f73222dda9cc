"""Lines for a person's terminal that start `ih-mcp` on the data of this very server."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from ih_mcp.settings import Settings, find_state_folder

from .hosts import launch_command


def shell_line(words: Sequence[str]) -> str:
    """Words as one line of this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def terminal_line(settings: Settings, *words: str) -> str:
    """The line that runs a command of `ih-mcp` on what this server keeps; blocks.

    A data folder or a mirror folder of its own is named: in a terminal the settings are others.
    """
    named = {
        "IH_MCP_DATA_DIR": settings.data_dir,
        "IH_MCP_MIRROR_DIR": settings.mirror_dir,
    }
    if settings.data_dir == find_state_folder():
        del named["IH_MCP_DATA_DIR"]
    folders = [f"{name}={folder}" for name, folder in named.items() if folder]
    command = [*launch_command(), *words]
    if folders and sys.platform == "win32":  # cmd and PowerShell write variables differently
        return f"{shell_line(command)} (with {' and '.join(folders)} set)"
    return shell_line(["env", *folders, *command] if folders else command)
