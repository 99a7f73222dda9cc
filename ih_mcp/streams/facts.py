"""Everything that is known of one stream while it runs.

The runner and the sources of the stream write it; its status and its callers read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from ih_mcp.errors import IhMcpError
from ih_mcp.journal import StreamLog
from ih_mcp.net.retry import RetryAttempt
from ih_mcp.notifier import Notifier
from ih_mcp.stand_in import LOCAL
from ih_mcp.wire.dialects import Dialect, Limits
from ih_mcp.wire.messages import Close
from ih_mcp.wire.minutes import MediaUse, sum_use

from .config import StreamConfig
from .leg import Leg, LegEnd
from .outbox import Outbox, QueuedSegment
from .pacing import HeldSegment
from .receipts import SegmentReceipt

if TYPE_CHECKING:  # the readers of containers load with the first media
    from ih_mcp.media.clock_jumps import ClockJump
    from ih_mcp.media.containers.container_types import TimeJump


class StreamState(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    """The connection was lost; another session is opened soon."""
    WAITING = "waiting"
    """The service asked us to wait, or it ended an idle session."""
    SENDING = "sending"
    DRAINING = "draining"
    """The end was requested; trailing results still come."""
    ENDED = "ended"
    FAILED = "failed"


class Feeder(StrEnum):
    """Who gives a stream its media; there is only one, so that two videos never mix."""

    FILE = "file"
    """A file or a device of this machine."""
    PUSH = "push"
    """A caller of `push_segment`."""
    PAGE = "page"
    """The capture page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingReconnect:
    """Why the stream is disconnected and when it retries."""

    failure: IhMcpError
    attempt: RetryAttempt
    until: float
    """When the next try begins; monotonic."""


class Source(Protocol):
    """What gives a stream its media, as far as the stream has to ask it."""

    @property
    def can_begin(self) -> bool:
        """Whether another session could begin with the media that comes next."""

    @property
    def next_seq(self) -> int:
        """Which number the next pushed segment has."""

    def finish(self) -> QueuedSegment | None:
        """Give what waited for more media, now that none comes; None where nothing did."""


class LiveRecording(Protocol):
    """A live recording that gives a stream its media."""

    def request(self) -> bool:
        """End it in order, so that it gives its rest; gives False where that was asked before."""


class StreamFacts:
    """What is known of a stream; `changed` is notified whenever any of it changes."""

    def __init__(
        self, stream_id: str, plan: StreamConfig, *, log: StreamLog, outbox: Outbox
    ) -> None:
        self.id = stream_id
        self.plan = plan
        self.log = log
        self.outbox = outbox
        self.legs: list[Leg] = []
        self.failure: IhMcpError | None = None
        """Why the stream failed; set before the state says so."""
        self.limit_reached: IhMcpError | None = None
        """Which limit of minutes ended the stream; it then ends in order."""
        self.pending_reconnect: PendingReconnect | None = None
        """Set while there is no session and another one will be opened."""
        self.started_at = datetime.now(UTC)
        self.is_fed = False
        """Whether a file or a camera is being sent into it."""
        self.is_sent_whole = False
        """Whether all of the stream's file was accepted."""
        self.feeder: Feeder | None = Feeder.FILE if plan.source else None
        """Who gives the stream its media; None until somebody does."""
        self.source: Source | None = None
        """Which source to ask; None where nothing was pushed."""
        self.recording: LiveRecording | None = None
        """What records into the stream, and ends it once its rest is sent."""
        self.media_seconds = 0.0
        """How much media the stream accepted, where the length of segments is known."""
        self.clock_jumps: list[ClockJump] = []
        """The jumps in the clock of the stream's file, up to the newest accepted segment."""
        self.first_time_jump: TimeJump | None = None
        """Where the times of pushed media do not go on, the first place."""
        self.time_jumps = 0
        """At how many places."""
        self.held: HeldSegment | None = None
        """The segment that waits for its time; None where none waits."""
        self.skipped_seconds = 0.0
        """How much live media was recorded and never sent."""
        self.unsent = 0
        """How many segments were accepted and never sent, once the stream is over."""
        self.end_requested = False
        self.is_stopped = False
        """Whether the stream ends without another session when its connection is lost."""
        self.is_over = False
        self.changed = Notifier()

    def ask_for_end(self) -> bool:
        """Let no segment follow those that wait; gives False where that was asked before."""
        if self.end_requested or self.is_over:
            return False
        self.end_requested = True
        if self.source and (rest := self.source.finish()):
            self.outbox.put(rest)
        self.outbox.put(Close())
        return True

    @property
    def dialect(self) -> Dialect:
        return self.plan.dialect

    @property
    def is_stand_in(self) -> bool:
        """Whether the stand-in answers, and not the service."""
        return self.plan.endpoint == LOCAL or any(leg.is_stand_in for leg in self.legs)

    @property
    def leg(self) -> Leg | None:
        """The newest one; None before the socket is open."""
        return self.legs[-1] if self.legs else None

    @property
    def state(self) -> StreamState:
        if self.is_over:
            return StreamState.FAILED if self.failure else StreamState.ENDED
        if self.pending_reconnect:
            attempt = self.pending_reconnect.attempt
            if attempt.waits_for_media or self.pending_reconnect.failure.code == "rate_limited":
                return StreamState.WAITING
            return StreamState.RECONNECTING if self.was_open else StreamState.CONNECTING
        if not self.is_open:
            return StreamState.RECONNECTING if self.was_open else StreamState.CONNECTING
        if self.end_requested:
            return StreamState.DRAINING
        return StreamState.SENDING if self.is_fed or self.outbox.segments else StreamState.OPEN

    @property
    def was_open(self) -> bool:
        """Whether any session has been open."""
        return any(leg.is_open for leg in self.legs)

    @property
    def limits(self) -> Limits:
        """The limits that the newest open session declared; before, those of the API version."""
        opened = (leg.session.limits for leg in reversed(self.legs) if leg.is_open)
        return next(opened, self.dialect.limits)

    @property
    def was_sent(self) -> bool:
        """Whether any media was sent."""
        return self.sent_segments > 0

    @property
    def answered_seconds(self) -> float:
        """How far the service has analysed the media, as far as it reports that."""
        return max(
            (leg.receipts.answered_seconds + leg.shift_seconds for leg in self.legs), default=0.0
        )

    @property
    def window_seconds(self) -> float:
        """Media time at which the window began that the service reported last."""
        return max(
            (leg.receipts.window_seconds + leg.shift_seconds for leg in self.legs), default=0.0
        )

    @property
    def sent_seconds(self) -> float:
        """How far the media of the stream was sent, where the length of segments is known."""
        return max((leg.sent_seconds or 0.0 for leg in self.legs), default=0.0)

    @property
    def is_delivered(self) -> bool:
        """Whether the other end has read all segments that were accepted."""
        leg = self.leg
        return not self.outbox.segments and (leg is None or leg.receipts.are_delivered)

    @property
    def dropped_seconds(self) -> float:
        """How much media the service reported as never analysed."""
        return sum(leg.receipts.dropped_seconds for leg in self.legs)

    @property
    def use(self) -> MediaUse:
        """How much media was delivered, analysed and dropped, over all legs."""
        return sum_use(leg.receipts.use for leg in self.legs)

    @property
    def sent_segments(self) -> int:
        """How many segments were written to a connection."""
        return sum(len(leg.receipts) for leg in self.legs)

    @property
    def sent_bytes(self) -> int:
        return sum(leg.bytes_sent for leg in self.legs)

    @property
    def waiting_segments(self) -> int:
        """How many segments were accepted and wait to be sent."""
        return self.outbox.segments

    @property
    def waiting_bytes(self) -> int:
        return self.outbox.bytes

    @property
    def sessions(self) -> int:
        """How many API sessions were begun."""
        return len(self.legs)

    def count_receipts(self) -> Counter[str]:
        """How many segments have each receipt, over all legs."""
        counts = Counter[str]()
        for leg in self.legs:
            counts.update(leg.receipts.counts())
        return counts

    def newest_receipts(self, most: int) -> list[SegmentReceipt]:
        """What is known of the newest sent segments, in order, in media time of the stream."""
        newest = (
            leg.receipts.receipt_of(number).moved(leg.shift_seconds)
            for leg in reversed(self.legs)
            for number in range(len(leg.receipts), 0, -1)
        )
        return list(islice(newest, most))[::-1]

    @property
    def is_open(self) -> bool:
        """Whether the newest session takes media, or did before it ended."""
        return self.leg is not None and self.leg.is_open

    @property
    def next_seq(self) -> int:
        """Which number the next pushed segment has."""
        return self.source.next_seq if self.source else 1

    @property
    def end(self) -> LegEnd | None:
        """How the newest leg ended, once it has."""
        return self.leg.end if self.leg else None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds or the stream is over."""
        while not (condition() or self.is_over):
            await self.changed.wait()

    def place_in_file(self, seconds: float) -> float:
        """The place in the file of a second of the sent media."""
        return seconds + sum(j.seconds for j in self.clock_jumps if j.at_seconds <= seconds)
