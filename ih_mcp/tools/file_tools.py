"""Tools for recorded files."""

from __future__ import annotations

from typing import Literal

from mcp_types import CallToolResult
from pydantic import Field

from .answers import answer
from .status import status_of
from .stream_tools import OpeningArguments
from .tool import Call


class StreamFile(OpeningArguments):
    path: str = Field(description="A video file in an allowed folder.")
    pace: Literal["auto", "realtime", "fast"] = Field(
        "auto", description="auto: nothing is dropped; fast: the service may drop seconds."
    )


async def stream_file(call: Call[StreamFile]) -> CallToolResult:
    """Analyse a video file: cuts it into valid segments and sends them in the background.

    The stream is ended in order by itself. Returns at once with a stream_id; read the results
    with poll_events until it says ended.
    """
    from ih_mcp.streams.pace import PaceName  # noqa: PLC0415

    arguments = call.arguments
    stream = await call.runtime.stream_file(
        arguments.path, arguments.opening(), pace=PaceName(arguments.pace)
    )
    return answer(status_of(stream) | {"next": "poll_events(cursor=0)"})
