"""Tools that open, feed and end streams."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import Annotated, Literal

import anyio
from mcp_types import CallToolResult
from pydantic import Field, model_validator

from ih_mcp.errors import CallerError, IhMcpError
from ih_mcp.streams.push import PUSH_SECONDS, READY_SECONDS, alone, push
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import DIALECTS
from ih_mcp.wire.messages import Config, pcm_format

from .answers import answer
from .runtime import Opening, Runtime
from .status import in_short, status_of
from .tool import Arguments, Call

_CONFIRM_SECONDS = 5.0
_ORDER_SECONDS = 3.0
_MAX_LABEL_CHARS = 200
_THEN_POLL = {"next": "poll_events"}

Include = Literal["conversation_quality_overall", "conversation_quality_timeline"]
Wait = Annotated[float, Field(ge=0, le=25)]


class Options(Arguments):
    """What a session is asked to report."""

    include: list[Include] | None = None
    goal_dimensions: list[str] | None = Field(
        None, description="clarity, authority, energy, rapport, learning."
    )
    model: str | None = Field(None, description="v2: inter-2 or inter-2-audio.")

    def config(self) -> Config:
        return Config(
            include=tuple(self.include) if self.include is not None else None,
            goal_dimensions=tuple(self.goal_dimensions)
            if self.goal_dimensions is not None
            else None,
            model=self.model,
        )


class OpeningArguments(Options):
    """Options of a new stream."""

    api: str | None = Field(None, json_schema_extra={"enum": [*DIALECTS]})


class StartStream(OpeningArguments):
    sample_rate: Literal[16_000, 24_000] | None = Field(
        None, description="inter-2-audio: segments are raw s16le mono PCM."
    )
    label: str | None = None

    def opening(self) -> Opening:
        audio_format = pcm_format(self.sample_rate) if self.sample_rate else None
        config = replace(self.config(), audio_format=audio_format)
        return Opening(api=self.api, config=config, label=(self.label or "")[:_MAX_LABEL_CHARS])


async def start_stream(call: Call[StartStream]) -> CallToolResult:
    """Open a live stream for push_segment; for a file use stream_file.

    Returns its stream_id, the limits of segments and the service's first message. The service
    ends a stream that gets no media for max_idle_seconds.
    """
    stream = await call.runtime.start_stream(call.arguments.opening())
    with anyio.move_on_after(READY_SECONDS):
        await stream.opened()
    if stream.failure:
        raise stream.failure
    await stream.log.flushed()
    page = await call.runtime.journal.read(stream.id, 0, limit=10, max_chars=20_000)
    status = status_of(stream) | {"next_cursor": page.entries[-1].cursor if page.entries else 0}
    status |= call.runtime.mirror.told(stream.id) | await call.runtime.notes()
    status["next"] = "push_segment, then poll_events"
    return answer(status, page.entries)


class ConfigureStream(Options):
    stream_id: str


async def configure_stream(call: Call[ConfigureStream]) -> CallToolResult:
    """Replace what a live stream reports; options left out go back to their default.

    Among the messages, session.updated confirms it.
    """
    stream = await call.runtime.registry.require_live(call.arguments.stream_id)
    with anyio.move_on_after(READY_SECONDS):
        await stream.opened()
    leg = stream.leg
    updates = leg.updates if leg else 0
    stream.configure(call.arguments.config())
    confirmed = False
    if leg:
        error = leg.session.last_error
        with anyio.move_on_after(_CONFIRM_SECONDS):
            await stream.until(lambda: leg.updates > updates or leg.session.last_error is not error)
        confirmed = leg.updates > updates
    return answer(in_short(stream) | {"confirmed": confirmed} | _THEN_POLL)


class PushSegment(Arguments):
    stream_id: str
    path: str | None = Field(None, description="Preferred.")
    data_base64: str | None = Field(None, description="Small segments only.")
    seq: int | None = Field(
        None, ge=1, description="Counts from 1; makes a repeated call harmless."
    )

    @model_validator(mode="after")
    def _one_source(self) -> PushSegment:
        if (self.path is None) == (self.data_base64 is None):
            raise ValueError("give exactly one of path and data_base64")
        return self


async def push_segment(call: Call[PushSegment]) -> CallToolResult:
    """Send the next segment of live video into a stream.

    Segments of one recording go in order, unchanged, the first with the container header. Read
    results with poll_events.
    """
    arguments = call.arguments
    stream = await call.runtime.registry.require_live(arguments.stream_id)
    if arguments.seq is not None:
        await _turn(stream, arguments.seq)
    until = anyio.current_time() + PUSH_SECONDS
    async with alone(stream, until):  # before all that takes a while: calls in flight keep order
        if arguments.seq is not None and arguments.seq <= stream.last_seq:
            note = "this seq was taken before; nothing was sent again"
            return answer(in_short(stream) | {"accepted": False, "note": note} | _THEN_POLL)
        data = await _segment_bytes(call.runtime, arguments)
        is_sent = await push(stream, data, seconds=until - anyio.current_time())
        if arguments.seq is not None:
            stream.note_seq(arguments.seq)
    status = in_short(stream) | {"accepted": True, "bytes": len(data)}
    if not is_sent:
        status["note"] = "no media in it yet; it goes out with the next segment"
    return answer(status | _THEN_POLL)


async def _turn(stream: Stream, seq: int) -> None:
    """Wait until `seq` is next: two calls in flight may arrive in either order."""
    with anyio.move_on_after(_ORDER_SECONDS):
        await stream.until(lambda: seq <= stream.last_seq + 1)
    if seq > stream.last_seq + 1:
        raise CallerError(
            f"seq {seq} came, but {stream.last_seq + 1} is next",
            code="seq_gap",
            help=f"Push seq {stream.last_seq + 1} first; this segment was not taken.",
            facts={"stream_id": stream.id, "expected_seq": stream.last_seq + 1},
        )


async def _segment_bytes(runtime: Runtime, arguments: PushSegment) -> bytes:
    if arguments.path is not None:
        return await runtime.read_segment(arguments.path)
    text = arguments.data_base64 or ""
    most = runtime.settings.max_call_bytes * 4 // 3 + 4
    if len(text) > most:
        raise CallerError(
            f"data_base64 has {len(text):_} characters; {most:_} are the most",
            code="call_too_large",
            help="Write the segment to a file and push its path.",
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CallerError(
            "data_base64 is not base64",
            code="bad_base64",
            help="Use the standard alphabet with padding and no line breaks, or push a path.",
        ) from None


class EndStream(Arguments):
    stream_id: str
    wait_s: Wait = 10


async def end_stream(call: Call[EndStream]) -> CallToolResult:
    """End a stream in order: what was sent is still analysed.

    Waits for the service's last word, wait_s at most; read the rest with poll_events. Ending
    twice is harmless.
    """
    registry, stream_id = call.runtime.registry, call.arguments.stream_id
    try:
        stream = registry.live(stream_id)
    except IhMcpError:
        record = await registry.record(stream_id)  # it may be over already
        return answer(
            {
                "stream_id": stream_id,
                **record,
                "ended": True,
                "note": "it was over before",
                "next": "poll_events",
            }
        )
    first = stream.ask_to_end()
    with anyio.move_on_after(call.arguments.wait_s):
        await stream.until(lambda: False)
    status = status_of(stream) | {"ended": stream.is_over, "next": "poll_events"}
    if not first:
        status["note"] = "its end was asked for before"
    return answer(status)
