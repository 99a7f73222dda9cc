"""A segment from outside into a stream: checked against what the session declared, then queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ih_mcp.errors import CallerError, MediaError
from ih_mcp.streams.outbox import Outgoing
from ih_mcp.streams.stream import Feeder, Stream

READY_SECONDS = 20.0
PUSH_SECONDS = 20.0
NEEDED_BYTES = "needed_bytes"
"""The fact of `outbox_full` and `queue_full` that tells how much room the segment needs, with the
header that is put before it."""


@asynccontextmanager
async def alone(stream: Stream, until: float) -> AsyncIterator[None]:
    """While nobody else pushes into the stream.

    Args:
        until: How long to wait for that; monotonic.

    Raises:
        CallerError: Others took all that time (`outbox_full`).
    """
    with anyio.CancelScope(deadline=until) as waiting:
        await stream.pushing.acquire()
    if waiting.cancelled_caught:
        raise CallerError(
            "another segment still waits to be taken; there was no turn for this one",
            code="outbox_full",
            retry=True,
            help="The connection is slower than the video. Wait, then push the same segment again.",
            facts={"stream_id": stream.id, "waiting_bytes": stream.outbox.bytes},
        )
    try:
        yield
    finally:
        stream.pushing.release()


async def push(
    stream: Stream, data: bytes, *, seconds: float = PUSH_SECONDS, feeder: Feeder | None = None
) -> Outgoing | None:
    """Take a segment in, all of it or nothing.

    Gives what goes out for it; None where it holds no media yet and goes out with the next one.
    Call it when `alone`, so that segments keep their order.

    Args:
        seconds: How long to wait in all, for the connection and for room in the outbox.
        feeder: Who pushes; None claims nothing.

    Raises:
        MediaError: The service would refuse it.
        CallerError: There was no room for it (`outbox_full`, `queue_full`, `reconnecting`), or the
            stream is not open yet (`not_open`); the same segment may be pushed again.
        StreamEndedError: The stream is over or asked to end.
    """
    until = anyio.current_time() + seconds
    await _opened(stream, until)
    stream.require_live()
    _require_small(stream, len(data))
    intake = stream.intake.copy()
    segment = intake.take(data)
    if segment:
        _require_small(stream, len(segment.data))  # with the header before it, it is larger
        _require_large(stream, len(segment.data))
        await _room(stream, len(segment.data), until)
    stream.keep(segment, intake, feeder)
    return segment


async def _opened(stream: Stream, until: float) -> None:
    if not stream.was_open:
        with anyio.CancelScope(deadline=until):
            await stream.opened()
    if not stream.was_open:
        raise stream.failure or CallerError(
            f"stream {stream.id} is not open yet",
            code="not_open",
            retry=True,
            help="Call again in a moment; the segment was not taken.",
        )


def _require_small(stream: Stream, size: int) -> None:
    limits = stream.limits
    if size > limits.max_segment_bytes:
        raise MediaError(
            f"the segment has {size:_} bytes; this stream takes {limits.max_segment_bytes:_} at "
            "most",
            code="segment_too_large",
            help="Cut shorter segments; 1 to 3 s of video each is good. Nothing was sent.",
            facts={"bytes": size, "max_bytes": limits.max_segment_bytes},
        )


def _require_large(stream: Stream, size: int) -> None:
    least = stream.limits.min_segment_bytes
    if size < least:
        raise MediaError(
            f"the segment has {size:_} bytes; this stream takes {least:_} at least",
            code="segment_too_small",
            help="Push more media at once. Nothing was sent.",
            facts={"bytes": size, "min_bytes": least},
        )


async def _room(stream: Stream, size: int, until: float) -> None:
    """Wait until the outbox has room for so many bytes."""
    if stream.outbox.is_crowded_out(size):
        raise CallerError(
            f"{stream.outbox.queued.bytes:_} bytes of all streams wait to be sent, and no more may",
            code="queue_full",
            retry=True,
            help="Wait, then push the same segment again; or raise IH_MCP_MAX_QUEUED_BYTES.",
            facts=_facts(stream, stream.outbox.queued.bytes, size),
        )
    try:
        with anyio.fail_after(until - anyio.current_time()):
            await stream.room(size)
    except TimeoutError:
        raise _no_room(stream, size) from None


def _no_room(stream: Stream, size: int) -> CallerError:
    if stream.trouble:
        return CallerError(
            f"there is no connection now; {stream.outbox.segments} segments wait, and this one "
            "was not accepted",
            code="reconnecting",
            retry=True,
            help="Push the same segment again when state is open; or leave it out.",
            facts={"stream_id": stream.id, "reason": stream.trouble.failure.code},
        )
    return CallerError(
        f"{stream.outbox.bytes:_} bytes wait to be sent; there was no room for this segment",
        code="outbox_full",
        retry=True,
        help="The connection is slower than the video. Wait, then push the same segment again.",
        facts=_facts(stream, stream.outbox.bytes, size),
    )


def _facts(stream: Stream, waiting_bytes: int, size: int) -> dict[str, object]:
    return {"stream_id": stream.id, "waiting_bytes": waiting_bytes, NEEDED_BYTES: size}
