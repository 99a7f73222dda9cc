"""A poll with nothing new, beside a no-op tool; and one that reads one kept message.

CPU seconds of the server: on a busy machine the clock tells about its neighbours.
"""

from __future__ import annotations

import json
import tempfile

from .stdio import NOOP, OURS, Server, environment
from .table import rounds, show

_CALLS = 300


def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        floor, ours = Server(NOOP, environment(folder)), Server(OURS, environment(folder))
        floor.hello()
        ours.hello()
        started = ours.call("start_stream", {})
        stream_id = json.loads(started["content"][0]["text"])["ih_mcp"]["stream_id"]
        empty = {"stream_id": stream_id, "cursor": 10**6, "wait_s": 0}
        first = {"stream_id": stream_id, "cursor": 0, "wait_s": 0}

        def measure(server: Server, tool: str, arguments: dict[str, object]) -> float:
            began = server.cpu_seconds
            for _ in range(_CALLS):
                server.call(tool, arguments)
            return (server.cpu_seconds - began) / _CALLS

        measured = rounds(
            count,
            {
                "no-op tool of a minimal MCPServer": lambda: measure(
                    floor, "noop", {"stream_id": stream_id}
                ),
                "poll_events, nothing new": lambda: measure(ours, "poll_events", dict(empty)),
                "poll_events, one message from the journal": lambda: measure(
                    ours, "poll_events", dict(first)
                ),
            },
        )
        floor.close()
        ours.close()
    show(
        "poll", "ms of CPU a call", measured, floor="no-op tool of a minimal MCPServer", scale=1000
    )
