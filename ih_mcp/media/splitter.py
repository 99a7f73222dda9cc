"""A file as segments, one in memory at a time.

One ffmpeg writes the file as fragmented MP4 or WebM to a pipe, copying what can be copied; its
fragments and Clusters are packed into segments by the limits. While nobody takes a segment nobody
reads the pipe, and ffmpeg waits. Nothing is written to the disk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from ih_mcp.errors import MediaError
from ih_mcp.wire.dialects import Framing, Limits

from .clock_jumps import MAX_STILL_SECONDS, ClockJump, PacketClock, max_pause_seconds
from .containers.container import READERS
from .cutter import Cutter, Segment
from .ffmpeg import commands
from .ffmpeg.early_end import refuse_early_end
from .ffmpeg.facts import Facts
from .ffmpeg.ffmpeg_log import inflated
from .ffmpeg.packets import look_through
from .ffmpeg.probe import probe
from .ffmpeg.process import ProcessLimits, running
from .ffmpeg.program import Ffmpeg
from .ffmpeg.recipes import FRAGMENT_BYTES, FRAGMENT_SECONDS, Recipe, next_encoder, recipe
from .file_admission import opened
from .planner import SPARE_SHARE, OversizeError
from .segment_bounds import Bounds, bounds, even_length

__all__ = ["Segment", "split"]

_VIDEO = frozenset({"video"})
_TOO_LITTLE = frozenset({"too_short", "too_small"})
_STAYS_SECONDS = 2.0  # chosen: so long a picture does not hinder a cut
_FINAL = frozenset({"ffmpeg_stalled", "inflated", "too_short", "too_small"})
_MOST_GROWTH, _SPARE_BYTES = 2, 1 << 24  # chosen: an index can name the same bytes many times


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
    async with opened(source) as file:
        size = file.size
    limited = bounds(limits, framing, target_seconds=target_seconds)
    job = SplitJob(source, ffmpeg, known, framing, limited, size)
    run = FfmpegRun(start_seconds)
    if not job.can_be_copied(run):
        run = replace(run, encode=_VIDEO)
    while True:
        try:
            async with aclosing(_pass(job, run)) as segments:
                async for segment in segments:
                    yield segment
        except _UnfitError as unfit:
            run = unfit.run
        else:
            return


@dataclass(frozen=True, slots=True)
class FfmpegRun:
    """One run of ffmpeg over the source that makes segments."""

    start_seconds: float
    """Where it begins, in the time of segments."""
    skipped_seconds: float = 0.0
    """How much of the source's clock was left out before that."""
    sound_seconds: float | None = None
    """Where its sound begins, by the clock of the run: what comes before was given already."""
    encode: frozenset[str] = frozenset()
    encoder: str = "libx264"


@dataclass(frozen=True, slots=True)
class SplitJob:
    """What stays the same over the passes through a file."""

    source: Path
    ffmpeg: Ffmpeg
    facts: Facts
    framing: Framing
    bounds: Bounds
    size: int
    """Of the source, in bytes."""

    def recipe(
        self, run: FfmpegRun, jumps: Sequence[ClockJump] = (), *, repeats: bool = False
    ) -> Recipe:
        return recipe(
            self.facts,
            self.framing,
            target_seconds=self._bounds(run).target_seconds,
            max_bytes=self.bounds.max_bytes,
            encode=run.encode,
            encoder=run.encoder,
            jumps=jumps,
            repeats=repeats,
            sound_seconds=run.sound_seconds,
        )

    @property
    def max_pause_seconds(self) -> float:
        return max_pause_seconds(has_sound=self.facts.audio is not None)

    def cutter(self, made: Recipe, run: FfmpegRun, jumps: Sequence[ClockJump]) -> Cutter:
        can_encode = self.facts.video is not None and "video" not in made.encodes
        has_sound = self.facts.audio is not None
        return Cutter(
            READERS[made.container](),
            replace(
                self._bounds(run, is_copy=not made.encodes),
                needs_picture=self.bounds.needs_key and can_encode,
            ),
            self.framing,
            begin_seconds=run.start_seconds,
            max_pause_seconds=self.max_pause_seconds,
            known_jumps=jumps,
            max_stay_seconds=0.0 if has_sound else MAX_STILL_SECONDS,
            skipped_seconds=run.skipped_seconds,
        )

    def _bounds(self, run: FfmpegRun, *, is_copy: bool = False) -> Bounds:
        """For what is left of the source where the run begins."""
        seconds = self.facts.duration_seconds
        if not seconds:
            return self.bounds
        left = max(0.0, seconds - run.start_seconds)
        return self.bounds.of_stream(left, int(self.size * left / seconds) if is_copy else 0)

    def can_be_copied(self, run: FfmpegRun) -> bool:
        """Whether segments of the picture as it is can be long and small enough, up to the last.

        Where so many bytes come in a second that the shortest segment nearly fills the largest, a
        rest could neither stand alone nor join.
        """
        limited = self._bounds(run, is_copy=True)
        seconds, size = limited.total_seconds, limited.total_bytes
        if not size or not limited.min_seconds or self.facts.video is None:
            return True
        seconds_per_byte = seconds / size
        longest = limited.max_bytes * seconds_per_byte * SPARE_SHARE
        step = 0.0  # as key frames allow, which are not known yet
        if self.framing is Framing.CONTINUED:
            step = min(FRAGMENT_SECONDS, FRAGMENT_BYTES * seconds_per_byte)
        wished = min(limited.target_seconds, longest)
        return (
            even_length(wished, seconds, limited.min_seconds, max(longest, step), step) is not None
        )

    def means(self, made: Recipe, size: int) -> ProcessLimits:
        """What a run over a file of `size` bytes may take."""
        limits, seconds = self.ffmpeg.limits, self.facts.duration_seconds
        return limits.to_encode(seconds) if made.encodes else limits.to_copy(size, seconds)


class _UnfitError(Exception):
    """What was made so far does not serve from some place on; run once more from there."""

    def __init__(self, run: FfmpegRun) -> None:
        super().__init__(run)
        self.run = run


async def _pass(job: SplitJob, run: FfmpegRun) -> AsyncGenerator[Segment, None]:
    """Segments from one run of ffmpeg over the source."""
    made, jumps = job.recipe(run), list[ClockJump]()
    if "video" in made.encodes:
        clock = await _looked_through(job, made, run)
        jumps = clock.jumps
        made = job.recipe(run, jumps, repeats=clock.longest_seconds(0) > _STAYS_SECONDS)
    cutter, said = job.cutter(made, run, jumps), list[str]()
    try:
        async with aclosing(_stream(job, made, run, said)) as stream:
            async for data in stream:
                for segment in cutter.feed(data):
                    yield segment
        for segment in cutter.finish():
            yield segment
    except MediaError as failure:
        unfit = _unfit(failure, job, made, cutter, run)
        if unfit is None or job.framing is Framing.WHOLE:
            for segment in cutter.complete(failure):
                yield segment
        if failure.code in _TOO_LITTLE:  # of a file that was cut off, the rest is missing
            _refuse_early_end(job, cutter, said, is_sent=False)
        raise unfit or failure from None
    _refuse_early_end(job, cutter, said)


def _refuse_early_end(
    job: SplitJob, cutter: Cutter, said: Sequence[str], *, is_sent: bool = True
) -> None:
    declared, log = job.facts.sent_seconds, "".join(said)
    refuse_early_end(job.facts, declared, cutter.end_seconds, log, is_sent=is_sent)


async def _looked_through(job: SplitJob, made: Recipe, run: FfmpegRun) -> PacketClock:
    """What the packets tell that a run is about to encode."""
    async with opened(job.source) as source:
        return await look_through(
            PacketClock(job.max_pause_seconds),
            job.ffmpeg,
            source,
            tracks=made.tracks,
            container=job.facts.container_name,
            means=job.means(made, source.size),
            start_seconds=run.start_seconds + run.skipped_seconds,
        )


async def _stream(
    job: SplitJob, made: Recipe, run: FfmpegRun, said: list[str]
) -> AsyncGenerator[bytes, None]:
    """The container stream ffmpeg writes, to its end; then what it said is added to `said`.

    Raises:
        MediaError: ffmpeg failed, or writes more than an honest copy can have.
    """
    async with opened(job.source) as source:
        command = commands.segments(
            job.ffmpeg.path,
            source.url,
            made,
            container=job.facts.container_name,
            start_seconds=run.start_seconds + run.skipped_seconds,
            max_pixels=job.ffmpeg.limits.max_pixels,
            queues=job.ffmpeg.queues,
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
            said.append(child.log.text())


def _unfit(
    failure: MediaError, job: SplitJob, made: Recipe, cutter: Cutter, run: FfmpegRun
) -> _UnfitError | None:
    """Another pass that may succeed where this one failed; None if there is none."""
    is_oversize = isinstance(failure, OversizeError)
    done = frozenset(made.encodes)
    if failure.code == "encoder_missing" and made.encoder:
        other = next_encoder(made.encoder)
        return _UnfitError(replace(run, encode=done, encoder=other)) if other else None
    encode = (done | (_VIDEO if is_oversize else job.facts.present)) & job.facts.present
    if encode == done or failure.code in _FINAL:
        return None
    again = replace(run, encode=encode)
    if job.framing is Framing.WHOLE:
        start, first, skipped = cutter.reached(failure)
        begins = run.sound_seconds if start == run.start_seconds else first - start
        return _UnfitError(FfmpegRun(start, skipped, begins, encode, run.encoder))
    # The header names the codecs of a container stream: too late once that is out.
    return None if cutter.is_begun else _UnfitError(again)
