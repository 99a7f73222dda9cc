"""Finds streams by id: those of this process, and those that the journal keeps."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from ih_mcp.errors import (
    CallerError,
    JournalError,
    StreamEndedError,
    UnknownStreamError,
)
from ih_mcp.journal import Journal, StreamAccount, StreamRow
from ih_mcp.net.socket import Opener
from ih_mcp.wire.minutes import MediaUse

from .config import StreamConfig
from .deadlines import SessionTimeouts
from .facts import Feeder, StreamState
from .ids import IdKind
from .kept_status import kept_status
from .outbox import DEFAULT_MAX_BYTES, QueueBudget
from .status import StreamStatus
from .stream import Stream

DEFAULT_MAX_STREAMS = 16
_USE_SECONDS = 5.0
_LIMITS = {"minutes_used_up", "bytes_used_up"}
"""Reasons of an end that the refusal of more segments repeats."""

Feed = Callable[[Stream], Coroutine[object, object, None]]
"""Sends media into a stream while the stream runs."""

_LOG = logging.getLogger("ih_mcp.streams")


class Registry:
    """All streams a caller can name. Use `open_registry`."""

    def __init__(
        self,
        journal: Journal,
        tasks: TaskGroup,
        *,
        max_streams: int,
        max_outbox_bytes: int,
        max_queued_bytes: int,
    ) -> None:
        self._journal = journal
        self._tasks = tasks
        self._max_streams = max_streams
        self._max_outbox_bytes = max_outbox_bytes
        self._queued = QueueBudget(max_queued_bytes)
        self._streams: dict[str, Stream] = {}
        self._starting = 0
        self._is_closing = False

    async def start(
        self,
        plan: StreamConfig,
        opener: Opener,
        *,
        timeouts: SessionTimeouts | None = None,
        feed: Feed | None = None,
    ) -> Stream:
        """Open a stream; it runs in the background until it ends.

        Args:
            feed: Runs beside it, until it is done or the stream is over.

        Raises:
            CallerError: There are as many streams as may be.
            UsedUpError: It would exceed a limit of all processes together.
            JournalError: The journal cannot store it.
        """
        if len(self._streams) + self._starting >= self._max_streams or self._is_closing:
            raise CallerError(
                f"{len(self._streams)} streams are open, which is the most",
                code="too_many_streams",
                help="End one with end_stream, or raise IH_MCP_MAX_STREAMS.",
                facts={"live": self.live_ids},
            )
        stream_id = IdKind.STREAM.make_id()
        self._starting += 1
        try:
            log = await self._journal.begin(
                stream_id,
                {"state": "connecting"},
                budget=plan.budget,
                planned_seconds=plan.source_seconds or 0.0,
            )
        finally:
            self._starting -= 1
        account = self._journal.account(stream_id, plan.budget)
        stream = Stream(
            stream_id,
            plan,
            log=log,
            opener=opener,
            timeouts=timeouts,
            max_outbox_bytes=self._max_outbox_bytes,
            queued=self._queued,
            account=account,
        )
        self._streams[stream_id] = stream
        self._tasks.start_soon(self._carry, stream, account, feed)
        return stream

    async def _carry(self, stream: Stream, account: StreamAccount, feed: Feed | None) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                if feed:
                    tasks.start_soon(feed, stream)
                tasks.start_soon(self._keep_record, stream)
                tasks.start_soon(self._keep_use, stream, account)
                await stream.run()
                tasks.cancel_scope.cancel()
        except Exception:  # noqa: BLE001 - a mistake of ours in one stream must not stop others
            _LOG.exception("stream %s broke", stream.id)
        finally:
            self._journal.release(stream.log)
            self._streams.pop(stream.id, None)

    async def _keep_record(self, stream: Stream) -> None:
        """Store the status whenever the state changes, so that a later process can read it."""
        while not stream.is_over:
            state = stream.state
            try:
                await stream.log.write_record(stream.status().to_json())
            except JournalError as exc:
                stream.fail(exc)
                return
            await stream.until(partial(_has_left, stream, state))

    async def _keep_use(self, stream: Stream, account: StreamAccount) -> None:
        """Store every few seconds how much was analysed, for other processes, and after a kill."""
        reached = 0.0
        while not stream.is_over:
            await stream.until(partial(_is_analysed_beyond, stream, reached))
            reached = stream.answered_seconds
            try:
                await account.settle(stream.use, ended=False)
            except JournalError as exc:
                stream.fail(exc)
                return
            await anyio.sleep(_USE_SECONDS)

    @property
    def live_ids(self) -> list[str]:
        """Of the streams that run in this process, the oldest first."""
        return list(self._streams)

    @property
    def live_streams(self) -> list[Stream]:
        """The streams that run in this process."""
        return list(self._streams.values())

    def live(self, stream_id: str) -> Stream:
        """A stream that runs in this process.

        Raises:
            UnknownStreamError: No such stream runs here; the error names those that do.
        """
        try:
            return self._streams[stream_id]
        except KeyError:
            raise self._unknown(stream_id) from None

    async def require_live(self, stream_id: str) -> Stream:
        """Like `live`, with another error for an ended stream and for one of another process.

        Raises:
            StreamEndedError: The stream is over.
            CallerError: Another process carries it (`elsewhere`).
            UnknownStreamError: There is no such stream.
        """
        if stream_id in self._streams:
            return self._streams[stream_id]
        kept = await self.require_over(stream_id)
        facts = {"stream_id": stream_id, "state": kept.state}
        if kept.reason in _LIMITS and kept.error:
            raise StreamEndedError(
                f"stream {stream_id} is over: {kept.error.get('what')}",
                help=str(kept.error.get("help")),
                code=kept.reason,
                facts=facts,
            )
        raise StreamEndedError(
            f"stream {stream_id} is over ({kept.state})",
            help="Read its messages with poll_events; to send more, start a new stream.",
            facts=facts,
        )

    async def require_over(self, stream_id: str) -> StreamStatus:
        """The status of a stream that is not of this process any more.

        Raises:
            CallerError: Another process has it, and it goes on there (`elsewhere`).
            UnknownStreamError: There is no such stream.
        """
        row = await self._row(stream_id)
        if process := self._journal.process_writing(row):
            status = self._kept_status(row)
            raise CallerError(
                f"stream {stream_id} is open in {process}; it goes on there, and only there can "
                "it be fed, configured or ended",
                code="elsewhere",
                help="Call this in the client that started the stream; poll_events and "
                "list_streams read it from here. Where that client is gone for good, end "
                f"{process}: the stream is then over.",
                facts={"stream_id": stream_id, "state": status.state, "process": status.process},
            )
        return self._kept_status(row)

    async def status(self, stream_id: str) -> StreamStatus:
        """The status of a stream, of this or another process.

        Raises:
            UnknownStreamError: There is no such stream; the error names the live ones.
        """
        if stream := self._streams.get(stream_id):
            return live_status(stream)
        row = await self._row(stream_id)
        use = await self._journal.read_usage(lambda table: table.find_use(stream_id))
        return self._kept_status(row, use)

    async def statuses(self, *, newest: int) -> dict[str, StreamStatus]:
        """The status of the newest streams and of all that run here, by id, the newest first."""
        live = dict(self._streams)  # what is read of one that ends meanwhile may be older
        rows = await self._journal.list_streams(IdKind.STREAM, newest=newest)
        uses = await self._journal.read_usage(lambda table: table.find_uses(row.id for row in rows))
        known = await to_thread.run_sync(self._kept_statuses, rows[::-1], uses)
        live |= self._streams
        return known | {stream_id: live_status(stream) for stream_id, stream in live.items()}

    def _kept_statuses(
        self, rows: Sequence[StreamRow], uses: Mapping[str, MediaUse]
    ) -> dict[str, StreamStatus]:
        return {row.id: self._kept_status(row, uses.get(row.id)) for row in rows}

    async def _row(self, stream_id: str) -> StreamRow:
        try:
            return await self._journal.find_stream(stream_id)
        except UnknownStreamError:
            raise self._unknown(stream_id) from None

    def _kept_status(self, row: StreamRow, use: MediaUse | None = None) -> StreamStatus:
        """The status that the journal has; it names the process that goes on with the stream."""
        process = self._journal.process_writing(row)
        return replace(
            kept_status(row, use),
            last_cursor=row.last,
            process={"pid": process.pid, "host": process.host} if process else None,
        )

    async def wait_until_ended(self) -> None:
        """Wait until all streams that are live now have ended."""
        for stream in list(self._streams.values()):
            await stream.until(lambda: False)

    async def close(self, seconds: float) -> None:
        """End every stream in order as far as the time allows; cancel the others."""
        self._is_closing = True
        with anyio.move_on_after(seconds, shield=True):
            for stream in list(self._streams.values()):
                stream.request_end()
            await self.wait_until_ended()
        self._tasks.cancel_scope.cancel()

    def _unknown(self, stream_id: str) -> UnknownStreamError:
        live = self.live_ids
        named = f"Live streams: {', '.join(live)}." if live else "No stream is live."
        return UnknownStreamError(
            f"there is no stream {stream_id}",
            help=f"{named} list_streams names those that are kept, too.",
            facts={"stream_id": stream_id, "live": live},
        )


def live_status(stream: Stream) -> StreamStatus:
    """The status of a stream of this process."""
    is_open = not (stream.is_over or stream.end_requested)
    takes_pushes = stream.feeder in {None, Feeder.PUSH} and is_open
    next_seq = stream.next_seq if takes_pushes else None
    return replace(stream.status(), last_cursor=stream.log.last, next_seq=next_seq)


def _has_left(stream: Stream, state: StreamState) -> bool:
    return stream.state is not state


def _is_analysed_beyond(stream: Stream, seconds: float) -> bool:
    return stream.answered_seconds > seconds


@asynccontextmanager
async def open_registry(
    journal: Journal,
    *,
    max_streams: int = DEFAULT_MAX_STREAMS,
    max_outbox_bytes: int = DEFAULT_MAX_BYTES,
    max_queued_bytes: int = DEFAULT_MAX_BYTES,
    close_seconds: float = 1.0,
) -> AsyncIterator[Registry]:
    """The streams of this process; on leaving they are ended in order, within `close_seconds`."""
    async with anyio.create_task_group() as tasks:
        registry = Registry(
            journal,
            tasks,
            max_streams=max_streams,
            max_outbox_bytes=max_outbox_bytes,
            max_queued_bytes=max_queued_bytes,
        )
        try:
            yield registry
        finally:
            await registry.close(close_seconds)
