"""A file as segments, one in memory at a time.

One ffmpeg writes the file as fragmented MP4 or WebM to a pipe, copying what can be copied; its
fragments and Clusters are packed into segments by the limits. While nobody takes a segment nobody
reads the pipe, and ffmpeg waits. Nothing is written to the disk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from ih_mcp.errors import MediaError
from ih_mcp.wire.dialects import Framing, Limits

from . import commands
from .admit import opened
from .container import READERS
from .cutter import Cutter, Segment
from .facts import Facts
from .ffmpeg import Ffmpeg
from .plan import Bounds, OversizeError, bounds
from .probe import probe
from .process import running
from .recipes import recipe

__all__ = ["Segment", "split"]

_VIDEO = frozenset({"video"})
_BOTH = frozenset({"video", "audio"})
_DECLARING = frozenset({"mov", "matroska", "avi", "asf", "flv"})  # the others estimate
_EARLY_SECONDS, _EARLY_SHARE = 1.0, 0.02  # chosen: tracks of a sound file differ by less


async def split(
    source: Path,
    *,
    ffmpeg: Ffmpeg,
    limits: Limits,
    framing: Framing,
    target_seconds: float,
    start_seconds: float = 0.0,
    facts: Facts | None = None,
) -> AsyncGenerator[Segment, None]:
    """Cut `source` into segments, in order.

    Use it under `contextlib.aclosing`: when the block ends, ffmpeg is gone.

    Continued: the first segment carries the header, later ones continue it; joined, they are one
    playable file. Whole: each decodes alone and starts near 0. A track that cannot be copied, or
    that cannot be cut as the limits ask, is encoded to H.264 or AAC.

    Args:
        source: As `admit` gave it.
        ffmpeg: The binary.
        limits: What the API session takes.
        framing: What the segments are to each other.
        target_seconds: How long segments aim to be.
        start_seconds: Where to begin in the source; a copied track begins at the key frame
            before.
        facts: Of the source, if they are known already.

    Yields:
        Segments within the limits. A short remainder joins its neighbour.

    Raises:
        MediaError: It cannot be read or cut. What was given before is complete; whether anything
            was, the caller knows.
        PathError: It is not the admitted file any more.
    """
    known = facts or await probe(ffmpeg, source)
    limited = bounds(limits, framing, target_seconds=target_seconds)
    job = Job(source, ffmpeg, known, framing, limited)
    begin, encode = start_seconds, frozenset[str]()
    while True:
        try:
            async with aclosing(_pass(job, begin, encode)) as segments:
                async for segment in segments:
                    yield segment
        except _UnfitError as unfit:
            begin, encode = unfit.start_seconds, encode | unfit.encode
        else:
            return


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same over all passes through a file."""

    source: Path
    ffmpeg: Ffmpeg
    facts: Facts
    framing: Framing
    bounds: Bounds

    def may_encode(self, encode: frozenset[str], *, is_begun: bool) -> bool:
        """Whether another pass can help: not once the header of a continued stream is out."""
        return encode != _BOTH and not (is_begun and self.framing is Framing.CONTINUED)


class _UnfitError(Exception):
    """A copy does not serve from `start_seconds` on; these tracks have to be encoded."""

    def __init__(self, start_seconds: float, encode: frozenset[str]) -> None:
        super().__init__(start_seconds)
        self.start_seconds = start_seconds
        self.encode = encode


async def _pass(job: Job, begin: float, encode: frozenset[str]) -> AsyncGenerator[Segment, None]:
    """One run of ffmpeg over the source, from `begin` on."""
    made = recipe(
        job.facts,
        job.framing,
        target_seconds=job.bounds.target_seconds,
        max_bytes=job.bounds.max_bytes,
        encode=encode,
    )
    cutter = Cutter(READERS[made.container](), job.bounds, job.framing, begin_seconds=begin)
    with opened(job.source) as source:
        command = commands.segments(job.ffmpeg.path, source.url, made, start_seconds=begin)
        async with running(command, descriptors=source.descriptors) as child:
            try:
                while data := await child.read():
                    for segment in cutter.take(data):
                        yield segment
                await child.finish()
            except MediaError as failure:
                oversize = failure if isinstance(failure, OversizeError) else None
                reached = oversize.start_seconds if oversize else cutter.open_seconds
                if not job.may_encode(encode, is_begun=cutter.is_begun):
                    for segment in cutter.complete(reached):
                        yield segment
                    raise
                if job.framing is Framing.CONTINUED:
                    raise _UnfitError(begin, encode | _BOTH) from failure
                for segment in cutter.complete(reached):
                    yield segment
                raise _UnfitError(
                    begin + reached, encode | (_VIDEO if oversize else _BOTH)
                ) from failure
    for segment in cutter.finish():
        yield segment
    _refuse_early_end(job.facts, cutter.end_seconds)


def _refuse_early_end(facts: Facts, end_seconds: float) -> None:
    """A file that was cut off reads without an error; only its declared length tells."""
    declared = facts.duration_seconds
    if declared is None or facts.is_estimated or facts.container_name not in _DECLARING:
        return
    if end_seconds < declared - max(_EARLY_SECONDS, _EARLY_SHARE * declared):
        raise MediaError(
            f"the file ends at {end_seconds:.1f} of {declared:.1f} s; all up to there was sent",
            help="It is incomplete, as after an interrupted download; get the whole file.",
            code="ends_early",
            facts={"end_seconds": end_seconds, "declared_seconds": declared},
        )
