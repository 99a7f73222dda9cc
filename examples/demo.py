"""The main job, end to end: a real video goes through the MCP server to the local stand-in.

Starts the MCP server as a real subprocess over stdio, as a host would, calls `stream_file` on a
clip of people talking, reads with `poll_events` until the stream has ended, and lets
`render_timeline` draw it. Each message is printed exactly as it came. No key and no network are
needed: the stand-in speaks the same API. For the clip of this folder it plays a scenario, so that
there is something to see, and every rationale says that it is scripted; with a file of your own it
measures cues, or makes events up, and says that.

    python examples/demo.py [FILE] [--open]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import webbrowser
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

HERE = Path(__file__).parent
CLIP = HERE / "media" / "dialogue.mp4"
SCENARIO = HERE / "scenarios" / "dialogue.jsonl"
PICTURE = Path("demo-timeline.html")


def texts(result: CallToolResult) -> list[str]:
    """The blocks of an answer: the server's status first, then the API's messages."""
    return [block.text for block in result.content if isinstance(block, TextContent)]


def status(blocks: list[str]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(blocks[0])["ih_mcp"]
    return found


async def call(client: Client, tool: str, **arguments: object) -> list[str]:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    blocks = texts(result)
    if result.is_error:
        sys.exit(f"{tool}: {blocks[0]}")
    return blocks


async def main(clip: Path) -> None:
    started = time.perf_counter()
    scripted = {"IH_MCP_ANALYST": "replay", "IH_MCP_SCENARIO": str(SCENARIO)}
    with tempfile.TemporaryDirectory() as journal:
        places = {"IH_MCP_MEDIA_DIRS": str(clip.parent), "IH_MCP_DATA_DIR": journal}
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "ih_mcp", "--local"],
            env={**os.environ, **places, **(scripted if clip == CLIP else {})},
        )
        async with Client(stdio_client(server)) as client:
            messages, last = await read(client, clip)
            drawn = await call(
                client, "render_timeline", stream_id=last["stream_id"], format="html"
            )
            shutil.copy(status(drawn)["path"], PICTURE)
    summary(clip, messages, last, time.perf_counter() - started)


async def read(client: Client, clip: Path) -> tuple[list[str], Mapping[str, Any]]:
    """Send the clip and read every message, until nothing follows."""
    wanted = ["conversation_quality_overall", "conversation_quality_timeline"]
    now = status(await call(client, "stream_file", path=str(clip), include=wanted))
    messages: list[str] = []
    cursor = 0
    while not now.get("ended"):
        blocks = await call(client, "poll_events", stream_id=now["stream_id"], cursor=cursor)
        now = status(blocks)
        cursor = now["next_cursor"]
        messages += blocks[1:]
        for message in blocks[1:]:
            print(message)
    return messages, now


def summary(clip: Path, messages: list[str], last: Mapping[str, Any], seconds: float) -> None:
    read = [json.loads(message) for message in messages]
    kinds = Counter(message["type"] for message in read)
    signals = Counter(
        message["data"]["signal_type"] for message in read if message["type"] == "signal.detected"
    )
    print()
    print(f"clip       {clip.name}, {last['media_seconds']} s of media")
    print(f"stream     {last['state']} ({last['reason']})")
    print(f"segments   {sum(last['segments'].values())} sent: {dict(last['segments'])}")
    print(f"messages   {len(messages)}, each byte for byte as it came")
    for kind, count in sorted(kinds.items()):
        print(f"             {count:3}  {kind}")
    print(f"signals    {', '.join(sorted(signals)) or 'none'}")
    print(f"took       {seconds:.1f} s, from starting the server to its end")
    print(f"timeline   {PICTURE.resolve()}")
    print("note       these readings come from the local stand-in, not from Interhuman")
    if clip == CLIP:
        print("           and are scripted: nobody looked at the clip (examples/scenarios)")
    assert last["state"] == "ended"
    assert read[0]["type"] == "session.ready"
    assert read[-1]["type"] == "session.ended"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The main job, end to end, without a key.")
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", default=CLIP)
    parser.add_argument("--open", action="store_true", help="open the timeline in the browser")
    options = parser.parse_args()
    anyio.run(main, options.file)
    if options.open:
        webbrowser.open(PICTURE.resolve().as_uri())
