"""What a caller holds: segments in, messages kept, one status for everything around them.

A stream is carried by legs, one API session each. Another one follows where that helps: after the
connection was lost, and before a session grows older than the service lets it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio

from ih_mcp.errors import (
    CallerError,
    ConfigurationError,
    IhMcpError,
    JournalError,
    RemoteProtocolError,
    ServiceError,
    StreamEndedError,
    TransportError,
)
from ih_mcp.journal import StreamLog
from ih_mcp.media.jumps import ClockJump
from ih_mcp.net.retry import NOT_READY, RetryAttempt, RetryBudget
from ih_mcp.net.socket import Opener
from ih_mcp.notifier import Notifier
from ih_mcp.wire.dialects import ConfigPlace, Dialect, Framing, Limits
from ih_mcp.wire.messages import Close, Config, Configure, Error
from ih_mcp.wire.refusal import refusal_error

from .leg import EndReason, Leg, LegEnd, Patience
from .outbox import DEFAULT_MAX_BYTES, Outbox, Outgoing, Queued
from .pacing import Held
from .push_record import Pushes
from .status import account, notes

if TYPE_CHECKING:
    from .intake import Intake


class StreamState(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    """The connection was lost; another session is opened soon."""
    WAITING = "waiting"
    """The service asked for a while, or ended a session that had nothing to do."""
    SENDING = "sending"
    DRAINING = "draining"
    """The end was asked for; trailing results still come."""
    ENDED = "ended"
    FAILED = "failed"


class Feeder(StrEnum):
    """Who gives a stream its media; it has one, so that nobody's video is mixed with another's."""

    FILE = "file"
    """A file or a device of this machine."""
    PUSH = "push"
    """A caller of `push_segment`."""
    PAGE = "page"
    """The capture page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stream is opened with."""

    dialect: Dialect
    base_url: str
    endpoint: str = ""
    """What the user calls it, such as `local`."""
    config: Config = field(default_factory=Config)
    label: str = ""
    """The caller's own name for it."""
    source: str = ""
    """What feeds it, as the caller named it: a file name, or nothing."""
    source_seconds: float | None = None
    """How long that is, where it is known."""
    notes: tuple[str, ...] = ()
    """What its caller should know of it, as sentences."""
    reconnects: bool = False
    """Whether another session follows one that was lost or grows too old."""
    resends: bool = False
    """Whether segments of unknown fate are sent again in it."""
    drops_nothing: bool = False
    """Whether the other end reads no further than it can analyse, however fast media is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why there is no session now, and what comes next."""

    failure: IhMcpError
    again: RetryAttempt
    until: float
    """When the next try begins; monotonic."""


_GOOD_ENDS = {
    EndReason.BY_REQUEST,
    EndReason.BY_SERVICE,
    EndReason.DRAIN_TIMEOUT,
}
_FEEDS = {
    Feeder.FILE: "a file or a device gives",
    Feeder.PUSH: "push_segment gives",
    Feeder.PAGE: "the capture page gives",
}
_START_ANEW = "Start a new stream; what was received is kept."
_LOSSES = {
    EndReason.CONNECTION_LOST: ("the connection was lost", _START_ANEW),
    EndReason.PEER_SILENT: ("the service answers no more", _START_ANEW),
    EndReason.UPLOAD_STALLED: (
        "the connection takes no more video",
        "Check the uplink, then start a new stream; what was received is kept.",
    ),
    EndReason.MESSAGE_TOO_BIG: (
        "the service sent a message that is too big to be taken (8 MiB)",
        _START_ANEW,
    ),
    EndReason.BROKEN_FRAMES: (
        "the other end does not keep to the WebSocket protocol",
        "Check IH_MCP_ENDPOINT and proxies in between.",
    ),
    EndReason.NOT_READY: (
        "the service opened the connection but never said that it is ready",
        "Try again; if it stays so, check the key's scope and IH_MCP_ENDPOINT.",
    ),
}
_FOR_GOOD = {EndReason.BROKEN_FRAMES}
_PROVEN_SECONDS = 60.0  # chosen: a session that lived so long was good


class Stream:
    """One stream of this process. `run` carries it; everything else is asked meanwhile."""

    def __init__(
        self,
        stream_id: str,
        plan: Plan,
        *,
        log: StreamLog,
        opener: Opener,
        patience: Patience | None = None,
        max_outbox_bytes: int = DEFAULT_MAX_BYTES,
        queued: Queued | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.id = stream_id
        self.plan = plan
        self.log = log
        self.outbox = Outbox(max_outbox_bytes, queued=queued, keeps_sent=plan.resends)
        self.legs: list[Leg] = []
        self.failure: IhMcpError | None = None
        """Why it failed; set before the state says so."""
        self.trouble: Trouble | None = None
        """While there is no session, and another one will be opened."""
        self.started_at = datetime.now(UTC)
        self.is_fed = False
        """Whether a file is being sent into it."""
        self.pushing = anyio.Lock()
        """Held while a segment is taken, so that calls in flight keep their order."""
        self.pushes = Pushes()
        """What a caller pushed, other than the capture page."""
        self.feeder: Feeder | None = Feeder.FILE if plan.source else None
        """Who gives its media; None until somebody does."""
        self.media_seconds = 0.0
        """Taken so far, where the length of segments is known."""
        self.clock_jumps: list[ClockJump] = []
        """Of the clock of its file, as far as it was taken."""
        self.held: Held | None = None
        """The segment that waits for its time, where one does."""
        self.let_go_seconds = 0.0
        """Of live media; see `let_go`."""
        self._intake: Intake | None = None
        self._opener = opener
        self._patience = patience or Patience()
        self._retries = RetryBudget(chance=chance)
        self._asked_to_end = False
        self._is_stopped = False
        self._opening: anyio.CancelScope | None = None
        """Of the newest connection, while it is being opened."""
        self._is_over = False
        self.unsent = 0
        """Segments that were taken and never sent, once it is over."""
        self._changed = Notifier()

    # --- for callers ---------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        return self.plan.dialect

    @property
    def leg(self) -> Leg | None:
        """The newest one; None before the socket is open."""
        return self.legs[-1] if self.legs else None

    @property
    def state(self) -> StreamState:
        if self._is_over:
            return StreamState.FAILED if self.failure else StreamState.ENDED
        if self.trouble:
            again = self.trouble.again
            if again.waits_for_media or self.trouble.failure.code == "rate_limited":
                return StreamState.WAITING
            return StreamState.RECONNECTING if self.was_open else StreamState.CONNECTING
        if self.leg is None or not self.leg.is_open:
            return StreamState.RECONNECTING if self.was_open else StreamState.CONNECTING
        if self._asked_to_end:
            return StreamState.DRAINING
        return StreamState.SENDING if self.is_fed or self.outbox.segments else StreamState.OPEN

    @property
    def was_open(self) -> bool:
        """Whether media could be sent at any time."""
        return any(leg.is_open for leg in self.legs)

    @property
    def limits(self) -> Limits:
        """What the newest session that opened declared; else what the table says."""
        opened = (leg.session.limits for leg in reversed(self.legs) if leg.is_open)
        return next(opened, self.dialect.limits)

    @property
    def was_sent(self) -> bool:
        """Whether any media left us."""
        return any(len(leg.receipts) for leg in self.legs)

    @property
    def answered_seconds(self) -> float:
        """Up to where in its media the service has come, as far as it says."""
        return max(
            (leg.receipts.answered_seconds + leg.shift_seconds for leg in self.legs), default=0.0
        )

    @property
    def window_seconds(self) -> float:
        """Where in its media the window began that the service told last."""
        return max(
            (leg.receipts.window_seconds + leg.shift_seconds for leg in self.legs), default=0.0
        )

    @property
    def sent_seconds(self) -> float:
        """Until where in its media it was sent, where the length of segments is known."""
        return max((leg.sent_seconds or 0.0 for leg in self.legs), default=0.0)

    @property
    def is_delivered(self) -> bool:
        """Whether the other end has read all segments that were taken."""
        leg = self.leg
        return not self.outbox.segments and (leg is None or leg.receipts.are_delivered)

    @property
    def dropped_seconds(self) -> float:
        """How much media the service said it never analysed."""
        return sum(leg.receipts.dropped_seconds for leg in self.legs)

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def end(self) -> LegEnd | None:
        """How the last leg ended, once it has."""
        return self.leg.end if self.leg else None

    @property
    def intake(self) -> Intake:
        """Looks at what callers push; made with the first segment, for it loads the media room."""
        from .intake import Intake  # noqa: PLC0415

        if self._intake is None:
            is_raw = self.plan.config.audio_format is not None
            self._intake = Intake(self.dialect.framing, is_raw=is_raw)
        return self._intake

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds or the stream is over."""
        while not (condition() or self._is_over):
            await self._changed.wait()

    async def opened(self) -> None:
        """Wait until media may be sent, or the stream is over."""
        await self.until(lambda: self.leg is not None and self.leg.is_open)

    async def room(self, size: int) -> None:
        """Wait until a segment of `size` bytes may be put.

        Raises:
            StreamEndedError: It is over or asked to end.
        """
        self.require_live()
        await self.outbox.room(size)
        self.require_live()

    async def put(self, segment: Outgoing) -> None:
        """Take a segment, in order; waits for room in the outbox.

        Raises:
            StreamEndedError: It is over or asked to end.
        """
        await self.room(len(segment.data))
        self._add(segment)

    def keep(self, segment: Outgoing | None, intake: Intake, feeder: Feeder | None) -> None:
        """Take what was pushed, all of it at once; where there is a segment, after `room`.

        Args:
            intake: A copy of `intake` that made the segment, and takes its place.
            feeder: Who pushed it; None claims nothing.

        Raises:
            StreamEndedError: It is over or asked to end.
            CallerError: Somebody else gives the stream its media (`fed_elsewhere`).
        """
        self.require_live()
        if feeder:
            self.claim(feeder)
        self._intake = intake
        if segment:
            self._add(segment)

    def _add(self, segment: Outgoing) -> None:
        self.outbox.put(segment)
        self.clock_jumps += segment.clock_jumps
        if segment.end_seconds is not None:
            self.media_seconds = max(self.media_seconds, segment.end_seconds)
        self._changed.notify()

    def place_of(self, seconds: float) -> float:
        """Where in its file media stands that is at this second of what was sent."""
        return seconds + sum(j.seconds for j in self.clock_jumps if j.at_seconds <= seconds)

    def hold(self, held: Held | None) -> None:
        """A segment waits for its time; None where none does."""
        if held != self.held:
            self.held = held
            self._changed.notify()

    def let_go(self, seconds: float) -> None:
        """Live media was recorded and cannot be sent, since the connection is slower."""
        self.let_go_seconds += seconds
        self._changed.notify()

    def configure(self, config: Config) -> None:
        """Replace the session configuration, after the segments taken so far.

        Raises:
            CallerError: This version takes no configuration in a running session.
            StreamEndedError: It is over or asked to end.
        """
        self.require_live()
        if self.dialect.config is not ConfigPlace.FRAME:
            raise CallerError(
                f"{self.dialect.name} takes its configuration when the stream starts",
                help="Start a new stream with these options.",
            )
        self.outbox.put(Configure(config))

    def ask_to_end(self, *, stops: bool = True) -> bool:
        """End in order once all segments are sent; gives False where that was asked before.

        Args:
            stops: Whether to leave it at that when the connection is lost, segments or not.
        """
        self._is_stopped = self._is_stopped or stops
        if self._is_stopped and self._opening:
            self._opening.cancel()
        if self._is_stopped and self.leg:
            self.leg.hurry()
        if self._asked_to_end or self._is_over:
            self._changed.notify()
            return False
        self._asked_to_end = True
        if self._intake and (rest := self._intake.finish()):
            self.outbox.put(rest)
        self.outbox.put(Close())
        self._changed.notify()
        return True

    def fail(self, failure: IhMcpError) -> None:
        """Note what went wrong around the session; what was sent is still drained."""
        self.failure = self.failure or failure
        self.ask_to_end(stops=False)

    def note_push(self, digest: bytes, size: int) -> None:
        """A caller's segment was kept."""
        self.pushes.keep(digest, size)
        self._changed.notify()

    def require_feeder(self, feeder: Feeder) -> None:
        """See to it that nobody else gives the stream its media.

        Raises:
            CallerError: Somebody else does (`fed_elsewhere`).
        """
        if self.feeder not in {None, feeder}:
            raise CallerError(
                f"{_FEEDS[self.feeder]} stream {self.id} its media; another source cannot join in",
                code="fed_elsewhere",
                help="Start a stream of its own for the other video: start_stream for "
                "push_segment, start_capture without a stream_id for a person's camera.",
                facts={"stream_id": self.id, "fed_by": self.feeder.value},
            )

    def claim(self, feeder: Feeder) -> None:
        """From now on nobody else gives the stream its media; raises as `require_feeder`."""
        self.require_feeder(feeder)
        self.feeder = feeder

    def require_live(self) -> None:
        """See to it that it still takes segments.

        Raises:
            StreamEndedError: It is over or asked to end.
        """
        if self._is_over or self._asked_to_end:
            raise StreamEndedError(
                f"stream {self.id} is {self.state.value}; it takes no more segments",
                help="Read what is left with poll_events, or start a new stream.",
                facts={"stream_id": self.id, "state": self.state.value},
            )

    # --- its life ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry it from its first session to its end. Failures are noted, not raised."""
        try:
            while await self._carry():
                pass
        except JournalError as exc:
            self.failure = exc
        except Exception:
            self.failure = IhMcpError(
                "the stream broke over a mistake of ih-mcp's own",
                code="internal",
                help="Start a new stream and report it; what was received is kept.",
            )
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish()

    async def _carry(self) -> bool:
        """Open one session and carry it to its end; gives whether another one follows."""
        leg: Leg | None = None
        try:
            async with AsyncExitStack() as stack:
                with anyio.CancelScope() as self._opening:
                    socket = await stack.enter_async_context(self._opener(self._address()))
                if self._opening.cancelled_caught:
                    return False  # nobody waits for it any more
                leg = self._leg()
                failure = self._blame(await leg.run(socket))
        except (ConfigurationError, RemoteProtocolError, ServiceError, TransportError) as exc:
            failure = exc
        if leg and leg.is_open and self._has_proven(leg):
            self._retries.reset()
        if failure is None and leg and leg.is_rotated:
            self._retries.count_renewal(now=anyio.current_time())
            if self.plan.resends:
                self._put_back()
            return self.outbox.segments > 0 or not self._asked_to_end
        return failure is not None and await self._goes_on(failure)

    def _address(self) -> str:
        plan = self.plan
        return plan.dialect.address(
            plan.base_url, include=plan.config.include or (), model=plan.config.model
        )

    def _leg(self) -> Leg:
        leg = Leg(
            len(self.legs),
            self.dialect,
            log=self.log,
            outbox=self.outbox,
            patience=self._patience,
            begins_stream=not self.was_sent,
            begins_after=sum(leg.messages for leg in self.legs),
            config=self._config(),
            may_rotate=self._may_rotate if self.plan.reconnects else None,
            on_change=self._note_change,
        )
        self.trouble = None
        self.legs.append(leg)
        self._changed.notify()
        return leg

    def _config(self) -> Config | None:
        """What the next session begins with: what held in the one before."""
        if self.leg:
            return self.leg.config
        is_said = self.plan.config != Config() and self.dialect.config is ConfigPlace.FRAME
        return self.plan.config if is_said else None

    def _note_change(self) -> None:
        if self.outbox.is_away and self.leg and self.leg.is_open:
            self.outbox.away(False)
        if self.plan.resends:
            self.outbox.settled(self.answered_seconds)
        self._changed.notify()

    def _may_rotate(self) -> bool:
        return self._retries.may_renew(now=anyio.current_time())

    def _has_proven(self, leg: Leg) -> bool:
        """Whether the session was of use, so that its end begins a new outage."""
        is_answered = leg.receipts.answered_seconds > 0
        return is_answered or anyio.current_time() - leg.opened_at >= _PROVEN_SECONDS

    async def _goes_on(self, failure: IhMcpError) -> bool:
        """Wait until another session may be opened; False where there will be none."""
        again = self._retries.next_attempt(failure, now=anyio.current_time())
        if self.plan.resends and self.was_sent and again and not self._is_stopped:
            self._put_back()
        if not (again and self._may_go_on()):
            self.failure = self.failure or self._final(failure)
            return False
        self.outbox.away(True)
        until = anyio.current_time() + again.seconds
        self.trouble = Trouble(failure=failure, again=again, until=until)
        self._changed.notify()
        if again.waits_for_media:
            await self.until(lambda: bool(self.outbox.segments) or self._asked_to_end)
        with anyio.CancelScope(deadline=until):
            await self.until(lambda: not self._may_go_on())
        if self._may_go_on():
            return True
        self.failure = self.failure or (None if again.waits_for_media else failure)
        return False

    def _put_back(self) -> None:
        """Segments of unknown fate wait again; the end that was asked for comes after them."""
        assert self.leg is not None  # it was sent in one
        if self.leg.end and self.leg.end.in_order:
            self.outbox.settled(math.inf)
            return
        self.leg.receipts.resent(self.outbox.put_back())
        if self._asked_to_end and not self.outbox.closes:
            self.outbox.put(Close())

    def _may_go_on(self) -> bool:
        """Whether another session is wanted, and could begin."""
        if not self.plan.reconnects or self._is_stopped:
            return False
        if self._asked_to_end and not self.outbox.segments:
            return False
        is_whole = self.dialect.framing is Framing.WHOLE
        is_file = self.is_fed or self._asked_to_end
        return not self.was_sent or is_whole or is_file or self.intake.can_begin

    def _final(self, failure: IhMcpError) -> IhMcpError:
        """What to say of a failure after which nothing more is tried."""
        if self.plan.reconnects and self._retries.is_unstable and failure.retry:
            return TransportError(
                f"no more new sessions are opened within this hour; the last one: {failure.what}",
                code="unstable",
                help="Check the network, then start a new stream; what was received is kept.",
                retry=True,
                facts=failure.facts,
            )
        return failure

    def _blame(self, end: LegEnd) -> IhMcpError | None:
        """The failure that an end is; None where it is a good one."""
        if end.reason in _GOOD_ENDS:
            return None
        if end.reason is EndReason.REFUSED or end.error:
            error = end.error or Error(code="", message=end.close_reason)
            return refusal_error(
                "the service ended the session"
                + (f" with close code {end.close_code}" if end.close_code else ""),
                error_id=error.code,
                message=error.message,
                link=error.link,
                correlation_id=error.correlation_id,
                close_code=end.close_code,
            )
        words, helps = _LOSSES[end.reason]
        return TransportError(
            f"{words}: {end.close_reason}" if end.close_reason else words,
            code=NOT_READY if end.reason is EndReason.NOT_READY else end.reason.value,
            help=helps,
            retry=end.reason not in _FOR_GOOD,
        )

    async def _finish(self) -> None:
        self.trouble = None
        self._asked_to_end = True  # whoever waits for room is told, and puts nothing any more
        self.unsent = self.outbox.clear()
        try:
            await self.log.flush()
        except JournalError as exc:
            self.failure = exc
        self._is_over = True
        self._changed.notify()
        try:
            await self.log.write_record(self.record(), ended=True)
        except JournalError as exc:
            self.failure = exc

    # --- what is said of it --------------------------------------------------------------------

    def record(self) -> dict[str, object]:
        """The status, as named values ready for JSON; fields that do not apply are left out."""
        return account(self, now=anyio.current_time())

    def notes(self) -> list[str]:
        """What who reads its results should know, as sentences."""
        return notes(self)
