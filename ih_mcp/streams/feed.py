"""A file into a stream, at the right pace."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio

from ih_mcp.errors import IhMcpError, StreamEndedError
from ih_mcp.media.ffmpeg import Ffmpeg
from ih_mcp.media.split import Segment, split

from .outbox import Outgoing
from .pace import Pace, PaceName
from .stream import Stream


async def feed(stream: Stream, source: Path, *, ffmpeg: Ffmpeg, pace: PaceName) -> None:
    """Cut `source` by the limits the session declared, send it, then end the stream in order.

    A failure is noted in the stream, not raised; what was cut before it is sent and drained.
    """
    stream.is_fed = True
    try:
        await stream.opened()
        if stream.is_over:
            return
        clock = Pace(pace, now=anyio.current_time())
        async with aclosing(_segments(stream, source, ffmpeg)) as segments:
            async for segment in segments:
                await _wait_until(clock.send_at(segment.end_seconds), stream)
                await stream.put(Outgoing(segment.data, segment.start_seconds, segment.end_seconds))
    except StreamEndedError:
        return  # it ended or was ended meanwhile: that is told in its own status
    except IhMcpError as exc:
        stream.fail(exc)
    finally:
        stream.is_fed = False
        stream.ask_to_end()


def _segments(stream: Stream, source: Path, ffmpeg: Ffmpeg) -> AsyncGenerator[Segment]:
    leg = stream.leg
    assert leg is not None  # an open stream has one
    return split(
        source,
        ffmpeg=ffmpeg,
        limits=leg.session.limits,
        framing=stream.dialect.framing,
        target_seconds=stream.dialect.target_segment_seconds,
    )


async def _wait_until(at: float, stream: Stream) -> None:
    """Wait for a moment of the monotonic clock, or the end of the stream."""
    with anyio.CancelScope(deadline=at):
        await stream.until(lambda: anyio.current_time() >= at)
