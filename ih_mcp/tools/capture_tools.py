"""Tools for people: a page to record with and to watch, and pictures."""

from __future__ import annotations

import anyio
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.streams.push import READY_SECONDS

from .answers import answer
from .runtime import Opening
from .status import in_short
from .tool import Arguments, Call


class StartCapture(Arguments):
    stream_id: str | None = Field(None, description="Default: a new one.")


async def start_capture(call: Call[StartCapture]) -> CallToolResult:
    """Get a link for a person: a local page that records live and shows the timeline.

    It works once.
    """
    runtime, stream_id = call.runtime, call.arguments.stream_id
    status: dict[str, object] = {}
    house = await runtime.house()  # first: without a page nobody would use the stream
    if stream_id is None:
        stream = await runtime.start_stream(Opening(label="capture"))
        with anyio.move_on_after(READY_SECONDS):
            await stream.opened()
        if stream.failure:
            raise stream.failure
        status, stream_id = in_short(stream) | await runtime.notes(), stream.id
    else:
        status = {
            "stream_id": stream_id,
            "state": (await runtime.registry.record(stream_id))["state"],
        }
    told = {"link": house.link(stream_id), "next": "give the link, then poll_events"}
    return answer(status | told)
