"""What a caller holds: segments in, messages kept, one status for everything around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio

from ih_mcp.bell import Bell
from ih_mcp.errors import (
    CallerError,
    IhMcpError,
    JournalError,
    ServiceError,
    StreamEndedError,
    TransportError,
)
from ih_mcp.journal import Log
from ih_mcp.net.socket import Opener
from ih_mcp.wire.dialects import ConfigPlace, Dialect
from ih_mcp.wire.messages import Close, Config, Configure, Error
from ih_mcp.wire.refusal import refusal

from .leg import EndReason, Leg, LegEnd, Patience
from .outbox import DEFAULT_MAX_BYTES, Outbox, Outgoing

if TYPE_CHECKING:
    from .intake import Intake


class StreamState(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    SENDING = "sending"
    DRAINING = "draining"
    """The end was asked for; trailing results still come."""
    ENDED = "ended"
    FAILED = "failed"


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
    notes: tuple[str, ...] = ()
    """What its caller should know of it, as sentences."""


_GOOD_ENDS = {
    EndReason.BY_REQUEST,
    EndReason.BY_SERVICE,
    EndReason.DRAIN_TIMEOUT,
    EndReason.STOPPED,
}
_LOSSES = {
    EndReason.CONNECTION_LOST: (
        "the connection was lost",
        "Start a new stream; what was received is kept.",
    ),
    EndReason.NOT_READY: (
        "the service opened the connection but never said that it is ready",
        "Try again; if it stays so, check the key's scope and IH_MCP_ENDPOINT.",
    ),
}


class Stream:
    """One stream of this process. `run` carries it; everything else is asked meanwhile."""

    def __init__(
        self,
        stream_id: str,
        plan: Plan,
        *,
        log: Log,
        opener: Opener,
        patience: Patience | None = None,
        max_outbox_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self.id = stream_id
        self.plan = plan
        self.log = log
        self.outbox = Outbox(max_outbox_bytes)
        self.legs: list[Leg] = []
        self.failure: IhMcpError | None = None
        """Why it failed; set before the state says so."""
        self.started_at = datetime.now(UTC)
        self.is_fed = False
        """Whether a file is being sent into it."""
        self.pushing = anyio.Lock()
        """Held while a segment is taken, so that calls in flight keep their order."""
        self.last_seq = 0
        """The newest sequence number of `push`."""
        self.media_seconds = 0.0
        """Taken so far, where the length of segments is known."""
        self._intake: Intake | None = None
        self._opener = opener
        self._patience = patience or Patience()
        self._asked_to_end = False
        self._is_over = False
        self._unsent = 0
        self._changed = Bell()
        if plan.config != Config() and plan.dialect.config is ConfigPlace.FRAME:
            self.outbox.put(Configure(plan.config))

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
        if self.leg is None or not self.leg.is_open:
            return StreamState.CONNECTING
        if self._asked_to_end:
            return StreamState.DRAINING
        return StreamState.SENDING if self.is_fed or self.outbox.segments else StreamState.OPEN

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
        self._require_live()
        await self.outbox.room(size)
        self._require_live()

    async def put(self, segment: Outgoing) -> None:
        """Take a segment, in order; waits for room in the outbox.

        Raises:
            StreamEndedError: It is over or asked to end.
        """
        await self.room(len(segment.data))
        self.outbox.put(segment)
        if segment.end_seconds is not None:
            self.media_seconds = max(self.media_seconds, segment.end_seconds)
        self._changed.ring()

    def configure(self, config: Config) -> None:
        """Replace the session configuration, after the segments taken so far.

        Raises:
            CallerError: This version takes no configuration in a running session.
            StreamEndedError: It is over or asked to end.
        """
        self._require_live()
        if self.dialect.config is not ConfigPlace.FRAME:
            raise CallerError(
                f"{self.dialect.name} takes its configuration when the stream starts",
                help="Start a new stream with these options.",
            )
        self.outbox.put(Configure(config))

    def ask_to_end(self) -> bool:
        """End in order once all segments are sent; gives False where that was asked before."""
        if self._asked_to_end or self._is_over:
            return False
        self._asked_to_end = True
        if self._intake and (rest := self._intake.finish()):
            self.outbox.put(rest)
        self.outbox.put(Close())
        self._changed.ring()
        return True

    def fail(self, failure: IhMcpError) -> None:
        """Note what went wrong around the session; what was sent is still drained."""
        self.failure = self.failure or failure
        self.ask_to_end()

    def note_seq(self, seq: int) -> None:
        """The segment with this sequence number was taken."""
        self.last_seq = seq
        self._changed.ring()

    def _require_live(self) -> None:
        if self._is_over or self._asked_to_end:
            raise StreamEndedError(
                f"stream {self.id} is {self.state.value}; it takes no more segments",
                help="Read what is left with poll_events, or start a new stream.",
                facts={"stream_id": self.id, "state": self.state.value},
            )

    # --- its life ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the session and carry it to its end. Failures are noted, not raised."""
        plan = self.plan
        url = plan.dialect.address(
            plan.base_url, include=plan.config.include or (), model=plan.config.model
        )
        try:
            async with self._opener(url) as socket:
                leg = Leg(
                    len(self.legs),
                    plan.dialect,
                    log=self.log,
                    outbox=self.outbox,
                    patience=self._patience,
                    on_change=self._changed.ring,
                )
                self.legs.append(leg)
                self._changed.ring()
                self._blame(await leg.run(socket))
        except (ServiceError, TransportError, JournalError) as exc:
            self.failure = self.failure or exc
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish()

    def _blame(self, end: LegEnd) -> None:
        """Turn an end that is no good one into the failure it is."""
        if end.reason in _GOOD_ENDS or self.failure:
            return
        if end.reason is EndReason.REFUSED or end.error:
            error = end.error or Error(code="", message=end.close_reason)
            self.failure = refusal(
                "the service ended the session"
                + (f" with close code {end.close_code}" if end.close_code else ""),
                error_id=error.code,
                message=error.message,
                link=error.link,
                correlation_id=error.correlation_id,
                close_code=end.close_code,
            )
        else:
            words, helps = _LOSSES[end.reason]
            self.failure = TransportError(
                f"{words}: {end.close_reason}" if end.close_reason else words,
                code=end.reason.value,
                help=helps,
                retry=True,
            )

    async def _finish(self) -> None:
        self._unsent = self.outbox.clear()
        try:
            await self.log.flushed()
        except JournalError as exc:
            self.failure = exc
        self._is_over = True
        self._changed.ring()
        try:
            await self.log.write_record(self.record(), ended=True)
        except JournalError as exc:
            self.failure = exc

    # --- what is said of it --------------------------------------------------------------------

    def record(self) -> dict[str, object]:
        """The status, as named values ready for JSON; fields that do not apply are left out."""
        record: dict[str, object] = {
            "state": self.state.value,
            "api": self.dialect.name,
            "endpoint": self.plan.endpoint or self.plan.base_url,
            "label": self.plan.label,
            "source": self.plan.source,
            "notes": list(self.plan.notes),
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "messages": sum(leg.messages for leg in self.legs),
            "irregular_messages": sum(leg.irregular for leg in self.legs),
            "segments": self._segments(),
            "bytes_sent": sum(leg.bytes_sent for leg in self.legs),
            "media_seconds": round(self.media_seconds, 3),
            "correlation_id": self.leg.session.correlation_id if self.leg else "",
        }
        if self.end:
            record["reason"] = self.end.reason.value
        if self.failure:
            record |= {"reason": self.failure.code, "error": told(self.failure)}
        return {name: value for name, value in record.items() if value not in ("", 0, {}, [])}

    def _segments(self) -> dict[str, int]:
        """How many segments have each receipt, over all legs."""
        counts = Counter[str]()
        for leg in self.legs:
            counts.update(leg.receipts.counts())
        if waiting := self.outbox.segments:
            counts["waiting"] = waiting
        if self._unsent:
            counts["not_sent"] = self._unsent
        return dict(counts)


def told(failure: IhMcpError) -> dict[str, object]:
    """A failure as named values: what, help, code, retry, and its facts."""
    return {
        "code": failure.code,
        "what": failure.what,
        "help": failure.help,
        "retry": failure.retry,
        **failure.facts,
    }
