"""What a client can read without a tool: streams, their messages, and two prompts to begin with.

`subscriptions` notifies those who subscribed that there is something new to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice

from anyio import to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from ih_mcp.app.jsonl import frame_message
from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import IhMcpError, join_help
from ih_mcp.streams.status import StreamStatus

from .answers import as_text

MAX_STREAMS = 1000
_MAX_MESSAGES = 1000
_MAX_CHARS = 1_000_000

_ANALYSE = """\
Analyse the recording {path} with the tools of this server: stream_file, then poll_events with each
next_cursor until ended is true. Then tell me: {question}
Rest every statement on messages: name their seconds and quote the rationale. Name seconds that were
not analysed (coverage.dropped). If the readings are a stand-in's, say so first."""
_COACH = """\
Coach me live. My goal: {goal}
If I have no recorder, give me the link of start_capture and push nothing; else open a stream with
start_stream. As each segment of my recorder is written, push it with
push_segment (seq from 1) and read what is new with poll_events. Speak up only for a signal of high
probability or when engagement falls, at most once in 20 s, in one sentence with its reason. When I
say that I am done: end_stream, poll to the end, and sum up with seconds. If the readings are a
stand-in's, say so."""


def add_resources(server: MCPServer[Runtime]) -> None:
    """Add the resources and prompts of streams to a server."""

    # a template, for the SDK gives a plain resource no way to the streams
    @server.resource("ih://streams{?limit}", name="streams", mime_type="application/json")
    async def streams(ctx: Context[Runtime], limit: str = str(MAX_STREAMS)) -> str:
        """The streams there are, live or kept, newest first, with their state."""
        most = min(_count("limit", limit), MAX_STREAMS)
        known = await _runtime(ctx).registry.statuses(newest=most)
        return await to_thread.run_sync(_as_json, dict(islice(known.items(), most)))

    @server.resource(
        "ih://streams/{stream_id}/messages{?cursor,limit}",
        name="messages",
        mime_type="application/jsonl",
    )
    async def messages(
        stream_id: str, ctx: Context[Runtime], cursor: str = "0", limit: str = "200"
    ) -> str:
        """Messages of a stream after a cursor, one a line, as `ih-mcp stream` prints them.

        A binary message (the API sends none) is base64, as in an answer of poll_events.
        """
        after, most = _count("cursor", cursor), _count("limit", limit)
        try:
            page = await _runtime(ctx).journal.read_page(
                stream_id,
                after,
                limit=min(max(1, most), _MAX_MESSAGES),
                max_chars=_MAX_CHARS,
            )
        except IhMcpError as exc:
            raise ResourceNotFoundError(join_help(exc.what, exc.help)) from exc
        return b"".join(frame_message(as_text(entry.body)) for entry in page.entries).decode()

    @server.prompt(title="Analyse a recording")
    def analyse_recording(path: str, question: str = "what stands out, and when?") -> str:
        """Analyse a video file and answer a question about the people in it."""
        return _ANALYSE.format(path=path, question=question)

    @server.prompt(title="Coach me live")
    def coach_live(goal: str = "to speak clearly and keep attention") -> str:
        """React to a person who is being recorded now."""
        return _COACH.format(goal=goal)


def _as_json(known: Mapping[str, StreamStatus]) -> str:
    found = [{"stream_id": stream_id, **status.to_json()} for stream_id, status in known.items()]
    return json.dumps({"streams": found}, default=str)


def _count(name: str, text: str) -> int:
    """A number of a URI, at least 0; the SDK itself would log a traceback for another text."""
    try:
        return max(0, int(text))
    except ValueError:
        raise ResourceNotFoundError(f"{name} is no whole number: {text[:40]!a}") from None


def _runtime(ctx: Context[Runtime]) -> Runtime:
    runtime: Runtime = ctx.request_context.lifespan_context
    return runtime
