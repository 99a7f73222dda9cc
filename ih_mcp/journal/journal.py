"""Keeps the messages of all streams, in order, before anybody can read them.

In a file of SQLite, or in a database of PostgreSQL that several computers share. One task writes.
All entries that arrive during one commit go into the next one (group commit). An entry can be read
only after its commit, and therefore survives the death of the process. At most a second later it
survives a power failure too; with `Retention.strict`, and in PostgreSQL, before it can be read.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, Lock, to_thread

from ih_mcp import observer
from ih_mcp.errors import ExpiredCursorError, JournalError, UsedUpError
from ih_mcp.notifier import Notifier
from ih_mcp.wire.minutes import UNLIMITED, MinutesBudget

from .backend import JournalBackend
from .checks import busy_error, lost_lease_error, record_to_json, unknown_stream_error
from .owners import Process, parse_owner
from .page import Page
from .retention import Retention, find_expired
from .store import Batch, Entry, StreamRow
from .stream_log import StreamLog
from .usage import StreamAccount, UsageTable

T = TypeVar("T")

SYNC_SECONDS = 0.5  # after a commit; with the sync itself well below the promised second
BEGIN_SECONDS = 15.0  # chosen: who starts a stream waits for the answer
_LOG = logging.getLogger("ih_mcp.journal")


class Journal:
    """The streams of this and earlier processes. Use `open_journal`."""

    def __init__(self, backend: JournalBackend, retention: Retention) -> None:
        self._store = backend.writer
        self._reader = backend.reader
        self._owner = backend.owner
        self._wakeups = backend.wakeups
        self._clock = backend.clock
        self._ownership = backend.ownership
        self._retention = retention
        self._logs: dict[str, StreamLog] = {}
        self._failed: dict[str, JournalError] = {}
        """Streams that began, or ended, while nothing could be written; the database may list them
        as live until `clean_up`."""
        self._dead: set[str] = set()
        """Owners whose process is dead; `clean_up` ends their streams in the database."""
        self._appended = Notifier()
        self._waiting: list[StreamLog] = []
        """Those with entries that wait for a commit; of 1,000 streams few have any."""
        self._committing = Lock()
        self._committed = Notifier()
        self._has_unsynced = False
        # one thread at a time on each connection; readers do not wait for the writer
        self._writing = CapacityLimiter(1)
        self._write_thread = CapacityLimiter(1)
        self._reading = CapacityLimiter(1)
        self._syncing = CapacityLimiter(1)

    async def begin(
        self,
        stream_id: str,
        record: Mapping[str, object],
        *,
        budget: MinutesBudget | None = None,
        planned_seconds: float = 0.0,
    ) -> StreamLog:
        """Open the log of a new stream; for `budget` see `Store.begin_stream`.

        Raises:
            UsedUpError: A limit would be exceeded.
            JournalError: The disk refuses it, or the database does not answer in time.
        """
        until = anyio.current_time() + BEGIN_SECONDS
        owner = self._owner.name
        begin = partial(
            self._store.begin_stream,
            stream_id,
            owner,
            record_to_json(record),
            budget=budget,
            planned_seconds=planned_seconds,
        )
        try:
            try:
                no = await self._run_write(begin, until=until)
            except UsedUpError:
                await self.clean_up(
                    until=until
                )  # a dead process needs what it was promised no more
                no = await self._run_write(begin, until=until)
        except JournalError as exc:
            self._failed[stream_id] = exc  # it may have begun
            raise
        return self._keep_log(
            StreamLog(self, stream_id, no, owner=owner, ownership=self._ownership)
        )

    def _keep_log(self, log: StreamLog) -> StreamLog:
        self._logs[log.stream_id] = log
        return log

    def account(self, stream_id: str, budget: MinutesBudget = UNLIMITED) -> StreamAccount:
        """Where the media of a stream of this process is counted."""
        return StreamAccount(
            self._store.usage, stream_id, budget, write=self._run_write, clean_up=self.clean_up
        )

    async def read_usage(self, read: Callable[[UsageTable], T]) -> T:
        """Read from the table of all processes what was used."""
        return await self._run_read(partial(read, self._reader.usage))

    async def adopt(self, stream_id: str) -> StreamLog:
        """Continue the log of a process that is dead.

        Raises:
            UnknownStreamError: There is no such stream.
        """
        owner = self._owner.name
        row = await self._run_write(partial(self._store.adopt_stream, stream_id, owner))
        if row is None:
            raise unknown_stream_error(stream_id)
        kept = {"last": row.last, "oldest": row.oldest, "size": row.size}
        return self._keep_log(
            StreamLog(self, stream_id, row.no, owner=owner, ownership=self._ownership, **kept)
        )

    def release(self, log: StreamLog) -> None:
        """Release the log of a stream that is over; the database has all of it."""
        self._logs.pop(log.stream_id, None)
        if log.failure:
            self._failed[log.stream_id] = log.failure
        log.notify_readers()

    async def write_record(
        self, log: StreamLog, record: Mapping[str, object], *, ended: bool
    ) -> None:
        await log.flush()
        write = partial(self._store.write_record, log.no, record_to_json(record), ended=ended)
        try:
            await self._run_write(write)
        except JournalError as exc:
            if ended:
                self._failed[log.stream_id] = exc
            raise
        self._wakeups.announce(log.stream_id)

    def wake(self, log: StreamLog) -> None:
        """For a log: its first entry waits for a commit."""
        self._waiting.append(log)
        self._appended.notify()

    # --- reading -------------------------------------------------------------------------------

    async def read_page(self, stream_id: str, after: int, *, limit: int, max_chars: int) -> Page:
        """Read entries after a cursor; the same cursor gives the same page again.

        Args:
            limit: The most entries of the page.
            max_chars: The most text of the page; a single entry is never cut.

        Raises:
            UnknownStreamError: No process had this stream, or it was removed.
            ExpiredCursorError: Entries after `after` were removed; names the oldest cursor.
            JournalError: A later entry could not be written, or is damaged.
        """
        log, bounds = self._logs.get(stream_id), {"limit": limit, "max_chars": max_chars}
        if log and (newest := log.newest_after(after, **bounds)) is not None:
            cursor = newest[-1].cursor if newest else log.last
            return Page(tuple(newest), cursor, log.last, ended=False)
        read = partial(self._reader.read_page, stream_id, after, **bounds)
        row, entries = await self._read_with_end(read, stream_id)
        if after + 1 < row.oldest:
            raise ExpiredCursorError(
                f"entries after cursor {after} of {stream_id} are no longer kept",
                help=f"The oldest cursor to read from is {row.oldest - 1}.",
                facts={"oldest_cursor": row.oldest - 1, "stream_id": stream_id},
            )
        cursor = entries[-1].cursor if entries else row.last
        is_over = row.ended_at is not None
        return Page(tuple(entries), cursor, max(row.last, cursor), ended=is_over)

    async def wait(self, stream_id: str, after: int) -> None:
        """Return when there may be entries after a cursor, or the stream is over or failed."""
        while log := self._logs.get(stream_id):
            if log.last > after or log.failure:
                return
            await log.wait_for_commit()
        with self._wakeups.watch(stream_id) as watch:  # another process writes it
            while (row := await self.find_stream(stream_id)).last <= after and row.ended_at is None:
                await watch.wait()

    async def find_stream(self, stream_id: str) -> StreamRow:
        """The row of a stream.

        Raises:
            UnknownStreamError: There is no such stream.
        """

        def find() -> tuple[StreamRow, list[Entry]] | None:
            row = self._reader.find_stream(stream_id)
            return (row, []) if row else None

        return (await self._read_with_end(find, stream_id))[0]

    def process_writing(self, row: StreamRow) -> Process | None:
        """The other process that writes this stream now, if there is one."""
        is_elsewhere = row.ended_at is None and row.owner != self._owner.name
        return parse_owner(row.owner) if is_elsewhere else None

    async def list_streams(self, prefix: str = "", *, newest: int = -1) -> list[StreamRow]:
        """The streams whose ids begin with `prefix`, oldest first; of many the newest ones."""
        read = partial(self._reader.list_streams, prefix, newest)
        return await self._with_known_ends(*await self._run_read(read))

    async def count_streams(self, prefix: str = "") -> int:
        """How many streams there are whose ids begin with `prefix`."""
        return await self._run_read(partial(self._reader.count_streams, prefix))

    async def _read_with_end(
        self, read: Callable[[], tuple[StreamRow, list[Entry]] | None], stream_id: str
    ) -> tuple[StreamRow, list[Entry]]:
        """Read a stream, again where its owner died meanwhile: it may have committed before."""
        while True:
            dead = len(self._dead)
            found = await self._run_read(read)
            if found is None:
                raise unknown_stream_error(stream_id)
            (row,) = await self._with_known_ends(found[0])
            if len(self._dead) == dead:
                return row, found[1]

    async def _with_known_ends(self, *rows: StreamRow) -> list[StreamRow]:
        """The rows of the database, corrected where we know an end that it does not have."""
        owners = {row.owner for row in rows if row.ended_at is None} - self._dead
        if owners - {self._owner.name}:
            self._dead |= await self._run_read(partial(self._owner.find_dead, owners))
        return [self._with_known_end(row) for row in rows]

    def _with_known_end(self, row: StreamRow) -> StreamRow:
        if row.ended_at is not None:
            return row
        if failure := self._failed.get(row.id):
            error = {"what": failure.what}
            end: Mapping[str, object] = {"state": "failed", "reason": failure.code, "error": error}
        elif row.owner in self._dead:
            end = self._retention.orphaned
        else:
            return row
        record = json.dumps({**json.loads(row.record), **end})
        return replace(row, ended_at=time.time(), record=record)

    # --- the writer ----------------------------------------------------------------------------

    async def write_forever(self) -> None:
        while True:
            while not self._waiting:
                await self._appended.wait()
            with anyio.CancelScope(shield=True):  # what was appended is committed
                await self.commit()

    async def commit(self) -> None:
        """Commit every appended entry, of all streams."""
        async with self._committing:  # after a failed commit no later one of that log may succeed
            await self._commit()

    async def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        taken = [(log, batch) for log in waiting if (batch := log.take_batch())]
        if not taken:
            return
        try:
            await self._append([batch for _, batch in taken])
        except JournalError:
            for log, batch in taken:  # each on its own: the failure of one log harms no other
                await self._append_alone(log, batch)
        else:
            for log, batch in taken:
                await self._mark_committed(log, batch)

    async def _append(self, batches: list[Batch]) -> None:
        started_at = time.perf_counter()
        try:
            await self._run_write(partial(self._store.append, batches))
        except Exception as exc:
            raise _as_journal_error(exc) from exc
        observer.note("ih_journal_commit_seconds", time.perf_counter() - started_at)

    async def _append_alone(self, log: StreamLog, batch: Batch) -> None:
        try:
            await self._append([batch])
        except JournalError as exc:
            log.fail(exc)
        else:
            await self._mark_committed(log, batch)

    async def _mark_committed(self, log: StreamLog, batch: Batch) -> None:
        log.mark_committed(batch)
        self._wakeups.announce(log.stream_id)
        self._has_unsynced = True
        self._committed.notify()
        await self._trim(log)

    async def sync_forever(self) -> None:
        """Sync the disk soon after each commit."""
        while True:
            while not self._has_unsynced:
                await self._committed.wait()
            await anyio.sleep(SYNC_SECONDS)
            await self.sync()

    async def sync(self) -> None:
        """Wait until the disk has every commit; a failure is the failure of every stream."""
        self._has_unsynced = False
        try:
            await to_thread.run_sync(self._store.sync, limiter=self._syncing)
        except JournalError as exc:
            for log in list(self._logs.values()):
                log.fail(exc)

    async def _trim(self, log: StreamLog) -> None:
        """Remove the oldest entries of a stream that exceeds its bound."""
        while log.disk_bytes > self._retention.max_stream_bytes and log.oldest <= log.last:
            oldest = log.oldest + max(1, (log.last - log.oldest) // 4)
            try:
                freed = await self._run_write(partial(self._store.trim_stream, log.no, oldest))
            except JournalError as exc:
                log.fail(exc)
                return
            log.oldest, log.size = oldest, max(0, log.size - freed)

    async def _run_write(self, call: Callable[[], T], *, until: float = math.inf) -> T:
        """Make a call that writes.

        Args:
            until: How long it may wait for others, and for a database that is away; monotonic.
        """
        with anyio.CancelScope(deadline=until) as waiting:
            await self._writing.acquire()
        if waiting.cancelled_caught:
            raise busy_error()
        try:
            attempt = partial(self._store.attempt, call, until - anyio.current_time())
            return await to_thread.run_sync(attempt, limiter=self._write_thread)
        finally:
            self._writing.release()

    async def _run_read(self, call: Callable[[], T]) -> T:
        attempt = partial(self._reader.attempt, call, math.inf)
        return await to_thread.run_sync(attempt, limiter=self._reading)

    async def close_stores(self) -> None:
        """Close both connections, each after the calls that use it: SQLite crashes otherwise."""
        with anyio.CancelScope(shield=True):
            async with self._reading:
                await to_thread.run_sync(self._reader.close)
            async with self._writing, self._syncing:
                await to_thread.run_sync(self._store.close)

    # --- retention -------------------------------------------------------------------------------

    @property
    def is_read_only(self) -> bool:
        """Whether kept entries can be read and no stream can begin."""
        return self._store.is_read_only

    @property
    def outage(self) -> str:
        """Why nothing can be written now; empty where that is not known, or it can."""
        return self._ownership.outage if self._ownership else ""

    async def forget(self, rows: Sequence[StreamRow]) -> str:
        """Remove streams that are over, and overwrite all that the file had of them.

        Gives why a copy may be left; empty where none is. See `Store.forget`.

        Raises:
            CallerError: One of them goes on meanwhile (`stream_live`); all of them are kept.
            JournalError: The disk refuses it.
        """
        return await self._run_write(partial(self._store.forget, rows))

    async def clean_up(self, *, until: float = math.inf) -> None:
        """End the streams of dead processes, and remove what retention does not keep."""
        if not self.is_read_only:
            for stream_id in await self._run_write(self._clean_up, until=until):
                self._failed.pop(stream_id, None)
                self._wakeups.announce(stream_id)

    async def watch_deaths(self, wait: Callable[[], Awaitable[None]]) -> None:
        """End the streams of other processes as these die, and those here that are not ours now."""
        while True:
            await wait()
            for log in list(self._logs.values()):
                if log.owner != self._owner.name:
                    log.fail(lost_lease_error())
            try:
                await self.clean_up()
            except JournalError as exc:
                _LOG.warning("the streams of a dead process are not ended yet: %s", exc)

    def _clean_up(self) -> list[str]:
        rows = self._store.list_streams()
        self._dead |= self._owner.find_dead({row.owner for row in rows if row.ended_at is None})
        live = [row for row in rows if row.ended_at is None]
        orphans = [row for row in live if row.owner in self._dead or row.id in self._failed]
        for row in orphans:
            self._store.end_stream(row, self._with_known_end(row).record)
        self._store.release_promises()
        self._store.remove_streams(find_expired(rows, self._retention, self._clock()))
        return [row.id for row in orphans]


def _as_journal_error(exc: Exception) -> JournalError:
    if isinstance(exc, JournalError):
        return exc
    return JournalError(f"the journal cannot write: {exc}", help="This is a mistake in ih-mcp.")
