"""The tool that sends segments into a live stream: each is kept whole, or not at all."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import anyio
from mcp_types import CallToolResult
from pydantic import Field

from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import CallerError, IhMcpError, MediaError
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.sources.pushed import PUSH_SECONDS, PushedSource, PushResult, pushed_source
from ih_mcp.streams.status_report import FALLING_BEHIND
from ih_mcp.streams.stream import Stream

from .answers import answer
from .arguments import Arguments
from .status import add_notes, count_segments, short_status
from .tool import ToolCall

ReadSegment = Callable[[], Awaitable[tuple[bytes, tuple[str, ...]]]]
_NOT_IN_EACH_PUSH = ("segments", "stand_in")
"""Said by the start, by polls and by the end: a caller pushes thousands of times, and the counts
of a push hold no reading of a person."""
_ORDER_SECONDS = 3.0
_DUPLICATE = "this very segment was kept before; it is in the stream once, and nothing is missing"
_HEADER_ALONE = "no media in it yet; it goes out with the next segment"
_LIKE_LAST = (
    "these are the same bytes as of the segment before; they were sent again, for only the same "
    "seq tells a repeat"
)
_LEFT_OUT = "{} bytes of a header that no media followed are left out; a new recording begins"
_JUMPED = "media time goes from {:.3f} s to {:.3f} s: {}"
_BEGINS_BEFORE = "this segment goes on at {:.3f} s, and within it "
_MISSING = "segments may be missing in between"
_BACK_WITHIN = "its own times go back there"
_BACK = "this is earlier than what was pushed before"
_EMPTY_HELP = (
    "Leave it out: the last chunk of a recorder is often empty. If the recording is over, call "
    "end_stream; else push the next chunk as seq {}."
)


class PushSegment(Arguments):
    # IH_MCP_MAX_CALL_BYTES bounds it
    text_bounds: ClassVar[Mapping[str, int]] = {"data_base64": sys.maxsize}
    may_name_segment: ClassVar[bool] = True

    stream_id: str
    path: str | None = Field(None, description="In an allowed folder.")
    data_base64: str | None = Field(None, description="Instead of path.")
    seq: int | None = Field(
        None, ge=1, description="next_seq; if no answer came, repeat it: harmless."
    )


async def push_segment(call: ToolCall[PushSegment]) -> CallToolResult:
    """Send the next segment of live video into a stream.

    Push one recording in order, unchanged, container header first. An error keeps nothing: go on
    with its next_seq.
    """
    arguments = call.arguments

    async def read_segment() -> tuple[bytes, tuple[str, ...]]:
        return await _decode_or_read(call.runtime, arguments)

    return await push(call.runtime, arguments.stream_id, arguments.seq, read_segment)


async def push(
    runtime: Runtime, stream_id: str, seq: int | None, read_segment: ReadSegment
) -> CallToolResult:
    """Push what `read_segment` gives, and say what was kept.

    Args:
        read_segment: Gives the bytes of the segment, and notes about where they came from.
    """
    with _errors_say_what_is_kept(stream_id):
        stream = await runtime.registry.require_live(stream_id)
    with _errors_say_what_is_kept(stream.id, stream):
        stream.require_feeder(Feeder.PUSH)
        source, until = pushed_source(stream), anyio.current_time() + PUSH_SECONDS
        if seq is not None:
            await source.await_number(seq, _ORDER_SECONDS)
        async with source.turn(until):  # before all that takes a while: calls keep their order
            data, notes = await _read_in_time(source, read_segment, until)
            status = _pushed_status(await source.push_numbered(data, seq, until=until))
    next_seq = source.next_seq
    facts = {"kept": True, "accepted": True, "next_seq": next_seq, "bytes": len(data)}
    then = f"push_segment(seq={next_seq}) or end_stream; poll_events for results"
    report = short_status(stream) | facts | status | count_segments(stream)
    if "duplicate" in status and report.get("what_now") == FALLING_BEHIND:
        report.pop("what_now")  # nothing was sent for this call
    for name in _NOT_IN_EACH_PUSH:
        report.pop(name, None)
    return answer(add_notes(report, notes) | {"next": then})


def _require_one_source(arguments: PushSegment) -> None:
    if (arguments.path is None) == (arguments.data_base64 is None):
        raise CallerError(
            "push_segment needs exactly one of path and data_base64",
            help="Give the path of the segment, or its bytes as base64.",
        )


@contextmanager
def _errors_say_what_is_kept(stream_id: str, stream: Stream | None = None) -> Iterator[None]:
    """Add to each error that nothing was kept, and which segment is next."""
    try:
        yield
    except IhMcpError as exc:
        next_seq = stream.next_seq if stream and not stream.is_over else None
        raise exc.with_facts(stream_id=stream_id, next_seq=next_seq, kept=False) from exc


def _pushed_status(pushed: PushResult) -> dict[str, object]:
    """What is reported of a segment that is in the stream."""
    if pushed.is_repeat:
        return {"duplicate": True, "notes": [_DUPLICATE]}
    notes = [] if pushed.segment else [_HEADER_ALONE]
    if pushed.left_out_bytes:
        notes.append(_LEFT_OUT.format(pushed.left_out_bytes))
    if pushed.is_like_last:
        notes.append(_LIKE_LAST)
    status: dict[str, object] = {}
    if jump := pushed.segment.jump if pushed.segment else None:
        start, end = jump.from_seconds, jump.to_seconds
        begins = pushed.segment.start_seconds if pushed.segment else None
        is_within = begins is not None and begins < start
        within = _BEGINS_BEFORE.format(begins) if is_within else ""
        back = _BACK_WITHIN if is_within else _BACK
        notes.append(within + _JUMPED.format(start, end, _MISSING if end > start else back))
        status = {"jump": {"from_s": round(start, 3), "to_s": round(end, 3)}}
    return add_notes(status, notes)


async def _read_in_time(
    source: PushedSource, read_segment: ReadSegment, until: float
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of the segment, and notes about the file they came from."""
    try:
        with anyio.fail_after(until - anyio.current_time()):
            data, notes = await read_segment()
    except TimeoutError:
        raise CallerError(
            "there was no time left to read the segment",
            code="outbox_full",
            retry=True,
            help="Push the same segment again.",
        ) from None
    except IhMcpError as exc:
        if exc.code != "empty_file":
            raise
        data, notes = b"", ()
    if not data:
        raise MediaError(
            "the segment is empty",
            code="empty_file",
            help=_EMPTY_HELP.format(source.next_seq),
        )
    return data, notes


async def _decode_or_read(
    runtime: Runtime, arguments: PushSegment
) -> tuple[bytes, tuple[str, ...]]:
    _require_one_source(arguments)
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
        return base64.b64decode(text, validate=True), ()
    except (binascii.Error, ValueError):
        raise CallerError(
            "data_base64 is not base64",
            code="bad_base64",
            help="Use the standard alphabet with padding and no line breaks, or push a path.",
        ) from None
