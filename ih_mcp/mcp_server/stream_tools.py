"""Tools that open, feed and end streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Literal

import anyio
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.app.runtime import StreamOptions
from ih_mcp.errors import UnknownStreamError
from ih_mcp.streams.registry import live_status
from ih_mcp.streams.sources.pushed import READY_SECONDS
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import DIALECTS, Dialect
from ih_mcp.wire.messages import Config, Error, pcm_format

from .answers import answer
from .arguments import Arguments
from .next_call import next_call, read_rest
from .status import add_notes, full_status, short_status
from .tool import ToolCall

_CONFIRM_SECONDS = 5.0
_MAX_LABEL_CHARS = 200

Include = Literal["conversation_quality_overall", "conversation_quality_timeline"]
Wait = Annotated[float, Field(ge=0, le=25)]


class SessionArguments(Arguments):
    """What a session is asked to report."""

    include: list[Include] | None = None
    goal_dimensions: list[str] | None = None
    model: str | None = None

    def config(self) -> Config:
        return Config(
            include=tuple(self.include) if self.include is not None else None,
            goal_dimensions=tuple(self.goal_dimensions)
            if self.goal_dimensions is not None
            else None,
            model=self.model,
        )


class NewStreamArguments(SessionArguments):
    """Options of a new stream."""

    model: str | None = Field(None, description="v2: inter-2, inter-2-audio.")
    api: str | None = Field(None, json_schema_extra={"enum": [*DIALECTS]})


class StartStream(NewStreamArguments):
    goal_dimensions: list[str] | None = Field(
        None, description="clarity, authority, energy, rapport, learning."
    )
    sample_rate: Literal[16_000, 24_000] | None = Field(
        None, description="inter-2-audio: raw s16le mono PCM."
    )
    label: str | None = None

    def opening(self) -> StreamOptions:
        audio_format = pcm_format(self.sample_rate) if self.sample_rate else None
        config = replace(self.config(), audio_format=audio_format)
        return StreamOptions(
            api=self.api, config=config, label=(self.label or "")[:_MAX_LABEL_CHARS]
        )


@contextmanager
def ending_if_cancelled(stream: Stream) -> Iterator[None]:
    """End a new stream whose call is cancelled before its answer: its caller never knows the id.

    Else a file would be sent, and paid for, that nobody reads, and once more where the host, after
    a timeout, calls again.
    """
    try:
        yield
    except anyio.get_cancelled_exc_class():
        stream.request_end()
        raise


async def start_stream(call: ToolCall[StartStream]) -> CallToolResult:
    """Open a live stream for push_segment (a file: stream_file).

    It ends after max_idle_seconds without media.
    """
    stream = await call.runtime.start_stream(call.arguments.opening(), channel=call.channel)
    with ending_if_cancelled(stream):
        return await _answer_when_open(call, stream)


async def _answer_when_open(call: ToolCall[StartStream], stream: Stream) -> CallToolResult:
    with anyio.move_on_after(READY_SECONDS):
        await stream.wait_until_open()
    if stream.failure:
        raise stream.failure
    with anyio.move_on_after(_CONFIRM_SECONDS):  # what it did not take is said in the notes
        await stream.until(lambda: _is_answered(stream))
    await stream.log.flush()
    page = await call.runtime.journal.read_page(stream.id, 0, limit=10, max_chars=20_000)
    cursor = page.entries[-1].cursor if page.entries else 0
    status = full_status(stream) | {"next_cursor": cursor}
    status |= call.runtime.mirror.status_of(stream.id)
    status["next"] = next_call(live_status(stream), cursor=cursor)
    return answer(status, page.entries)


def _is_answered(stream: Stream) -> bool:
    """Whether the service answered the options that a stream was opened with, or failed."""
    leg = stream.leg
    return leg is not None and (leg.is_configured or leg.session.last_error is not None)


_REFUSED_NOTE = (
    "the service answered with an error, and what held before goes on; poll_events has its message"
)
_LEFT_OUT_NOTE = (
    "{} not given, so reset to none ([] in options, null in session.updated): each call replaces "
    "include and goal_dimensions; a model that is not given stays"
)
_OVERALL_NOTE = (
    "overall values count from the beginning of the session, and a timeline may begin before from_s"
)


class ConfigureStream(SessionArguments):
    stream_id: str


async def configure_stream(call: ToolCall[ConfigureStream]) -> CallToolResult:
    """Replace what a live stream reports (null: the default)."""
    stream = await call.runtime.registry.require_live(call.arguments.stream_id)
    with anyio.move_on_after(READY_SECONDS):
        await stream.wait_until_open()
    asked, from_seconds = call.arguments.config(), stream.media_seconds
    stream.configure(asked)
    answered = await stream.wait_for_confirmation(_CONFIRM_SECONDS)
    status = short_status(stream) | {"confirmed": isinstance(answered, Config)}
    if isinstance(answered, Config):
        options = _in_force(answered, asked, stream.dialect)
        status |= {"options": options, "from_s": round(from_seconds, 3)}
    if notes := _notes_on(answered, asked):
        status = add_notes(status, notes)
    return answer(status | {"next": next_call(live_status(stream))})


def _in_force(confirmed: Config, asked: Config, dialect: Dialect) -> dict[str, object]:
    """The options that hold as the service says, with those that it leaves out."""
    return {
        "include": [*(confirmed.include or ())],
        "goal_dimensions": [*(confirmed.goal_dimensions or ())],
        "model": confirmed.model or dialect.model_or_default(asked.model),
    }


def _notes_on(answered: Config | Error | None, asked: Config) -> list[str]:
    """What a caller should know of the service's answer to a configuration."""
    if answered is None:
        return []
    if isinstance(answered, Error):
        return [_REFUSED_NOTE]
    unsaid = [name for name in ("include", "goal_dimensions") if getattr(asked, name) is None]
    notes = [_LEFT_OUT_NOTE.format(" and ".join(unsaid))] if unsaid else []
    notes += [
        Config.describe_missing(name, missing)
        for name, missing in asked.missing_from(answered).items()
    ]
    if "conversation_quality_overall" in (answered.include or ()):
        notes.append(_OVERALL_NOTE)
    return notes


class EndStream(Arguments):
    stream_id: str
    wait_s: Wait = 4


async def end_stream(call: ToolCall[EndStream]) -> CallToolResult:
    """End a stream in order, also a file's; the service first finishes what it has."""
    registry, stream_id = call.runtime.registry, call.arguments.stream_id
    try:
        stream = registry.live(stream_id)
    except UnknownStreamError:
        kept = await registry.require_over(stream_id)
        over = {
            "stream_id": stream_id,
            **kept.to_json(),
            "ended": True,
            "summary": await call.runtime.summaries.find(stream_id),
        }
        then = {"next": read_rest(kept)}
        return answer(add_notes(over, ["it was over before"]) | then)
    first = stream.request_end()
    with anyio.move_on_after(call.arguments.wait_s):
        await stream.until(lambda: False)
    status = full_status(stream) | {"ended": stream.is_over}
    if stream.is_over:
        with anyio.move_on_after(_CONFIRM_SECONDS):  # until the journal knows it too
            await call.runtime.journal.wait(stream_id, stream.log.last)
        status["summary"] = await call.runtime.summaries.find(stream_id)
    notes = [] if first else ["its end was asked for before"]
    return answer(add_notes(status, notes) | {"next": read_rest(live_status(stream))})
