"""v1 by hand: greeting, one binary message per chunk, `session.close`, read to the end.

    python examples/stream_v1.py ws://127.0.0.1:8080 CHUNK...

The chunks of one recording go in order, unchanged; the first holds the container header. A whole
short file works as a single chunk.
"""

import asyncio  # noqa: TID251 - what a user of `websockets` writes
import json
import os
import sys
from pathlib import Path

from websockets.asyncio.client import connect


async def main(base: str, chunks: list[str]) -> None:
    headers = {"Authorization": f"Bearer {os.environ['INTERHUMAN_API_KEY'].strip()}"}
    async with connect(
        f"{base}/v1/stream/analyze", additional_headers=headers, compression=None
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "session.ready"
        await socket.send(json.dumps({"include": ["conversation_quality_overall"]}))
        for chunk in chunks:
            await socket.send(Path(chunk).read_bytes())
        await socket.send('{"type":"session.close"}')
        async for message in socket:
            print(message)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
