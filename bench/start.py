"""From spawning the server to its first answer, beside a minimal server of the SDK."""

from __future__ import annotations

import tempfile

from .stdio import NOOP, OURS, Server, environment
from .table import rounds, show


def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def measure(command: list[str]) -> float:
            server = Server(command, environment(folder))
            seconds = server.hello()
            server.close()
            return seconds

        measured = rounds(
            count,
            {"minimal MCPServer": lambda: measure(NOOP), "ih-mcp": lambda: measure(OURS)},
        )
    show("start to first answer", "ms", measured, floor="minimal MCPServer", scale=1000)
