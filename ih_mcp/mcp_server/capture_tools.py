"""The tool that gives a person a page, to record with and to watch."""

from __future__ import annotations

import anyio
from mcp_types import CallToolResult

from ih_mcp.app.runtime import Runtime, StreamOptions
from ih_mcp.capture.tickets import TICKET_SECONDS
from ih_mcp.errors import StreamEndedError
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.sources.pushed import READY_SECONDS
from ih_mcp.streams.stream import Stream

from .answers import answer
from .arguments import Arguments
from .status import add_notes, short_status
from .stream_tools import ending_if_cancelled
from .tool import ToolCall

_LINK_NOTES = (
    "The link opens at this computer alone; links that were given before stay valid until used.",
    "Whoever opens the link first has the page; links that were given before stay valid.",
)
"""Of a page of this machine, and of one that others reach."""


class StartCapture(Arguments):
    stream_id: str | None = None


async def start_capture(call: ToolCall[StartCapture]) -> CallToolResult:
    """Get a link for a person at this machine to record and see the timeline.

    Works once, within 10 minutes; opens a stream if none is named.
    """
    from ih_mcp.capture.serve import page_server_of  # noqa: PLC0415 - with the first link

    runtime, stream_id = call.runtime, call.arguments.stream_id
    stream = await _recordable(runtime, stream_id) if stream_id is not None else None
    server = await page_server_of(runtime)  # first: without a page nobody would use the stream
    if stream is None:
        stream = await runtime.start_stream(StreamOptions(label="capture"), channel=call.channel)
        stream.claim(Feeder.PAGE)
        with ending_if_cancelled(stream), anyio.move_on_after(READY_SECONDS):
            await stream.wait_until_open()
        if stream.failure:
            raise stream.failure
    link = {
        "link": server.link(stream.id),
        "link_uses": 1,
        "link_valid_s": TICKET_SECONDS,
        "next": "give them the link, then poll_events",
    }
    return answer(add_notes(short_status(stream), [_LINK_NOTES[server.is_for_others]]) | link)


async def _recordable(runtime: Runtime, stream_id: str) -> Stream:
    """A stream that a page can still record into, or show while a file is sent.

    Raises:
        CallerError: It is over, another process has it, or segments are pushed into it.
    """
    try:
        stream = await runtime.registry.require_live(stream_id)
        stream.require_live()
    except StreamEndedError as exc:
        raise StreamEndedError(
            f"{exc.what.partition(';')[0]}; nothing can be recorded into it any more",
            help="For a new recording call start_capture without a stream_id; for a picture of "
            "this one, render_timeline.",
            facts=exc.facts,
        ) from None
    if stream.feeder is not Feeder.FILE:
        stream.require_feeder(Feeder.PAGE)
    return stream
