"""The server side of one API session with envelopes (v1, v2; `realtime_session` builds on it)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from ih_mcp.errors import MediaError, RemoteProtocolError
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.media_timeline import OpenDecoder
from ih_mcp.standin.analysis.message_builder import MessageBuilder
from ih_mcp.standin.credential_store import RefusedError
from ih_mcp.standin.faults.script import At, ShedWindow, select_actions
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder, SessionRecord
from ih_mcp.wire import error_catalog as catalog
from ih_mcp.wire.messages import (
    Close,
    Closing,
    Config,
    Configure,
    Ended,
    Error,
    Ready,
    Transcript,
    Updated,
)

from .client_socket import ClientSocket
from .server_session import ServerSession, SessionRequest
from .session_analysis import AnalysedWindow, SessionAnalysis, run_analysis
from .setup import SessionSetup

END_REASON = "client_shutdown"  # sdk 1.3.4; skill v2
_HIDDEN = {"ih4005", "ih1003"}  # skill v2: a browser sees a failed connection or 1006, no more
_LATE_MEDIA = "Media after session.close is not accepted."


class EnvelopeSession(ServerSession):
    """A session with a greeting, a configuration, one media timeline and a drain.

    Args:
        open_decoder: Makes a decoder for the media format that the analyst asks for.
    """

    def __init__(
        self,
        socket: ClientSocket,
        call: SessionRequest,
        *,
        options: Options,
        record: SessionRecord,
        recorder: Recorder,
        open_decoder: OpenDecoder,
    ) -> None:
        super().__init__(socket, call, options=options, record=record, recorder=recorder)
        self._open_decoder = open_decoder
        self._setup = self._first_setup()
        self._builder = self._make_builder()
        self._has_sent_late_media_error = False
        self._has_sent_missing_track = False
        self._has_media = False
        self._sending = anyio.CancelScope()
        self._all_sent = anyio.Event()

    async def _run_session(self, tasks: TaskGroup) -> None:
        await self._run_actions(At.OPEN)
        await self._admit()
        await self._greet()
        await self._run_actions(At.READY)
        async with (
            run_analysis(
                options=self._options,
                open_decoder=self._open_decoder,
                sheds=self._sheds,
                work=self._record.work,
            ) as analysis,
            anyio.create_task_group() as sending,
        ):
            self._analysis: SessionAnalysis = analysis
            self._analysis.timeline.hears_only = self._setup.hears_only
            self._tasks: TaskGroup = tasks
            sending.start_soon(self._send_windows)
            await self._receive_messages()

    # --- what kind of session it is

    def _first_setup(self) -> SessionSetup:
        options = self._options
        return SessionSetup(
            dialect=self._call.dialect, served=options.models, has_feedback=options.has_feedback
        )

    def _make_builder(self) -> MessageBuilder:
        least = self._options.min_window_seconds
        return MessageBuilder(self._call.dialect, min_window_seconds=least)

    def _config(self) -> Config:
        """The configuration that applies to the messages of the next window."""
        return self._setup.config

    # --- opening

    async def _admit(self) -> None:
        """Refuse a client after the handshake, before any greeting (skill v2)."""
        try:
            self._call.grant.allow(self._call.dialect.scope)
            self._call.grant.spend()
            self._setup = self._setup.with_model(self._call.model)
            if self._call.grant.lacks_backend and self._call.dialect.models:
                raise RefusedError("ih1003")
        except RefusedError as refused:
            if self._call.by_subprotocol and refused.code in _HIDDEN:
                await self._drop_connection(f"refused unseen: {refused.code}")
            await self._send_refusal(refused.code, refused.message)

    async def _greet(self) -> None:
        options, dialect = self._options, self._call.dialect
        limits = replace(
            dialect.limits,
            min_segment_bytes=options.min_segment_bytes,
            max_segment_bytes=options.max_segment_bytes,
            min_segment_seconds=None,  # sdk 1.3.4 and skill v2 name none, nor did v1 (seen)
            max_idle_seconds=options.max_idle_seconds,
            max_session_seconds=options.max_session_seconds,
        )
        await self._send_message(
            Ready(
                limits=limits,
                includes=dialect.includes,
                goal_dimensions=dialect.goal_dimensions if options.has_feedback else None,
                models=options.models if dialect.models else None,
            )
        )

    # --- what comes in

    async def _on_text(self, text: str) -> None:
        try:
            message = self._session.receive(text if self._options.strict else _unwrap(text))
        except RemoteProtocolError as exc:
            code = exc.code if exc.code in catalog.CATALOG else "ih6001"
            await self._send_error(code, exc.what)
            return
        match message:
            case Configure(config):
                await self._configure(config)
            case Transcript(segments):
                self._receive_transcript(segments)
            case Close():
                await self._send_message(Closing(self._options.max_drain_seconds))
                await self._run_actions(At.CLOSING)
                self._tasks.start_soon(self._drain)
            case _:
                raise AssertionError(message)

    def _receive_transcript(self, segments: Sequence[Mapping[str, object]]) -> None:
        """Overridden by the dialect that has transcripts; the codec refuses them elsewhere."""
        raise AssertionError(segments)

    async def _configure(self, asked: Config) -> None:
        if not self._call.grant.may_use(asked.model):
            await self._send_error("ih2003")  # sdk 1.3.4: the session goes on with its model
            return
        try:
            self._setup = self._setup.with_config(asked, has_media=self._has_media)
        except RefusedError as refused:
            await self._send_refusal(refused.code, refused.message)
            return
        self._analysis.timeline.hears_only = self._setup.hears_only
        await self._send_message(Updated(self._setup.acknowledged))

    async def _on_segment(self, data: bytes) -> None:
        try:
            number = self._session.receive_segment()
        except RemoteProtocolError:
            await self._send_late_media_error()
            return
        if await self._run_actions(At.SEGMENT, n=number) or not await self._is_acceptable(
            data, number
        ):
            return
        if len(data) >= self._options.min_segment_bytes:
            try:
                await self._feed(data, number)
            except MediaError as exc:
                await self._send_media_error(exc)
        self._restart_idle_timer()

    async def _feed(self, data: bytes, number: int) -> None:
        self._has_media = True
        if self._setup.pcm_hertz is None:
            await self._analysis.timeline.feed(data, segment=number)
        else:
            await self._analysis.timeline.feed_pcm(data, hertz=self._setup.pcm_hertz)

    async def _send_media_error(self, exc: MediaError) -> None:
        segment = exc.facts.get("segment")
        await self._send_error(
            exc.code, exc.what, segment=segment if isinstance(segment, int) else None
        )

    async def _send_late_media_error(self) -> None:
        """One error is enough; how the service refuses is not published (chosen)."""
        if not self._has_sent_late_media_error:
            self._has_sent_late_media_error = True
            await self._send_error("ih6001", _LATE_MEDIA, segment=self._session.segments)

    # --- windows

    async def _send_windows(self) -> None:
        """Send the messages of the windows in order, until the last; `_drain` may end it."""
        with self._sending:
            async for analysed in self._analysis.windows():
                await self._begin_window(analysed.window.index + 1)
                match analysed.result:
                    case Observations():
                        await self._send_observations(analysed, analysed.result)
                    case Error():
                        await self._send_message(analysed.result)
                    case None:  # it was shed
                        pass
        self._all_sent.set()

    async def _send_observations(
        self, analysed: AnalysedWindow, observations: Observations
    ) -> None:
        self._record.keep_seen(analysed.window, observations)
        messages = self._builder.window(
            analysed.window,
            observations,
            present=analysed.present,
            degraded=analysed.degraded,
            config=self._config(),
            published=self._setup.signals,
        )
        for message in messages:
            await self._send_message(message)
        await self._bill(analysed.present)

    async def _begin_window(self, number: int) -> None:
        if (code := self._missing_track()) is not None and not self._has_sent_missing_track:
            self._has_sent_missing_track = True
            await self._send_error(code)
        await self._run_actions(At.WINDOW, n=number)

    def _sheds(self, number: int) -> bool:
        by_order = select_actions(self._actions_at(At.WINDOW, n=number), ShedWindow)
        return bool(by_order) or self._missing_track() is not None

    def _missing_track(self) -> str | None:
        """skill v2: `inter-2` needs picture and sound; older pages do not say so."""  # noqa: D403
        timeline = self._analysis.timeline
        if not (self._options.strict and self._call.dialect.needs_audio):
            return None
        if timeline.sounds.end_seconds is None:
            return "ih5008"
        if timeline.pictures.end_seconds is None and not self._setup.hears_only:
            return "ih5001"
        return None

    # --- the end

    async def _drain(self) -> None:
        with anyio.move_on_after(self._options.max_drain_seconds):
            complaint = await self._analysis.finish()
            await self._all_sent.wait()
            if complaint is not None:
                await self._send_media_error(complaint)
        self._sending.cancel()
        end_seconds = self._analysis.timeline.end_seconds
        for message in self._builder.finish(end_seconds, config=self._config()):
            await self._send_message(message)
        self._record.dropped = self._builder.dropped
        await self._run_actions(At.DRAIN)
        await self._send_message(Ended(END_REASON))
        await self._end(1000, "", "session.ended")


def _unwrap(text: str) -> str:
    """The message without its type: the launch blog alone sends `"session.configure"`."""
    try:
        frame: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(frame, dict) and frame.get("type") == "session.configure":
        return json.dumps({name: value for name, value in frame.items() if name != "type"})
    return text
