"""A peer in its own process that greets and then floods with events, frames built beforehand.

usage: python -m bench.flood COUNT; prints its port. With a COUNT of 0 it only listens.
"""

from __future__ import annotations

import json
import sys

import anyio
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

_STEP = 64
_READY = {
    "type": "session.ready",
    "timestamp": "2026-11-21T00:00:00Z",
    "correlation_id": "c",
    "data": {
        "session_idle_timeout_seconds": 60,
        "session_max_duration_seconds": 3600,
        "min_segment_size_bytes": 1,
        "max_segment_size_bytes": 33554432,
        "supported_session_config_options": {"include": []},
    },
}


def event(number: int) -> str:
    """About 450 bytes, shaped like the API's."""
    return json.dumps(
        {
            "type": "signal.updated",
            "timestamp": "2026-11-21T01:02:03.456789Z",
            "correlation_id": "3f1f0a4e-9d1c-4c55-9a7e-0c8b2f1d7e11",
            "data": {
                "signal_type": "hesitation",
                "start": number / 4,
                "probability": "high",
                "rationale": f"{number} ".ljust(230, "x"),
            },
        }
    )


async def main(count: int) -> None:
    frames = [
        Frame(Opcode.TEXT, event(n).encode()).serialize(mask=False, extensions=[])
        for n in range(count)
    ]

    async def flood(connection: ServerConnection) -> None:
        await connection.send(json.dumps(_READY))
        if not count:
            async for _ in connection:
                pass
        for start in range(0, count, _STEP):
            connection.transport.write(b"".join(frames[start : start + _STEP]))
            await connection.drain()
        await connection.close()

    async with serve(flood, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]))
