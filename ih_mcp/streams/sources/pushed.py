"""The segments that a caller pushes: accepted whole and in order, or refused without a trace.

A recorder hands over chunks of one container stream, cut anywhere. Where segments continue each
other they are sent as they came; where each must decode alone, the header is put before them. What
the service would refuse is refused here. A number tells a repeated segment from a new one.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from ih_mcp.errors import CallerError, MediaError
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.outbox import QueuedSegment, RandomAccessPoint
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import Framing, Limits

if TYPE_CHECKING:  # the readers of containers load with the first segment
    from ih_mcp.media.recorder_chunks import Chunk

READY_SECONDS = 20.0
PUSH_SECONDS = 20.0
NEEDED_BYTES = "needed_bytes"
"""The fact of `outbox_full` and `queue_full` that tells how much room the segment needs, with the
header that is put before it."""
_REMEMBERED = 1024  # chosen: some 100 bytes each; a quarter of an hour of 1 s segments
_SAMPLE_BYTES = 2  # s16le, mono
_SMALL_BYTES = 1 << 20  # hashed in a millisecond


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of a segment that a caller pushed."""

    segment: QueuedSegment | None = None
    """What is sent for it; None where it holds no media yet and is sent with the next one."""
    is_repeat: bool = False
    """Whether it was accepted before, so that nothing was added."""
    is_like_last: bool = False
    """Whether the segment before had the same bytes under another number."""
    left_out_bytes: int = 0
    """The size of a header that is left out because another header followed it."""


class PushedSource:
    """The source of a stream into which callers push. Use `pushed_source`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        sound = stream.plan.config.audio_format or {}
        hertz = sound.get("sample_rate")
        raw_hertz = hertz if isinstance(hertz, int) else None
        self._intake = SegmentIntake(stream.dialect.framing, raw_hertz=raw_hertz)
        self._pushing = anyio.Lock()
        self._pushes = PushRecord()
        """The segments that have a number: those of push_segment, not those of the page."""

    @property
    def can_begin(self) -> bool:
        return self._intake.can_begin

    @property
    def next_seq(self) -> int:
        return self._pushes.next_seq

    @property
    def pushed_bytes(self) -> int:
        """The size of all segments that have a number."""
        return self._pushes.bytes

    def finish(self) -> QueuedSegment | None:
        return self._intake.finish()

    @asynccontextmanager
    async def turn(self, until: float) -> AsyncIterator[None]:
        """Keep all others from pushing meanwhile, so that segments keep their order.

        Args:
            until: How long to wait for the others; monotonic.

        Raises:
            CallerError: The others took all that time (`outbox_full`).
        """
        with anyio.CancelScope(deadline=until) as waiting:
            await self._pushing.acquire()
        if waiting.cancelled_caught:
            raise CallerError(
                "another segment still waits to be taken; there was no turn for this one",
                code="outbox_full",
                retry=True,
                help="The connection is slower than the video. Wait, then push the same segment "
                "again.",
                facts={"stream_id": self._stream.id, "waiting_bytes": self._stream.waiting_bytes},
            )
        try:
            yield
        finally:
            self._pushing.release()

    async def await_number(self, seq: int, seconds: float) -> None:
        """Wait until a segment of this number may follow: calls in flight may change places.

        Raises:
            CallerError: A segment before it is still missing (`seq_gap`).
        """
        with anyio.move_on_after(seconds):
            await self._stream.until(lambda: seq <= self._pushes.next_seq)
        self._pushes.require_no_gap(seq)

    async def push_numbered(self, data: bytes, seq: int | None, *, until: float) -> PushResult:
        """Accept a segment under its number, or under the next one; a repeat changes nothing.

        Raises:
            CallerError: Other bytes have that number (`seq_taken`); else as `push`.
        """
        digest = await digest_of(data)
        if seq is not None and self._pushes.is_repeat(seq, digest):
            return PushResult(is_repeat=True)
        is_like_last = self._pushes.is_like_last(digest)
        left_out_bytes = self._intake.left_out_bytes
        left_seconds = until - anyio.current_time()
        segment = await self.push(data, seconds=left_seconds, feeder=Feeder.PUSH)
        self._pushes.keep(digest, len(data))
        self._stream.changed.notify()
        left_out_bytes = self._intake.left_out_bytes - left_out_bytes
        return PushResult(segment, is_like_last=is_like_last, left_out_bytes=left_out_bytes)

    async def push(
        self, data: bytes, *, seconds: float = PUSH_SECONDS, feeder: Feeder | None = None
    ) -> QueuedSegment | None:
        """Accept a segment, all of it or nothing; `turn` keeps segments in order.

        Gives what is sent for it; None where it holds no media yet and is sent with the next one.

        Args:
            seconds: How long to wait in all, for the connection and for room in the outbox.
            feeder: Who pushes; None claims nothing.

        Raises:
            MediaError: The service would refuse it.
            CallerError: There was no room for it (`outbox_full`, `queue_full`, `reconnecting`), or
                the stream is not open yet (`not_open`); the same segment may be pushed again. Or
                somebody else gives the stream its media (`fed_elsewhere`).
            StreamEndedError: The stream is over or was asked to end.
        """
        stream, until = self._stream, anyio.current_time() + seconds
        await self._wait_until_open(until)
        stream.require_live()
        limits = stream.limits
        _require_small(len(data), limits)
        intake = self._intake.copy()
        segment = intake.prepare(data)
        if segment:
            _require_small(len(segment.data), limits)  # with the header before it, it is larger
            _require_large(len(segment.data), limits)
            await self._wait_for_room(len(segment.data), until)
        if feeder:
            stream.claim(feeder)
        self._intake = intake
        if segment:
            stream.add(segment)
        return segment

    async def _wait_until_open(self, until: float) -> None:
        stream = self._stream
        if stream.was_open:
            return
        with anyio.CancelScope(deadline=until):
            await stream.wait_until_open()
        if not stream.was_open:
            raise stream.failure or CallerError(
                f"stream {stream.id} is not open yet",
                code="not_open",
                retry=True,
                help="Call again in a moment; the segment was not taken.",
            )

    async def _wait_for_room(self, size: int, until: float) -> None:
        """Wait until the outbox has room for so many bytes."""
        outbox = self._stream.outbox
        if outbox.is_full_of_others(size):
            queued_bytes = outbox.queued.bytes
            raise CallerError(
                f"{queued_bytes:_} bytes of all streams wait to be sent, and no more may",
                code="queue_full",
                retry=True,
                help="Wait, then push the same segment again; or raise IH_MCP_MAX_QUEUED_BYTES.",
                facts=self._room_facts(queued_bytes, size),
            )
        try:
            with anyio.fail_after(until - anyio.current_time()):
                await self._stream.wait_for_room(size)
        except TimeoutError:
            raise self._no_room(size) from None

    def _no_room(self, size: int) -> CallerError:
        stream = self._stream
        if stream.pending_reconnect:
            return CallerError(
                f"there is no connection now; {stream.waiting_segments} segments wait, and this "
                "one was not accepted",
                code="reconnecting",
                retry=True,
                help="Push the same segment again when state is open; or leave it out.",
                facts={"stream_id": stream.id, "reason": stream.pending_reconnect.failure.code},
            )
        return CallerError(
            f"{stream.waiting_bytes:_} bytes wait to be sent; there was no room for this segment",
            code="outbox_full",
            retry=True,
            help="The connection is slower than the video. Wait, then push the same segment again.",
            facts=self._room_facts(stream.waiting_bytes, size),
        )

    def _room_facts(self, waiting_bytes: int, size: int) -> dict[str, object]:
        return {
            "stream_id": self._stream.id,
            "waiting_bytes": waiting_bytes,
            NEEDED_BYTES: size,
        }


def _require_small(size: int, limits: Limits) -> None:
    most = limits.max_segment_bytes
    if size > most:
        raise MediaError(
            f"the segment has {size:_} bytes; this stream takes {most:_} at most",
            code="segment_too_large",
            help="Cut shorter segments; 1 to 3 s of video each is good. Nothing was sent.",
            facts={"bytes": size, "max_bytes": most},
        )


def _require_large(size: int, limits: Limits) -> None:
    least = limits.min_segment_bytes
    if size < least:
        raise MediaError(
            f"the segment has {size:_} bytes; this stream takes {least:_} at least",
            code="segment_too_small",
            help="Push more media at once. Nothing was sent.",
            facts={"bytes": size, "min_bytes": least},
        )


def pushed_source(stream: Stream) -> PushedSource:
    """The source of what callers push into a stream; every caller gets the same one."""
    if not isinstance(stream.source, PushedSource):
        stream.source = PushedSource(stream)
    return stream.source


# --- what is remembered of the segments ----------------------------------------------------------


class SegmentIntake:
    """Looks at the segments pushed into one stream, and makes of them what is sent."""

    def __init__(self, framing: Framing, *, raw_hertz: int | None = None) -> None:
        """Begin.

        Args:
            raw_hertz: Set where samples without a container follow, so many a second; any cut is
                right then.
        """
        from ih_mcp.media.recorder_chunks import Recording  # noqa: PLC0415 - see the imports

        self._framing = framing
        self._raw_hertz = raw_hertz
        self._raw_bytes = 0
        self._recording = Recording()

    def copy(self) -> SegmentIntake:
        """Another one that goes on from here; what it prepares, this one has not seen.

        So a segment is looked at by a copy, which takes the place of the original once the
        segment is in the stream: of one that is refused, nothing is left.
        """
        twin: SegmentIntake = copy(self)
        twin._recording = self._recording.copy()
        return twin

    @property
    def left_out_bytes(self) -> int:
        """Of headers that were taken and never sent, since another header followed."""
        return self._recording.left_out_bytes

    @property
    def can_begin(self) -> bool:
        """Whether another session could go on with what is pushed next."""
        is_alone = self._raw_hertz is not None or self._framing is Framing.WHOLE
        return is_alone or self._recording.header is not None

    def prepare(self, data: bytes) -> QueuedSegment | None:
        """The segment to send; None while there is nothing to send yet: header alone, or empty.

        Raises:
            MediaError: It would be refused: it begins without a header, or cannot be made to
                decode alone.
        """
        if self._raw_hertz is not None:
            return self._samples(data, self._raw_hertz) if data else None
        chunk = self._recording.feed(data)
        if chunk is None:
            return None
        if self._framing is Framing.WHOLE:
            whole = self._recording.whole(chunk)
            start, end = chunk.start_seconds, chunk.end_seconds
            return QueuedSegment(
                whole, start, end, RandomAccessPoint(), counts_from_zero=True, jump=chunk.jump
            )
        return self._continued(chunk)

    def _samples(self, data: bytes, hertz: int) -> QueuedSegment:
        start = self._raw_bytes / (_SAMPLE_BYTES * hertz)
        self._raw_bytes += len(data)
        end = self._raw_bytes / (_SAMPLE_BYTES * hertz)
        return QueuedSegment(data, start, end, RandomAccessPoint(), counts_from_zero=True)

    def finish(self) -> QueuedSegment | None:
        """Give what waited for more media, where it can be used."""
        try:
            chunk = None if self._raw_hertz is not None else self._recording.finish()
        except MediaError:
            return None  # too little to tell what it was
        return self._continued(chunk) if chunk else None

    def _continued(self, chunk: Chunk) -> QueuedSegment:
        entry = None
        header = self._recording.header
        if chunk.headed:
            entry = RandomAccessPoint(seconds=chunk.start_seconds)
        elif chunk.key_offset is not None and header is not None:
            entry = RandomAccessPoint(header, chunk.key_offset, chunk.key_seconds)
        return QueuedSegment(
            chunk.data, chunk.start_seconds, chunk.end_seconds, entry, jump=chunk.jump
        )


class PushRecord:
    """The numbers of the accepted segments; each has the next number, whether given or not."""

    def __init__(self) -> None:
        self.next_seq = 1
        self.bytes = 0
        """The size of all of them."""
        self._digests: deque[bytes] = deque(maxlen=_REMEMBERED)
        """Of the newest ones."""

    def require_no_gap(self, seq: int) -> None:
        """Check that no segment before this number is missing.

        Raises:
            CallerError: One is missing (`seq_gap`).
        """
        if seq > self.next_seq:
            raise CallerError(
                f"seq {seq} came, but {self.next_seq} is next",
                code="seq_gap",
                help=f"Push seq {self.next_seq} first, then this one again; it was not kept.",
                facts={"expected_seq": self.next_seq},
            )

    def is_repeat(self, seq: int, digest: bytes) -> bool:
        """Whether this segment was accepted under this number; False where the number is next.

        Raises:
            CallerError: The number was taken by other bytes (`seq_taken`).
        """
        if seq == self.next_seq:
            return False
        place = len(self._digests) - (self.next_seq - seq)
        if place >= 0 and self._digests[place] == digest:
            return True
        why = "with other bytes" if place >= 0 else "so long ago that it cannot be compared"
        raise CallerError(
            f"seq {seq} was pushed before, {why}; {self.next_seq} is next",
            code="seq_taken",
            help=f"If this is a new segment, push it as seq {self.next_seq}; it was not kept.",
        )

    def is_like_last(self, digest: bytes) -> bool:
        """Whether the segment before has the same bytes."""
        return bool(self._digests) and self._digests[-1] == digest

    def keep(self, digest: bytes, size: int) -> None:
        """Note the next segment, which is in the stream now."""
        self._digests.append(digest)
        self.next_seq += 1
        self.bytes += size


async def digest_of(data: bytes) -> bytes:
    """The digest of a segment; a large one is hashed in a thread."""
    if len(data) <= _SMALL_BYTES:
        return _digest(data)
    return await to_thread.run_sync(_digest, data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
