"""Tools for recorded files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import anyio
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.app.runtime import StreamOptions
from ih_mcp.streams.pacing import PaceName
from ih_mcp.wire.rest import UPLOADS

from .answers import answer
from .arguments import Arguments
from .status import full_status, minutes_of
from .stream_tools import NewStreamArguments, Wait, ending_if_cancelled
from .tool import ToolCall

_DONE = "done: nothing follows; it is kept here, so it can be read after its expires_at too"


class StreamFile(NewStreamArguments):
    path: str = Field(description="In an allowed folder.")
    pace: Literal["auto", "realtime", "fast"] = Field(
        "auto",
        description="auto: complete, soon; realtime: to react midway; fast: may drop seconds.",
    )


async def stream_file(call: ToolCall[StreamFile]) -> CallToolResult:
    """Analyse a video file in the background, to its end or end_stream; then poll_events."""
    arguments = call.arguments
    stream = await call.runtime.stream_file(
        arguments.path,
        StreamOptions(api=arguments.api, config=arguments.config()),
        pace=PaceName(arguments.pace),
        channel=call.channel,
    )
    with ending_if_cancelled(stream):
        minutes = await call.runtime.minutes.facts(stream.plan.source_seconds)
    mirror = call.runtime.mirror.status_of(stream.id)
    return answer(full_status(stream) | minutes | mirror | {"next": "poll_events(cursor=0)"})


class AnalyzeFile(Arguments):
    text_bounds: ClassVar[Mapping[str, int]] = {"conversation_context": 100_000}

    path: str = Field(description="3 s to 32 MiB.")
    api: str = Field("v2", json_schema_extra={"enum": [*UPLOADS]})
    model: str | None = None
    include: list[
        Literal["signals", "conversation_quality_overall", "conversation_quality_timeline"]
    ] = Field(default_factory=list, description="Replaces the default.")
    goal_dimensions: list[str] = Field(default_factory=list, description="v1.")
    conversation_context: str | None = Field(None, description="v1.")


async def analyze_file(call: ToolCall[AnalyzeFile]) -> CallToolResult:
    """Upload a file whole for one result; then get_analysis.

    For longer files or early results: stream_file.
    """
    arguments = call.arguments
    analysis = await call.runtime.analyze_file(
        arguments.path,
        api=arguments.api,
        form={
            "model": arguments.model,
            "include": tuple(arguments.include),
            "goal_dimensions": tuple(arguments.goal_dimensions),
            "conversation_context": arguments.conversation_context,
        },
        channel=call.channel,
    )
    minutes = await call.runtime.minutes.facts(analysis.seconds)
    return answer({"analysis_id": analysis.id, **analysis.facts, **minutes, "next": "get_analysis"})


class GetAnalysis(Arguments):
    analysis_id: str
    wait_s: Wait = 4


async def get_analysis(call: ToolCall[GetAnalysis]) -> CallToolResult:
    """Read the result of analyze_file, as it came; repeat while done is false."""
    analysis_id, runtime = call.arguments.analysis_id, call.runtime
    await runtime.analysis(analysis_id)
    with anyio.move_on_after(call.arguments.wait_s):
        await runtime.analyses.wait(analysis_id)
    facts = await runtime.analysis(analysis_id)
    page = await runtime.journal.read_page(analysis_id, 0, limit=1, max_chars=1)
    done = facts["state"] in {"ended", "failed"}
    then = _DONE if done else "get_analysis"
    minutes = minutes_of(facts.get("usage"))
    status = {"analysis_id": analysis_id, **facts, **minutes, "done": done, "next": then}
    return answer(status, page.entries)
