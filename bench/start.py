"""From spawning the server to its first answer, beside a minimal server of the SDK.

CPU seconds of the server: on a busy machine the clock tells about its neighbours.
"""

from __future__ import annotations

import tempfile

from .stdio import NOOP, OURS, Server, environment
from .table import rounds, show


def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def measure(command: list[str]) -> float:
            server = Server(command, environment(folder))
            server.hello()
            seconds = server.cpu_seconds
            server.close()
            return seconds

        measured = rounds(
            count,
            {"minimal MCPServer": lambda: measure(NOOP), "ih-mcp": lambda: measure(OURS)},
        )
    show("start to first answer", "ms of CPU", measured, floor="minimal MCPServer", scale=1000)
