"""Carries a stream from its first session to its end.

A stream is carried by legs, one API session each. Another one follows where that helps: after the
connection was lost, and before a session grows older than the service lets it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack

import anyio

from ih_mcp import observer
from ih_mcp.errors import (
    ConfigurationError,
    IhMcpError,
    JournalError,
    RemoteProtocolError,
    ServiceError,
    TransportError,
)
from ih_mcp.journal import StreamAccount
from ih_mcp.net.retry import RetryBudget
from ih_mcp.net.socket import Opener
from ih_mcp.wire.dialects import ConfigPlace, Framing
from ih_mcp.wire.endings import ENDINGS, EndReason, loss_error
from ih_mcp.wire.messages import Close, Config, Error
from ih_mcp.wire.refusal import refusal_error

from .deadlines import SessionTimeouts
from .facts import PendingReconnect, StreamFacts
from .leg import Leg, LegEnd
from .status_report import report_status

_PROVEN_SECONDS = 60.0  # chosen: a session that lived so long was good


class StreamRunner:
    """Opens the sessions of one stream, one after the other."""

    def __init__(
        self,
        stream: StreamFacts,
        opener: Opener,
        *,
        timeouts: SessionTimeouts,
        chance: Callable[[], float] = random.random,
        account: StreamAccount | None = None,
    ) -> None:
        self._stream = stream
        self._account = account
        self._opener = opener
        self._timeouts = timeouts
        self._retries = RetryBudget(chance=chance)
        self._call = observer.current_call()
        self._opening: anyio.CancelScope | None = None
        """Of the newest connection, while it is being opened."""

    def stop(self) -> None:
        """Open no further session; one that has not begun yet is given up soon."""
        stream = self._stream
        stream.is_stopped = True
        if self._opening:
            self._opening.cancel()
        if stream.leg:
            stream.leg.stop_soon()

    async def run(self) -> None:
        """Carry the stream from its first session to its end; a failure is noted, not raised."""
        stream = self._stream
        try:
            while await self._carry():
                pass
        except JournalError as exc:
            stream.failure = exc
        except Exception:
            stream.failure = IhMcpError(
                "the stream broke because of a mistake in ih-mcp",
                code="internal",
                help="Start a new stream and report it; what was received is kept.",
            )
            raise
        finally:
            del self._opener  # and the credential with it
            with anyio.CancelScope(shield=True):
                await self._finish()

    async def _carry(self) -> bool:
        """Open one session and carry it to its end; gives whether another one follows."""
        stream = self._stream
        leg: Leg | None = None
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(self._traced())
                with anyio.CancelScope() as self._opening:
                    socket = await stack.enter_async_context(self._opener(self._address()))
                if self._opening.cancelled_caught:
                    return False  # the stream was stopped meanwhile
                leg = self._leg()
                failure = self._failure_of(await leg.run(socket))
        except (ConfigurationError, RemoteProtocolError, ServiceError, TransportError) as exc:
            failure = exc
        _note_session(leg)
        if leg and leg.is_open and self._has_proven(leg):
            self._retries.reset()
        if failure is None and leg and leg.is_rotated:
            self._retries.count_renewal(now=anyio.current_time())
            if stream.plan.resends:
                self._put_back()
            goes_on = stream.outbox.segments > 0 or not stream.end_requested
        else:
            goes_on = failure is not None and await self._goes_on(failure)
        if failure or goes_on:
            _note_move(leg, goes_on=goes_on)
        return goes_on

    def _traced(self) -> AbstractContextManager[None]:
        stream = self._stream
        return observer.trace_session(self._call, leg=len(stream.legs), api=stream.dialect.name)

    def _address(self) -> str:
        plan = self._stream.plan
        return plan.dialect.address(
            plan.base_url, include=plan.config.include or (), model=plan.config.model
        )

    def _leg(self) -> Leg:
        stream = self._stream
        leg = Leg(
            len(stream.legs),
            stream.dialect,
            log=stream.log,
            outbox=stream.outbox,
            timeouts=self._timeouts,
            begins_stream=not stream.was_sent,
            begins_after=sum(leg.messages for leg in stream.legs),
            config=self._config(),
            may_rotate=self._may_rotate if stream.plan.reconnects else None,
            account=self._account,
            used_before=stream.use,
            on_change=self._note_change,
        )
        stream.pending_reconnect = None
        stream.legs.append(leg)
        stream.changed.notify()
        return leg

    def _config(self) -> Config | None:
        """The configuration of the next session: that of the session before."""
        stream = self._stream
        if stream.leg:
            return stream.leg.config
        is_said = stream.plan.config != Config() and stream.dialect.config is ConfigPlace.FRAME
        return stream.plan.config if is_said else None

    def _note_change(self) -> None:
        stream = self._stream
        leg = stream.leg
        if leg and leg.limit_reached and not stream.limit_reached:
            stream.limit_reached = leg.limit_reached
            stream.ask_for_end()
        if stream.outbox.is_away and leg and leg.is_open:
            stream.outbox.set_away(False)
        if stream.plan.resends:
            stream.outbox.forget_settled(stream.answered_seconds)
        stream.changed.notify()

    def _may_rotate(self) -> bool:
        return self._retries.may_renew(now=anyio.current_time())

    def _has_proven(self, leg: Leg) -> bool:
        """Whether the session was of use, so that its end begins a new outage."""
        is_answered = leg.receipts.answered_seconds > 0
        return is_answered or anyio.current_time() - leg.opened_at >= _PROVEN_SECONDS

    async def _goes_on(self, failure: IhMcpError) -> bool:
        """Wait until another session may be opened; False where there will be none."""
        stream = self._stream
        attempt = self._retries.next_attempt(failure, now=anyio.current_time())
        if stream.plan.resends and stream.was_sent and attempt and not stream.is_stopped:
            self._put_back()
        if not (attempt and self._may_go_on()):
            stream.failure = stream.failure or self._final(failure)
            return False
        stream.outbox.set_away(True)
        until = anyio.current_time() + attempt.seconds
        stream.pending_reconnect = PendingReconnect(failure=failure, attempt=attempt, until=until)
        stream.changed.notify()
        if attempt.waits_for_media:
            await stream.until(lambda: bool(stream.outbox.segments) or stream.end_requested)
        with anyio.CancelScope(deadline=until):
            await stream.until(lambda: not self._may_go_on())
        if self._may_go_on():
            return True
        stream.failure = stream.failure or (None if attempt.waits_for_media else failure)
        return False

    def _put_back(self) -> None:
        """Queue segments of unknown fate again, before the request to end."""
        stream = self._stream
        assert stream.leg is not None  # it was sent in one
        if stream.leg.end and stream.leg.end.in_order:
            stream.outbox.forget_settled(math.inf)
            return
        stream.leg.receipts.mark_resent(stream.outbox.put_back())
        if stream.end_requested and not stream.outbox.closes:
            stream.outbox.put(Close())

    def _may_go_on(self) -> bool:
        """Whether another session is wanted, and could begin."""
        stream = self._stream
        if not stream.plan.reconnects or stream.is_stopped:
            return False
        if stream.end_requested and not stream.outbox.segments:
            return False
        is_whole = stream.dialect.framing is Framing.WHOLE
        source = stream.source
        is_file = stream.is_fed or stream.end_requested
        return (
            not stream.was_sent or is_whole or is_file or (source is not None and source.can_begin)
        )

    def _final(self, failure: IhMcpError) -> IhMcpError:
        """The error to report where no further session is opened."""
        if self._stream.plan.reconnects and self._retries.is_unstable and failure.retry:
            return TransportError(
                f"no more new sessions are opened within this hour; the last one: {failure.what}",
                code="unstable",
                help="Check the network, then start a new stream; what was received is kept.",
                retry=True,
                facts=failure.facts,
            )
        return failure

    def _failure_of(self, end: LegEnd) -> IhMcpError | None:
        """The error of an end; None where the end is no failure."""
        if not ENDINGS[end.reason].is_failure:
            return None
        if end.reason is EndReason.REFUSED or end.error:
            error = end.error or Error(code="", message=end.close_reason)
            return refusal_error(
                "the service ended the session",
                error_id=error.code,
                message=error.message,
                link=error.link,
                correlation_id=error.correlation_id,
                close_code=end.close_code,
            )
        return loss_error(end.reason, end.close_reason)

    async def _finish(self) -> None:
        stream = self._stream
        stream.pending_reconnect = None
        stream.end_requested = True  # callers that wait for room get an error
        stream.unsent = stream.outbox.clear()
        try:
            await stream.log.flush()
            if self._account:
                await self._account.settle(stream.use, ended=True)
        except JournalError as exc:
            stream.failure = exc
        stream.is_over = True
        stream.changed.notify()
        try:
            status = report_status(stream, now=anyio.current_time())
            await stream.log.write_record(status.to_json(), ended=True)
        except JournalError as exc:
            stream.failure = exc


def _note_session(leg: Leg | None) -> None:
    """Note how a session ended; nothing where none was opened."""
    if leg is None:
        return
    for receipt, count in leg.receipts.counts().items():
        observer.note("ih_segments_total", count, receipt)
    if leg.is_open and leg.end and not leg.end.in_order:
        observer.note("ih_gaps_total", 1, leg.end.reason.value)


def _note_move(leg: Leg | None, *, goes_on: bool) -> None:
    """Note that another session was needed, and whether one follows."""
    why = "not_opened"
    if leg and leg.end:
        why = "renewed" if leg.is_rotated else leg.end.reason.value
    observer.note("ih_moves_total", 1, why, "next" if goes_on else "given_up")
