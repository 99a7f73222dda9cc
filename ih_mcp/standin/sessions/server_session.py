"""What every API session of the stand-in does, whatever the shape of its messages.

Reading, writing, recording, refusing, ending, limits, and the faults a script orders. One task
reads, others tell; whoever ends the session closes the socket and cancels the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Never

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ih_mcp.errors import as_sentence
from ih_mcp.net.socket import SocketClosed
from ih_mcp.standin.credential_store import Grant, RefusedError
from ih_mcp.standin.faults.script import (
    Action,
    At,
    Change,
    CloseWith,
    Refuse,
    Reset,
    Send,
    SplitIntoFrames,
    Stall,
    select_actions,
)
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder, SessionRecord
from ih_mcp.wire import error_catalog as catalog
from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import Error, ServerMessage
from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.session import Session, Side, State

from .client_socket import FAR_ABOVE, ClientSocket
from .legacy import to_legacy

_LAST_WORD_SECONDS = 5.0  # chosen: a client that reads slowly still gets the last message


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What the handshake of one session asked for."""

    dialect: Dialect
    grant: Grant
    model: str | None = None
    """The model in the URL's query (v2)."""
    includes: tuple[str, ...] = ()
    """The sections in the URL's query (v0)."""
    by_subprotocol: bool = False
    """Whether the credential was sent as a subprotocol, as browsers do."""


class ServerSession(ABC):
    """One API session; `run` returns when it is over."""

    def __init__(
        self,
        socket: ClientSocket,
        call: SessionRequest,
        *,
        options: Options,
        record: SessionRecord,
        recorder: Recorder,
    ) -> None:
        self._socket = socket
        self._call = call
        self._options = options
        self._record = record
        self._recorder = recorder
        self._session = Session(call.dialect, Side.SERVER, correlation_id=record.correlation_id)
        self._writing = anyio.Lock()
        self._scope = anyio.CancelScope()
        self._sends_nothing = False
        self._idle_deadline = 0.0

    async def run(self) -> None:
        """Run the session until the client or the stand-in ends it."""
        self._call.grant.sessions += 1
        try:
            with self._scope:
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._limit_age)
                        await self._run_session(tasks)
                except* SocketClosed as gone:
                    self._record_loss(gone)
        finally:
            self._call.grant.sessions -= 1
            self._record.ended("the stand-in stopped", None)

    @abstractmethod
    async def _run_session(self, tasks: TaskGroup) -> None:
        """Open the session, then call `_receive_messages`."""

    @abstractmethod
    async def _on_text(self, text: str) -> None: ...

    @abstractmethod
    async def _on_segment(self, data: bytes) -> None: ...

    async def _receive_messages(self) -> Never:
        self._restart_idle_timer()
        while True:
            message = await self._receive()
            if isinstance(message, str):
                self._record.keep_received(message)
                await self._on_text(message)
            else:
                await self._record.keep_segment(message)
                await self._on_segment(message)

    async def _receive(self) -> str | bytes:
        is_draining = self._session.state is not State.OPEN
        deadline = float("inf") if is_draining else self._idle_deadline
        with anyio.CancelScope(deadline=deadline):
            return await self._socket.receive()
        await self._send_refusal("ih6003")
        raise AssertionError("idleness ends the session")

    async def _is_acceptable(self, data: bytes, number: int) -> bool:
        """Whether a binary message may be analysed; if not, an error has been sent."""
        try:
            self._call.grant.spend(received_bytes=len(data))
        except RefusedError as refused:
            await self._send_refusal(refused.code, refused.message, segment=number)
        if len(data) > self._max_segment_bytes:
            await self._send_error("ih6002", segment=number)
            return False
        return True

    @property
    def _max_segment_bytes(self) -> int:
        return self._options.max_segment_bytes

    # --- what goes out

    async def _send_message(self, message: ServerMessage) -> None:
        async with self._writing:
            if self._session.state is State.ENDED:  # nothing follows the last message
                return
            text = self._session.send(message, timestamp=_now())
            texts = [to_legacy(text) if self._options.has_older_shapes else text]
            for change in select_actions(self._actions_at(At.MESSAGE), Change):
                texts = [changed for text in texts for changed in change.texts(text)]
            for text in texts:
                await self._write(text)

    async def _write(self, text: str) -> None:
        if self._sends_nothing:
            await anyio.sleep_forever()
        await self._recorder.write(text)
        self._record.keep_text(text)
        with anyio.CancelScope(deadline=anyio.current_time() + self._options.max_idle_seconds):
            await self._send(text)
            return
        self._record.forget_last_text()
        await self._drop_connection(
            f"the client read nothing for {self._options.max_idle_seconds:g} s"
        )

    async def _send(self, text: str) -> None:
        try:
            frames = select_actions(self._actions_at(At.MESSAGE), SplitIntoFrames)
            if frames:
                await self._socket.send_frames(text, frames[0].bytes)
            else:
                await self._socket.send_text(text)
        except SocketClosed:
            self._record.forget_last_text()
            raise

    async def _send_error(
        self, code: str, message: str | None = None, *, segment: int | None = None
    ) -> None:
        row = catalog.find_error(code)
        await self._send_message(
            Error(
                code=code,
                message=as_sentence(message or row.meaning),
                link=row.link if row.slug else None,
                segment=segment,
            )
        )

    async def _send_refusal(
        self,
        code: str,
        message: str | None = None,
        *,
        segment: int | None = None,
        close_code: int | None = None,
    ) -> None:
        """Send an error; end the session if the catalog says that this error ends it."""
        await self._send_error(code, message, segment=segment)
        row = catalog.find_error(code)
        if row.ends_session or close_code is not None:
            await self._end(
                close_code or row.close_code or self._options.limit_close_code,
                as_sentence(message or row.meaning),
                f"refused: {code}",
            )

    async def _bill(self, present: Ranges) -> None:
        """Bill media that was analysed and whose messages were sent."""
        before = self._record.billed.seconds
        for item in present:
            self._record.billed.add(item.start_seconds, item.end_seconds)
        grant = self._call.grant
        grant.video_seconds += self._record.billed.seconds - before
        try:
            grant.spend()
        except RefusedError as refused:
            await self._send_refusal(refused.code, refused.message)

    # --- ends

    async def _limit_age(self) -> None:
        caps = [self._options.max_session_seconds, self._call.grant.caps.max_duration_seconds]
        await anyio.sleep(min(cap for cap in caps if cap is not None))
        with anyio.move_on_after(_LAST_WORD_SECONDS):
            await self._send_refusal("ih6004")
        await self._drop_connection("refused: ih6004, which the client did not read")

    async def _end(self, code: int, reason: str, how: str) -> None:
        self._record.ended(how, code)
        with anyio.move_on_after(_LAST_WORD_SECONDS) as waiting:
            await self._socket.close(code, reason)
        if waiting.cancelled_caught:
            await self._socket.abort()
        await self._stop()

    async def _stop(self) -> None:
        self._scope.cancel()
        await anyio.lowlevel.checkpoint()

    def _record_loss(self, gone: BaseExceptionGroup[SocketClosed]) -> None:
        closed: BaseException = gone
        while isinstance(closed, BaseExceptionGroup):
            closed = closed.exceptions[0]
        assert isinstance(closed, SocketClosed)
        if closed.reason == FAR_ABOVE:
            self._record.ended(f"reset: {FAR_ABOVE}", None)
            return
        how = "client went away" if closed.code is None else "client closed"
        self._record.ended(how, closed.code)

    def _restart_idle_timer(self) -> None:
        """Start the idle timeout again; only media does so (chosen; not published)."""
        self._idle_deadline = anyio.current_time() + self._options.max_idle_seconds

    # --- faults by order

    def _actions_at(self, at: At, n: int | None = None) -> list[Action]:
        return self._options.script.actions(at, n=n, session=self._record.number)

    async def _run_actions(self, at: At, n: int | None = None) -> bool:
        """Do what the script orders here; returns whether that replaces the normal answer."""
        actions = self._actions_at(at, n)
        for action in actions:
            await self._run_action(action, n)
        return bool(select_actions(actions, Refuse))

    async def _drop_connection(self, how: str) -> None:
        """Drop the connection without a close frame."""
        self._record.ended(how, None)
        await self._socket.abort()
        await self._stop()

    async def _run_action(self, action: Action, n: int | None) -> None:
        match action:
            case Send(text, times):
                async with self._writing:
                    for _ in range(times):
                        await self._write(text)
            case Refuse(code, close_code):
                await self._send_refusal(code, close_code=close_code, segment=n)
            case CloseWith(code, reason):
                await self._end(code, reason, "closed by script")
            case Reset():
                await self._drop_connection("reset by script")
            case Stall("reading"):
                await anyio.sleep_forever()
            case Stall():
                self._sends_nothing = True
            case _:
                pass


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
