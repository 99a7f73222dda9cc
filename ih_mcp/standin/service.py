"""The server side of one API session with envelopes (v1, v2).

Greeting, configuration, numbered media, errors, limits, drain: what the session machine of
`ih_mcp.wire` leaves to its owner. One task reads, one tells windows; whoever ends the session
closes the socket and cancels the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from ih_mcp.errors import MediaError, RemoteProtocolError
from ih_mcp.net.socket import SocketClosed
from ih_mcp.wire import catalog
from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import (
    Close,
    Closing,
    Config,
    Configure,
    Ended,
    Error,
    Ready,
    ServerMessage,
    Updated,
)
from ih_mcp.wire.session import Session, Side, State

from .analysis import Analysis, Hooks, analysing
from .coverage import Ranges
from .credentials import STREAM, Grant, RefusedError
from .line import OpenDecoder
from .options import Options
from .peer import Peer
from .recorder import Recorder, SessionRecord
from .script import Act, At, Change, CloseWith, Refuse, Reset, Send, Shed, Stall, only
from .setup import Setup

END_REASON = "client_shutdown"  # sdk 1.3.4; skill v2
_LATE_MEDIA = "Media after session.close is not accepted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one handshake asked for."""

    dialect: Dialect
    grant: Grant
    model: str | None = None
    """Of the URL's query (v2)."""
    includes: tuple[str, ...] = ()
    """Of the URL's query (v0)."""


class Service:
    """One API session; `run` returns when it is over.

    Args:
        open_decoder: Makes a decoder for the senses of the analyst.
    """

    def __init__(
        self,
        peer: Peer,
        call: Call,
        *,
        options: Options,
        open_decoder: OpenDecoder,
        record: SessionRecord,
        recorder: Recorder,
    ) -> None:
        self._peer = peer
        self._call = call
        self._options = options
        self._open_decoder = open_decoder
        self._record = record
        self._recorder = recorder
        self._session = Session(call.dialect, Side.SERVER, correlation_id=record.correlation_id)
        self._setup = Setup(
            dialect=call.dialect, served=options.models, has_feedback=options.has_feedback
        )
        self._writing = anyio.Lock()
        self._scope = anyio.CancelScope()
        self._is_mute = False
        self._is_late_media_told = False
        self._has_media = False
        self._idle_deadline = 0.0

    async def run(self) -> None:
        """Hold the session until either end is done with it."""
        hooks = Hooks(
            tell=self._tell,
            config=lambda: self._setup.config,
            begin_window=self._begin_window,
            sheds=self._sheds,
            deliver=self._deliver,
        )
        self._call.grant.sessions += 1
        try:
            with self._scope:
                try:
                    await self._hold(hooks)
                except* SocketClosed as gone:
                    self._note_gone(gone)
        finally:
            self._call.grant.sessions -= 1
            self._record.ended("the stand-in stopped", None)

    async def _hold(self, hooks: Hooks) -> None:
        async with (
            analysing(
                dialect=self._call.dialect,
                options=self._options,
                open_decoder=self._open_decoder,
                hooks=hooks,
            ) as analysis,
            anyio.create_task_group() as tasks,
        ):
            self._analysis: Analysis = analysis
            self._tasks: TaskGroup = tasks
            tasks.start_soon(self._grow_old)
            await self._converse()

    async def _converse(self) -> None:
        await self._act(At.OPEN)
        await self._admit()
        await self._greet()
        await self._act(At.READY)
        self._stay_awake()
        while True:
            message = await self._receive()
            if isinstance(message, str):
                await self._on_text(message)
            else:
                await self._on_segment(message)

    # --- opening

    async def _admit(self) -> None:
        """Refusals a client meets after the handshake, before any greeting (skill v2)."""
        try:
            self._call.grant.allow(STREAM)
            self._setup = self._setup.opened(self._call.model)
            if self._call.grant.lacks_backend and self._call.dialect.models:
                raise RefusedError("ih1003")
        except RefusedError as refused:
            await self._refuse(refused.code, refused.message)

    async def _greet(self) -> None:
        options, dialect = self._options, self._call.dialect
        limits = replace(
            dialect.limits,
            min_segment_bytes=options.min_segment_bytes,
            max_segment_bytes=options.max_segment_bytes,
            min_segment_seconds=None,  # sdk 1.3.4 and skill v2 name none
            max_idle_seconds=options.max_idle_seconds,
            max_session_seconds=options.max_session_seconds,
        )
        await self._tell(
            Ready(
                limits=limits,
                includes=dialect.includes,
                goal_dimensions=dialect.goal_dimensions if options.has_feedback else None,
                models=options.models if dialect.models else None,
            )
        )

    # --- what comes in

    async def _receive(self) -> str | bytes:
        is_draining = self._session.state is not State.OPEN
        deadline = float("inf") if is_draining else self._idle_deadline
        with anyio.CancelScope(deadline=deadline):
            return await self._peer.receive()
        await self._refuse("ih6003")
        raise AssertionError("refusing for idleness ends the session")

    async def _on_text(self, text: str) -> None:
        self._record.received.append(text)
        try:
            message = self._session.receive(text if self._options.strict else _bare(text))
        except RemoteProtocolError as exc:
            code = exc.code if exc.code in catalog.CATALOG else "ih6001"
            await self._complain(code, f"{exc.what}.")
            return
        match message:
            case Configure(config):
                await self._configure(config)
            case Close():
                await self._tell(Closing(self._options.max_drain_seconds))
                await self._act(At.CLOSING)
                self._tasks.start_soon(self._drain)
            case _:
                raise AssertionError(message)

    async def _configure(self, asked: Config) -> None:
        if not self._call.grant.may_use(asked.model):
            await self._complain("ih2003")  # sdk 1.3.4: the session goes on with its model
            return
        try:
            self._setup = self._setup.changed(asked, has_media=self._has_media)
        except RefusedError as refused:
            await self._refuse(refused.code, refused.message)
            return
        self._analysis.line.hears_only = self._setup.hears_only
        await self._tell(Updated(self._setup.config))

    async def _on_segment(self, data: bytes) -> None:
        self._record.keep_segment(data)
        try:
            number = self._session.receive_segment()
        except RemoteProtocolError:
            await self._complain_of_late_media()
            return
        if await self._act(At.SEGMENT, n=number) or not await self._is_acceptable(data, number):
            return
        try:
            await self._feed(data, number)
        except MediaError as exc:
            segment = exc.facts.get("segment")
            await self._complain(
                exc.code, f"{exc.what}.", segment=segment if isinstance(segment, int) else None
            )
        self._stay_awake()

    async def _is_acceptable(self, data: bytes, number: int) -> bool:
        try:
            self._call.grant.spend(received_bytes=len(data))
        except RefusedError as refused:
            await self._refuse(refused.code, refused.message, segment=number)
        if len(data) > self._options.max_segment_bytes:
            await self._complain("ih6002", segment=number)
            return False
        return len(data) >= self._options.min_segment_bytes

    async def _feed(self, data: bytes, number: int) -> None:
        self._has_media = True
        if self._setup.pcm_hertz is None:
            await self._analysis.line.feed(data, segment=number)
        else:
            await self._analysis.line.feed_pcm(data, hertz=self._setup.pcm_hertz)

    async def _complain_of_late_media(self) -> None:
        """One error is enough; how the service refuses is not published (chosen)."""
        if not self._is_late_media_told:
            self._is_late_media_told = True
            await self._complain("ih6001", _LATE_MEDIA, segment=self._session.segments)

    # --- what goes out

    async def _tell(self, message: ServerMessage) -> None:
        async with self._writing:
            text = self._session.send(message, timestamp=_now())
            texts = [text]
            for change in only(self._acts(At.MESSAGE), Change):
                texts = [changed for text in texts for changed in change.texts(text)]
            for changed in texts:
                await self._write(changed)

    async def _write(self, text: str) -> None:
        if self._is_mute:
            await anyio.sleep_forever()
        await self._recorder.write(text)
        self._record.keep_text(text)
        try:
            await self._peer.send_text(text)
        except SocketClosed:
            self._record.did_not_leave()
            raise

    async def _complain(
        self, code: str, message: str | None = None, *, segment: int | None = None
    ) -> None:
        row = catalog.row(code)
        await self._tell(
            Error(
                code=code,
                message=_sentence(message or row.meaning),
                link=row.link if row.slug else None,
                segment=segment,
            )
        )

    async def _refuse(
        self,
        code: str,
        message: str | None = None,
        *,
        segment: int | None = None,
        close_code: int | None = None,
    ) -> None:
        """Complain; end the session where the catalog says it is over."""
        await self._complain(code, message, segment=segment)
        row = catalog.row(code)
        if row.ends_session or close_code is not None:
            await self._end(
                close_code or row.close_code or self._options.limit_close_code,
                _sentence(message or row.meaning),
                f"refused: {code}",
            )

    # --- windows

    async def _begin_window(self, number: int) -> None:
        await self._act(At.WINDOW, n=number)

    def _sheds(self, number: int) -> bool:
        return bool(only(self._acts(At.WINDOW, n=number), Shed))

    async def _deliver(self, present: Ranges) -> None:
        before = self._record.billed.seconds
        for item in present:
            self._record.billed.add(item.start_seconds, item.end_seconds)
        grant = self._call.grant
        grant.video_seconds += self._record.billed.seconds - before
        try:
            grant.spend()
        except RefusedError as refused:
            await self._refuse(refused.code, refused.message)

    # --- ends

    async def _drain(self) -> None:
        with anyio.move_on_after(self._options.max_drain_seconds):
            try:
                await self._analysis.finish()
            except MediaError as exc:
                await self._complain(exc.code, f"{exc.what}.")
        self._analysis.stop_telling()
        self._record.dropped = await self._analysis.last_words()
        await self._act(At.DRAIN)
        await self._tell(Ended(END_REASON))
        await self._end(1000, "", "session.ended")

    async def _grow_old(self) -> None:
        caps = [self._options.max_session_seconds, self._call.grant.caps.max_duration_seconds]
        await anyio.sleep(min(cap for cap in caps if cap is not None))
        await self._refuse("ih6004")

    async def _end(self, code: int, reason: str, how: str) -> None:
        self._record.ended(how, code)
        await self._peer.close(code, reason)
        await self._stop()

    async def _stop(self) -> None:
        self._scope.cancel()
        await anyio.lowlevel.checkpoint()

    def _note_gone(self, gone: BaseExceptionGroup[SocketClosed]) -> None:
        closed = gone.exceptions[0]
        while isinstance(closed, BaseExceptionGroup):
            closed = closed.exceptions[0]
        how = "client went away" if closed.code is None else "client closed"
        self._record.ended(how, closed.code)

    # --- faults by order

    def _acts(self, at: At, n: int | None = None) -> list[Act]:
        return self._options.script.acts(at, n=n, session=self._record.number)

    async def _act(self, at: At, n: int | None = None) -> bool:
        """Do what the script says here; whether it stands in for what would happen."""
        stands_in = False
        for act in self._acts(at, n):
            match act:
                case Send(text, times):
                    async with self._writing:
                        for _ in range(times):
                            await self._write(text)
                case Refuse(code, close_code):
                    await self._refuse(code, close_code=close_code, segment=n)
                    stands_in = True
                case CloseWith(code, reason):
                    await self._end(code, reason, "closed by script")
                case Reset():
                    self._record.ended("reset by script", None)
                    await self._peer.abort()
                    await self._stop()
                case Stall("reading"):
                    await anyio.sleep_forever()
                case Stall():
                    self._is_mute = True
                case _:
                    pass
        return stands_in

    def _stay_awake(self) -> None:
        """Only media counts against idling (chosen; not published)."""
        self._idle_deadline = anyio.current_time() + self._options.max_idle_seconds


def _bare(text: str) -> str:
    """The blog wraps a configuration in `{"type": "session.configure"}`; nothing else does."""
    try:
        frame: object = json.loads(text)
    except ValueError:
        return text
    if isinstance(frame, dict) and frame.get("type") == "session.configure":
        return json.dumps({name: value for name, value in frame.items() if name != "type"})
    return text


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
