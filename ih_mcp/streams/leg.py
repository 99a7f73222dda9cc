"""Drives one API session over one socket: stores messages, sends segments.

Three tasks live and die together: one receives, one sends, one asks for proof of delivery. A
fourth, the watchdog, ends the leg when the service is silent for longer than it may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import anyio
import anyio.lowlevel

from ih_mcp import observer
from ih_mcp.errors import (
    JournalError,
    LocalProtocolError,
    RemoteProtocolError,
    UsedUpError,
)
from ih_mcp.journal import StreamAccount, StreamLog
from ih_mcp.net.socket import Socket, SocketClosed
from ih_mcp.notifier import Notifier
from ih_mcp.stand_in import is_stand_in
from ih_mcp.wire.dialects import ConfigPlace, Dialect, Drain
from ih_mcp.wire.endings import ENDINGS, EndReason
from ih_mcp.wire.error_catalog import find_error
from ih_mcp.wire.messages import Close, Config, Configure, Error, Reading, Updated
from ih_mcp.wire.minutes import MediaUse
from ih_mcp.wire.progress import read_progress
from ih_mcp.wire.session import Session, Side, State

from .deadlines import Deadlines, SessionTimeouts
from .outbox import Outbox, QueuedSegment
from .receipts import DROPPED, SegmentLedger
from .splice import Splice

_ROTATION_SECONDS = 60.0  # chosen: key frames of recorders and films are seconds apart
_ROTATION_SHARE = 0.1  # of a session that may only be short
_LEAST_SESSION_SECONDS = 60.0  # chosen: a session costs money, so none is renewed sooner
_TURN_SECONDS = 0.002  # chosen: other streams wait for so long at most while messages flood in
_SHORT_CHARS = 4_000
_SHORT_MESSAGES = 16  # chosen: so many take less than a turn, so the clock is asked once


@dataclass(frozen=True, slots=True, kw_only=True)
class LegEnd:
    """How a leg ended."""

    reason: EndReason
    close_code: int | None = None
    close_reason: str = ""
    error: Error | None = None
    """The last error of the service, where it explains the end."""

    @property
    def in_order(self) -> bool:
        """Whether nothing can be missing: the service said its last word."""
        return ENDINGS[self.reason].in_order


class Leg:
    """The part of a stream that one API session carries."""

    def __init__(
        self,
        number: int,
        dialect: Dialect,
        *,
        log: StreamLog,
        outbox: Outbox,
        timeouts: SessionTimeouts,
        begins_stream: bool = True,
        begins_after: int = 0,
        config: Config | None = None,
        may_rotate: Callable[[], bool] | None = None,
        account: StreamAccount | None = None,
        used_before: MediaUse | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `run` does it.

        Args:
            number: Of the leg within its stream, from 0.
            begins_stream: Whether no media was sent before it.
            begins_after: The cursor of the last message before it.
            config: What held in the leg before; it is asked for again.
            may_rotate: Whether to end in order before the session grows too old for the service,
                where another one can begin. Then `is_rotated` is true. Asked at that time.
            account: Where each segment is counted before it is sent; None counts nothing.
            used_before: What the legs before have used.
            on_change: Called after every message and segment; must not wait.
        """
        self.number = number
        self.session = Session(dialect, Side.CLIENT)
        self.splice = Splice(is_first=begins_stream)
        self.receipts = SegmentLedger()
        self.end: LegEnd | None = None
        self.is_rotated = False
        self.is_stand_in = False
        """Whether the stand-in says that it is the other end."""
        self.begins_after = begins_after
        self.left_out = 0
        """How many segments were not sent: no session can begin with them, or this one was over."""
        self.sent_seconds: float | None = None
        """The media time of the stream up to which media was sent."""
        self.sent_at = 0.0
        """When the last segment was written, or the session opened; monotonic."""
        self.opened_at = 0.0
        self.is_behind = False
        """Whether the newest segment took longer to send than it lasts."""
        self._rotate_at = math.inf
        self._spare_seconds = 0.0
        self.config = config
        """The last configuration that was not refused; the next leg begins with it."""
        self._config_before = config
        self._may_rotate = may_rotate
        self._account = account
        self._used_before = used_before or MediaUse()
        self.limit_reached: UsedUpError | None = None
        """Set when the next segment would exceed a limit; the session then ends."""
        self.messages = 0
        self._error_at = 0
        """Which message was the newest error."""
        self.irregular = 0
        """How many messages could not be read, were too long, or out of order; all are stored."""
        self.updates = 0
        """How many configurations the service confirmed."""
        self._configurations = 0
        """How many were sent and not refused."""
        self.bytes_sent = 0
        self.close_sent = False
        self._log = log
        self._outbox = outbox
        self._deadlines = Deadlines(self.session, timeouts)
        self._on_change = on_change
        self.is_open = False
        """Whether media may be sent, or could be before the end."""
        self._moved = Notifier()
        self._gave_up: EndReason | None = None

    def stop_soon(self) -> None:
        """Wait only a moment longer for a session that has not begun: the end was requested."""
        self._deadlines.hurry()
        self._moved.notify()

    @property
    def rotates(self) -> bool:
        """Whether another session follows before this one grows too old."""
        return bool(self._may_rotate and self._may_rotate()) and not self.is_short_lived

    @property
    def is_short_lived(self) -> bool:
        """Whether the service declares an age that is not believed."""
        return (self.session.limits.max_session_seconds or math.inf) < _LEAST_SESSION_SECONDS

    @property
    def shift_seconds(self) -> float:
        """What to add to its media times to get those of the stream."""
        return self.splice.shift_seconds

    async def run(self, socket: Socket) -> LegEnd:
        """Carry the session from its greeting to its end; gives how it ended.

        Raises:
            JournalError: The journal cannot store a message; the session is given up.
        """
        self.is_stand_in = is_stand_in(socket.headers)
        self._deadlines.note_phase(close_sent=self.close_sent)
        if self.session.state is State.OPEN:  # a dialect without a greeting
            self._open()
        async with anyio.create_task_group() as tasks:
            for work in (self._send, self._confirm, self._watch, self._watch_log):
                tasks.start_soon(work, socket)
            try:
                ended = await self._receive(socket)
            except anyio.get_cancelled_exc_class():
                self.end = LegEnd(reason=EndReason.HOST_STOPPED)
                self.receipts.note_lost()
                raise
            tasks.cancel_scope.cancel()
        ended = self._log.failure or ended
        if isinstance(ended, JournalError):
            self.receipts.note_lost()
            raise ended
        self.end = self._explain(ended)
        if not self.end.in_order:
            self.receipts.note_lost()
        return self.end

    # --- the tasks -----------------------------------------------------------------------------

    async def _receive(self, socket: Socket) -> SocketClosed | JournalError:
        turn_ends, looks = 0.0, True
        try:
            while True:
                if looks and anyio.current_time() >= turn_ends:  # what is here comes without a wait
                    await anyio.lowlevel.checkpoint()
                    turn_ends = anyio.current_time() + _TURN_SECONDS
                body = await socket.receive()
                self._log.append(body, leg=self.number)
                self.messages += 1
                looks = len(body) > _SHORT_CHARS or self.messages % _SHORT_MESSAGES == 0
                if isinstance(body, str):
                    self._handle_message(body)
                else:
                    self.irregular += 1  # docs: the server never sends binary
                if self.close_sent:  # only then is quiet measured, and the clock asked
                    self._deadlines.note_message()
                self._on_change()
                if self._log.is_full:
                    await self._log.flush()
        except (SocketClosed, JournalError) as exc:
            return exc

    def _handle_message(self, text: str) -> None:
        try:
            message = self.session.receive(text)
        except RemoteProtocolError:
            self.irregular += 1
            return
        if isinstance(message, Reading):  # nearly all are
            if (reached := read_progress(message)) is not None:
                self.receipts.note_progress(*reached)
            if message.kind == DROPPED:
                self.receipts.note(message)
        else:
            self.receipts.note(message)
            self.updates += isinstance(message, Updated)
            if isinstance(message, Error) and message.code == "ih6001" and message.segment is None:
                self.config = self._config_before
                self._configurations -= 1
            if not self.is_open and self.session.state is State.OPEN:
                self._open()
            if isinstance(message, Error):
                self._error_at = self.messages
            self._move()

    def _open(self) -> None:
        self.is_open = True
        self.opened_at = self.sent_at = anyio.current_time()
        longest = self.session.limits.max_session_seconds
        if longest is not None and not self.is_short_lived:
            spare = min(_ROTATION_SECONDS, _ROTATION_SHARE * longest)
            self._rotate_at = self.opened_at + longest - spare
            self._spare_seconds = spare

    async def _send(self, socket: Socket) -> None:
        while not self.is_open:
            await self._moved.wait()
        try:
            if self.config is not None:
                await self._send_steering(socket, Configure(self.config))
            while True:
                item = await self._outbox.head()
                if isinstance(item, QueuedSegment):
                    if self._is_for_next_session(item):
                        if item.entry and item.entry.offset:
                            self._outbox.split_head()
                            continue
                        self.is_rotated = True
                        await self._send_close(socket)
                        self._move()
                        return
                    await self._count_and_send(socket, item)
                elif isinstance(item, Configure):
                    await self._send_steering(socket, item)
                    self._outbox.remove_written()
                else:
                    await self._send_close(socket)
                    self._outbox.remove_written()
                self._move()
        except SocketClosed as exc:  # the receiver finds it too, and says why
            if exc.loss is EndReason.UPLOAD_STALLED:  # but this only the sender knows
                self._gave_up = EndReason.UPLOAD_STALLED

    async def _count_and_send(self, socket: Socket, item: QueuedSegment) -> None:
        """Count a segment, then send it; at a limit, give up all that wait."""
        seconds = self._counted_seconds(item)
        try:
            if self._account:
                use = self._used_before + self.receipts.use
                await self._account.spend(seconds, use, size=len(item.data))
        except UsedUpError as exc:
            self.limit_reached = exc
            self._on_change()  # the stream asks for its end, so that no segment follows
            self.left_out += self._outbox.leave_out_segments()
        except JournalError as exc:
            self._log.fail(exc)  # which ends the leg
            await anyio.sleep_forever()
        else:
            await self._send_segment(socket, item, seconds)

    def _counted_seconds(self, item: QueuedSegment) -> float:
        """The length of a segment; where it cannot be read, the time since the one before.

        So much a live recording has at most; what the service then reports counts instead.
        """
        if item.start_seconds is None or item.end_seconds is None:
            return anyio.current_time() - self.sent_at
        return max(0.0, item.end_seconds - item.start_seconds)

    def _is_for_next_session(self, item: QueuedSegment) -> bool:
        """Whether this segment is for the next session, as this one grows too old."""
        if item.entry is None or not self.splice.is_begun:
            return False
        since = anyio.current_time() - self._rotate_at
        is_time = since >= (0 if item.entry.is_clean else self._spare_seconds / 2)
        return is_time and self.rotates

    async def _send_segment(self, socket: Socket, item: QueuedSegment, seconds: float) -> None:
        was_begun = self.splice.is_begun
        data = self.splice.media_of(item)
        if data is None:
            self._leave_out()
            return
        try:
            self.session.send_segment(len(data))
        except LocalProtocolError:  # too large with its header, or the service ended the session
            self.splice.is_begun = was_begun
            self._leave_out()
            return
        started_at = anyio.current_time()
        try:
            await socket.send_segment(data, before_piece=self._log.wait_until_owned)
        finally:  # also where it broke: some or all of it may have arrived
            self._note_sent(item, len(data), seconds)
            self._outbox.remove_written()
        if item.start_seconds is not None and item.end_seconds is not None:
            lasts = item.end_seconds - item.start_seconds
            self.is_behind = self.sent_at - started_at > lasts > 0

    def _leave_out(self) -> None:
        self.left_out += 1
        self._outbox.leave_out()

    def _note_sent(self, item: QueuedSegment, size: int, seconds: float) -> None:
        start, end = (
            self._in_session(item.start_seconds),
            self._in_session(item.end_seconds),
        )
        if start is not None and not len(self.receipts):
            start = max(start, self._in_session(self.splice.begins_seconds) or start)
        self.receipts.add_sent(size, start_seconds=start, end_seconds=end, counted_seconds=seconds)
        self.bytes_sent += size
        observer.note("ih_media_seconds_total", seconds)
        self.sent_at = anyio.current_time()
        if item.end_seconds is not None:
            self.sent_seconds = item.end_seconds

    def _in_session(self, seconds: float | None) -> float | None:
        """Media time of the stream as this session counts it."""
        return None if seconds is None else seconds - self.shift_seconds

    async def _send_steering(self, socket: Socket, message: Configure | Close) -> None:
        try:
            text = self.session.send(message)
        except LocalProtocolError:
            return
        await socket.send_text(text)
        if isinstance(message, Configure):
            self._config_before, self.config = self.config, self._merge_config(message.config)
            self._configurations += 1

    @property
    def is_configured(self) -> bool:
        """Whether the service answered each configuration, or is not sent any."""
        is_sent = self.session.dialect.config is ConfigPlace.FRAME and self.config is not None
        return not is_sent or 0 < self._configurations <= self.updates

    @property
    def not_taken(self) -> Mapping[str, list[str]]:
        """What the service left out of the configuration that holds, by the name of the option."""
        if self.config is None or not (self.updates and self.is_configured):
            return {}
        return self.config.missing_from(self.session.config)

    def _merge_config(self, asked: Config) -> Config:
        held = self.config or Config()  # docs: state of the session, kept where left out
        return replace(
            asked,
            model=asked.model or held.model,
            audio_format=asked.audio_format or held.audio_format,
        )

    async def _send_close(self, socket: Socket) -> None:
        if self.session.dialect.drain is Drain.CLOSE_MESSAGE:
            await self._send_steering(socket, Close())
        self.close_sent = True

    async def _confirm(self, socket: Socket) -> None:
        confirmed = 0
        try:
            while True:
                sent = len(self.receipts)
                if sent > confirmed:
                    await socket.round_trip()
                    self.receipts.mark_delivered(sent)
                    confirmed = sent
                    self._on_change()
                else:
                    await self._outbox.changed()
        except SocketClosed:
            return

    async def _watch_log(self, socket: Socket) -> None:
        """Give the session up when the journal fails, even if no further message comes."""
        await self._log.wait_for_failure()
        await socket.close()

    async def _watch(self, socket: Socket) -> None:
        """Close the socket once the service is done, or has had its time."""
        while not self._is_done():
            at, reason = self._deadlines.current()
            with anyio.CancelScope(deadline=at) as scope:
                await self._moved.wait()
            if scope.cancelled_caught and anyio.current_time() >= self._deadlines.current()[0]:
                self._gave_up = reason
                break
        await socket.close()

    def _is_done(self) -> bool:
        """Whether all results have arrived, so that we close the socket (v0)."""
        by_receipts = self.session.dialect.drain is Drain.SETTLED
        return by_receipts and self.close_sent and self.session.is_settled

    def _move(self) -> None:
        self._deadlines.note_phase(close_sent=self.close_sent)
        self._moved.notify()
        self._on_change()

    # --- the end -------------------------------------------------------------------------------

    def _closing_error(self, close_code: int | None) -> Error | None:
        """The error of the service that explains its close.

        An error that ends sessions does. Any other does only if no message followed it, and the
        close code does not mean a normal end.
        """
        error = self.session.last_error
        if error is None:
            return None
        if error.segment is None and find_error(error.code).ends_session:
            return error
        return error if self._error_at == self.messages and close_code != 1000 else None

    def _explain(self, closed: SocketClosed) -> LegEnd:
        session = self.session
        reason, error = EndReason.CONNECTION_LOST, self._closing_error(closed.code)
        if self._gave_up:
            reason, error = self._gave_up, session.last_error
        elif session.state is State.ENDED or self._is_done():
            reason = EndReason.BY_REQUEST if self.close_sent else EndReason.BY_SERVICE
            error = None
        elif closed.code == 1000 and error is None:
            reason = EndReason.BY_SERVICE
        elif closed.code is not None:
            reason = EndReason.REFUSED
        else:
            reason = closed.loss
        return LegEnd(
            reason=reason,
            close_code=closed.code,
            close_reason=closed.reason,
            error=error if reason in {EndReason.REFUSED, EndReason.NOT_READY} else None,
        )
