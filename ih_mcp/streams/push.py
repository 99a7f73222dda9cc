"""A segment from outside into a stream: checked against what the session declared, then queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ih_mcp.errors import CallerError, MediaError

from .stream import Stream

READY_SECONDS = 20.0
PUSH_SECONDS = 20.0


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


async def push(stream: Stream, data: bytes, *, seconds: float = PUSH_SECONDS) -> bool:
    """Take a segment in; False where it holds no media yet and goes out with the next one.

    Call it when `alone`, so that segments keep their order.

    Args:
        seconds: How long to wait in all, for the connection and for room in the outbox.

    Raises:
        MediaError: The service would refuse it; nothing was sent.
        CallerError: There was no room for it (`outbox_full`, `queue_full`, `reconnecting`), or the
            stream is not open yet (`not_open`); the same segment may be pushed again.
        StreamEndedError: The stream is over or asked to end.
    """
    until = anyio.current_time() + seconds
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
    limits = stream.limits
    if len(data) > limits.max_segment_bytes:
        raise MediaError(
            f"the segment has {len(data):_} bytes; this stream takes "
            f"{limits.max_segment_bytes:_} at most",
            code="segment_too_large",
            help="Cut shorter segments; 1 to 3 s of video each is good. Nothing was sent.",
            facts={"bytes": len(data), "max_bytes": limits.max_segment_bytes},
        )
    if stream.outbox.is_crowded_out(len(data)):
        raise CallerError(
            f"{stream.outbox.queued.bytes:_} bytes of all streams wait to be sent, and no more may",
            code="queue_full",
            retry=True,
            help="Wait, then push the same segment again; or raise IH_MCP_MAX_QUEUED_BYTES.",
            facts={"stream_id": stream.id, "waiting_bytes": stream.outbox.queued.bytes},
        )
    try:
        with anyio.fail_after(until - anyio.current_time()):
            await stream.room(len(data))  # first: what was taken in cannot be taken back
    except TimeoutError:
        if stream.trouble:
            raise CallerError(
                f"there is no connection now; {stream.outbox.segments} segments wait, and this one "
                "was not accepted",
                code="reconnecting",
                retry=True,
                help="Push the same segment again when state is open; or leave it out.",
                facts={"stream_id": stream.id, "reason": stream.trouble.failure.code},
            ) from None
        raise CallerError(
            f"{stream.outbox.bytes:_} bytes wait to be sent; there was no room for this segment",
            code="outbox_full",
            retry=True,
            help="The connection is slower than the video. Wait, then push the same segment again.",
            facts={"stream_id": stream.id, "waiting_bytes": stream.outbox.bytes},
        ) from None
    segment = stream.intake.take(data)
    if segment is not None:
        await stream.put(segment)
    return segment is not None
