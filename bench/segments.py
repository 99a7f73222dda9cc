"""Cuts a file as a stream of a version does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.splitter import Segment, split
from ih_mcp.wire.dialects import Dialect


def segments_of(
    source: Path, dialect: Dialect, ffmpeg: Ffmpeg, *, facts: Facts | None = None
) -> AbstractAsyncContextManager[AsyncGenerator[Segment, None]]:
    """The segments of a file; when the block ends, ffmpeg is gone."""
    return aclosing(
        split(
            source,
            ffmpeg=ffmpeg,
            limits=dialect.limits,
            framing=dialect.framing,
            target_seconds=dialect.target_segment_seconds,
            facts=facts,
        )
    )
