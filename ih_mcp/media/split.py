"""A file as segments, one in memory at a time.

One ffmpeg writes the file as fragmented MP4 or WebM to a pipe, copying what can be copied; its
fragments and Clusters are packed into segments by the limits. While nobody takes a segment nobody
reads the pipe, and ffmpeg waits. Nothing is written to the disk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
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
from .process import Means, running
from .recipes import Recipe, next_encoder, recipe
from .words import inflated

__all__ = ["Segment", "split"]

_VIDEO = frozenset({"video"})
_FINAL = frozenset({"ffmpeg_stalled", "inflated"})
_MOST_GROWTH, _SPARE_BYTES = 2, 1 << 24  # chosen: an index can name the same bytes many times
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
    limited = bounds(
        limits,
        framing,
        target_seconds=target_seconds,
        duration_seconds=(known.duration_seconds or start_seconds) - start_seconds,
    )
    job = Job(source, ffmpeg, known, framing, limited)
    begin, encode = start_seconds, frozenset[str]()
    while True:
        try:
            async with aclosing(_pass(job, begin, encode)) as segments:
                async for segment in segments:
                    yield segment
        except _UnfitError as unfit:
            begin, encode = unfit.start_seconds, unfit.encode
            job = replace(job, encoder=unfit.encoder or job.encoder)
        else:
            return


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same over the passes through a file."""

    source: Path
    ffmpeg: Ffmpeg
    facts: Facts
    framing: Framing
    bounds: Bounds
    encoder: str = "libx264"

    def recipe(self, encode: frozenset[str]) -> Recipe:
        return recipe(
            self.facts,
            self.framing,
            target_seconds=self.bounds.target_seconds,
            max_bytes=self.bounds.max_bytes,
            encode=encode,
            encoder=self.encoder,
        )

    def means(self, made: Recipe, size: int) -> Means:
        """What a run over a file of `size` bytes may take."""
        allowance, seconds = self.ffmpeg.allowance, self.facts.duration_seconds
        return allowance.to_encode(seconds) if made.encodes else allowance.to_copy(size, seconds)


class _UnfitError(Exception):
    """What was made so far does not serve from `start_seconds` on; encode otherwise from there."""

    def __init__(
        self, start_seconds: float, encode: frozenset[str], encoder: str | None = None
    ) -> None:
        super().__init__(start_seconds)
        self.start_seconds = start_seconds
        self.encode = encode
        self.encoder = encoder


async def _pass(job: Job, begin: float, encode: frozenset[str]) -> AsyncGenerator[Segment, None]:
    """Segments from one run of ffmpeg over the source, from `begin` on."""
    made = job.recipe(encode)
    cutter = Cutter(READERS[made.container](), job.bounds, job.framing, begin_seconds=begin)
    try:
        async with aclosing(_stream(job, made, begin)) as stream:
            async for data in stream:
                for segment in cutter.take(data):
                    yield segment
    except MediaError as failure:
        unfit = _unfit(failure, job, made, cutter, begin)
        if unfit is None or job.framing is Framing.WHOLE:
            for segment in cutter.complete(failure):
                yield segment
        raise unfit or failure from None
    for segment in cutter.finish():
        yield segment
    _refuse_early_end(job.facts, cutter.end_seconds)


async def _stream(job: Job, made: Recipe, begin: float) -> AsyncGenerator[bytes, None]:
    """The container stream ffmpeg writes, to its end.

    Raises:
        MediaError: ffmpeg failed, or writes more than an honest copy can have.
    """
    async with opened(job.source) as source:
        command = commands.segments(
            job.ffmpeg.path,
            source.url,
            made,
            start_seconds=begin,
            max_pixels=job.ffmpeg.allowance.max_pixels,
        )
        left = _MOST_GROWTH * source.size + _SPARE_BYTES if not made.encodes else None
        async with running(
            command, descriptors=source.descriptors, means=job.means(made, source.size)
        ) as child:
            while data := await child.read():
                if left is not None and (left := left - len(data)) < 0:
                    raise inflated(source.size, _MOST_GROWTH)
                yield data
            await child.finish()


def _unfit(
    failure: MediaError, job: Job, made: Recipe, cutter: Cutter, begin: float
) -> _UnfitError | None:
    """Another pass that may succeed where this one failed; None if there is none."""
    is_oversize = isinstance(failure, OversizeError)
    done = frozenset(made.encodes)
    if failure.code == "encoder_missing" and made.encoder:
        other = next_encoder(made.encoder)
        return _UnfitError(begin, done, other) if other else None
    encode = (done | (_VIDEO if is_oversize else job.facts.present)) & job.facts.present
    if encode == done or failure.code in _FINAL:
        return None
    if job.framing is Framing.WHOLE:
        return _UnfitError(begin + cutter.reached_seconds(failure), encode)
    # The codecs of one container stream are told by its header: too late once that is out.
    return None if cutter.is_begun else _UnfitError(begin, encode)


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
