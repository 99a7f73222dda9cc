"""v0 by hand: no greeting, every binary message is a file of its own with its own receipts.

    python examples/stream_v0.py ws://127.0.0.1:8080 SEGMENT...

Each segment is a complete file of 3 s or more; the server says `processing`, `result` and
`completed` (or `error`) for each.
"""

import asyncio  # noqa: TID251 - what a user of `websockets` writes
import json
import os
import sys
from pathlib import Path

from websockets.asyncio.client import connect


async def main(base: str, segments: list[str]) -> None:
    headers = {"Authorization": f"Bearer {os.environ['INTERHUMAN_API_KEY'].strip()}"}
    url = f"{base}/v0/stream/analyze?include[]=conversation_quality_overall"
    async with connect(url, additional_headers=headers, compression=None) as socket:
        for segment in segments:
            await socket.send(Path(segment).read_bytes())
        unsettled = len(segments)
        while unsettled:
            message = await socket.recv()
            print(message)
            unsettled -= json.loads(message)["status"] in {"completed", "error"}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
