"""Lines that set this server up in the host that asks, ready to be copied."""

from __future__ import annotations

import os

from ih_mcp.settings import Settings

from .hosts import DIRS, HOSTS, KEY, NAME, Launch, find_host, launch_command
from .terminal_lines import shell_line

_FOLDER = "/path/to/your/videos"
_UNKNOWN_HOST = HOSTS["claude-desktop"]
"""Its entry has the form that most hosts read."""


def advise(settings: Settings, client: str) -> dict[str, object]:
    """How the host of this name is set up with this very server; blocks.

    Args:
        client: By which name the host introduced itself; empty where it did not.
    """
    host = find_host(client)
    command = [*launch_command(), *(["--local"] if settings.is_local else [])]
    folders = os.pathsep.join(map(str, settings.folders)) or _FOLDER
    row = host or _UNKNOWN_HOST
    names_key = row.reference or "env_vars" in row.more or settings.is_local
    key = {} if names_key else {KEY: "YOUR_API_KEY"}
    advice: dict[str, object] = {
        "host": host.title if host else client or "unknown",
        "server_name": NAME,
        "folder_separator": os.pathsep,
        "entry": row.snippet(Launch(command=command, env={**key, DIRS: folders})),
    }
    if host is None:
        return advice
    line = [*launch_command(), "install", host.name, "--media-dir", folders.split(os.pathsep)[0]]
    if settings.is_local:
        line.append("--local")
    return advice | {"file": host.shown, "command": shell_line(line), "then": host.after}
