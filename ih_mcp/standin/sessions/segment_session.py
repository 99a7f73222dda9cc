"""The server side of a v0 session: each binary message is a file of its own.

Per segment `processing` at receipt, then `result` and `completed`, or `error` alone. Nothing is
said before the first segment, and the client ends the session. docs: v0 video-stream quickstart,
stream-analyze (late v0).
"""

from __future__ import annotations

from contextlib import suppress

import anyio
from anyio.abc import ObjectReceiveStream, TaskGroup

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container import is_headed
from ih_mcp.standin.analysis.analyst import AnalystError
from ih_mcp.standin.analysis.codecs import shorten_complaint
from ih_mcp.standin.analysis.media_timeline import OpenDecoder, too_short_error
from ih_mcp.standin.analysis.quality import Quality
from ih_mcp.standin.analysis.windows import WindowGrid
from ih_mcp.standin.credential_store import RefusedError
from ih_mcp.standin.faults.script import At
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder, SessionRecord
from ih_mcp.standin.uploads.files import FileAnalysis, MediaFiles, analyse_file, temporary_file
from ih_mcp.standin.uploads.results import make_v0_segment
from ih_mcp.wire.messages import Completed, Processing, Reading
from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.rest import STREAM_SCOPE

from .client_socket import ClientSocket
from .server_session import ServerSession, SessionRequest

_ONE_WINDOW_SECONDS = 1e9
_WAITING_SEGMENTS = 1
_SLACK_SECONDS = 0.1
"""chosen, lenient: a browser's first timeslice of 3 s holds 2.96 s, and vendor pages send
such; docs of late v0 say at least 3 s, and strict keeps to that."""
_NO_TEXT = "This endpoint takes binary messages only."


class SegmentSession(ServerSession):
    """One v0 session."""

    def __init__(
        self,
        socket: ClientSocket,
        call: SessionRequest,
        *,
        options: Options,
        record: SessionRecord,
        recorder: Recorder,
        open_decoder: OpenDecoder,
        files: MediaFiles,
    ) -> None:
        super().__init__(socket, call, options=options, record=record, recorder=recorder)
        self._open_decoder = open_decoder
        self._files = files
        self._quality = Quality()
        self._base_seconds = 0.0

    async def _run_session(self, tasks: TaskGroup) -> None:
        await self._run_actions(At.OPEN)
        try:
            self._call.grant.allow(STREAM_SCOPE)
            self._call.grant.spend()
        except RefusedError as refused:
            await self._send_refusal(refused.code, refused.message)
        send, receive = anyio.create_memory_object_stream[tuple[int, bytes]](_WAITING_SEGMENTS)
        async with send:
            self._waiting = send
            tasks.start_soon(self._analyse_all, receive)
            await self._receive_messages()

    @property
    def _max_segment_bytes(self) -> int:
        """Early v0 said 20 MB, late v0 32 MB: strict, the stricter."""
        stricter = self._call.dialect.limits.max_segment_bytes
        return stricter if self._options.strict else self._options.max_segment_bytes

    async def _on_text(self, text: str) -> None:
        del text  # no text is documented; whatever it is, it is answered the same
        await self._send_error("ih6001", _NO_TEXT)

    async def _on_segment(self, data: bytes) -> None:
        number = self._session.receive_segment()
        if await self._run_actions(At.SEGMENT, n=number) or not await self._is_acceptable(
            data, number
        ):
            return
        await self._send_message(Processing(number, len(data)))
        with suppress(anyio.BrokenResourceError):  # the session is cut off: nobody looks at it
            await self._waiting.send((number, data))
        self._restart_idle_timer()

    async def _send_error(
        self, code: str, message: str | None = None, *, segment: int | None = None
    ) -> None:
        """Every v0 error names a segment: the last one, where it is about none in particular."""
        number = self._session.segments if segment is None else segment
        await super()._send_error(code, message, segment=number)

    async def _analyse_all(self, waiting: ObjectReceiveStream[tuple[int, bytes]]) -> None:
        async with waiting:
            async for number, data in waiting:
                try:
                    seen = await self._analyse(data)
                except MediaError as exc:
                    await self._send_error(exc.code, exc.what, segment=number)
                except AnalystError:
                    await self._send_error("ih1001", segment=number)
                else:
                    await self._report(number, seen)

    async def _analyse(self, data: bytes) -> FileAnalysis:
        """Raises `MediaError` with the id that answers it."""
        if not is_headed(data):
            raise MediaError("the segment begins without a container header", code="ih5004")
        grid = WindowGrid(window_seconds=_ONE_WINDOW_SECONDS, hop_seconds=_ONE_WINDOW_SECONDS)
        try:
            async with temporary_file(data) as path, self._files.chunks(path) as chunks:
                seen = await analyse_file(
                    chunks,
                    grid=grid,
                    make_analyst=self._options.analyst,
                    open_decoder=self._open_decoder,
                )
        except MediaError as exc:
            raise MediaError(shorten_complaint(exc.what), code="ih5004") from exc
        slack_seconds = 0.0 if self._options.strict else _SLACK_SECONDS
        if seen.duration_seconds < self._options.min_window_seconds - slack_seconds:
            raise too_short_error("segment", seen.duration_seconds)
        return seen

    async def _report(self, number: int, seen: FileAnalysis) -> None:
        await self._run_actions(At.WINDOW, n=number)
        for window, observations in seen.windows:
            self._record.keep_seen(window, observations)
        fields = make_v0_segment(
            seen,
            quality=self._quality,
            include=self._call.includes,
            base_seconds=0.0 if self._options.has_segment_times else self._base_seconds,
            signals=self._call.dialect.signals,
        )
        await self._send_message(Reading("result", {"segment": number, **fields}))
        await self._send_message(Completed(number))
        end = self._base_seconds + seen.duration_seconds
        billed = Ranges()
        billed.add(self._base_seconds, end)
        self._base_seconds = end
        await self._bill(billed)
