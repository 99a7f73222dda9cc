"""The entries of one stream on their way to the disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from ih_mcp import observer
from ih_mcp.errors import JournalError
from ih_mcp.notifier import Notifier

from .backend import Ownership
from .checks import lost_lease_error
from .store import Batch, Entry, EntryRow, count_body_bytes, estimate_disk_bytes

_MAX_PENDING_BYTES = 8 * 2**20
_MAX_PENDING_ROWS = 40_000  # 8 MiB too, were all of them empty
_KEPT_BYTES = 32 * 2**10  # chosen: some seconds of messages
_KEPT_ROWS = 256


class LogWriter(Protocol):
    """What commits the entries of all logs."""

    def wake(self, log: StreamLog) -> None:
        """An entry waits for a commit."""

    async def write_record(
        self, log: StreamLog, record: Mapping[str, object], *, ended: bool
    ) -> None:
        """Write the status record of a stream, behind its entries."""


class StreamLog:
    """The entries of one stream that this process writes."""

    def __init__(
        self,
        journal: LogWriter,
        stream_id: str,
        no: int,
        *,
        owner: str = "",
        ownership: Ownership | None = None,
        last: int = 0,
        oldest: int = 1,
        size: int = 0,
    ) -> None:
        self._journal = journal
        self.stream_id = stream_id
        self.no = no
        self.owner = owner
        """The name under which this process owns the stream."""
        self._ownership = ownership
        self.wait_until_owned = partial(ownership.wait_until_sendable, owner) if ownership else None
        """Waits while another process may end this stream, so that no media of it may be sent; None
        where none can."""
        self._base = no << 32
        self.last = last
        """The newest cursor that is committed."""
        self.failure: JournalError | None = None
        """Set when the journal could not write an entry; no entry is accepted after that."""
        self.oldest = oldest
        """The oldest cursor that is kept."""
        self.size = size
        """Bytes of the messages that are kept, without their rows."""
        self._given = last
        self._pending: list[EntryRow] = []
        self._pending_size = 0
        self._newest: list[EntryRow] = []
        """The newest entries that are committed, so that those who follow read no file."""
        self._moved = Notifier()
        self._failed = Notifier()

    def append(self, body: str | bytes, *, leg: int) -> int:
        """Append a message as it came, and return its cursor. The next commit makes it readable.

        Raises:
            JournalError: The journal failed before, and accepts no more.
        """
        if self.failure:
            raise self.failure
        self._given = cursor = self._given + 1
        if not self._pending:  # else the writer is awake, and takes this entry with the others
            self._journal.wake(self)
        self._pending.append((self._base | cursor, leg, time.time_ns() // 1000, body))
        self._pending_size += len(body) if body.isascii() else count_body_bytes(body)
        return cursor

    @property
    def disk_bytes(self) -> int:
        """Disk space of its messages."""
        return estimate_disk_bytes(self.size, self.last - self.oldest + 1)

    @property
    def waiting_bytes(self) -> int:
        """Of appended messages that wait for a commit."""
        return self._pending_size

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait for the disk that the caller should await `flush()`."""
        return self._pending_size > _MAX_PENDING_BYTES or len(self._pending) > _MAX_PENDING_ROWS

    async def flush(self) -> None:
        """Wait until every appended entry is committed.

        Raises:
            JournalError: An entry could not be written.
        """
        goal = self._given
        while self.last < goal:
            if self.failure:
                raise self.failure
            await self._moved.wait()

    async def wait_for_commit(self) -> None:
        """Wait for the next commit of this stream, or its failure."""
        await self._moved.wait()

    def require_owned(self) -> None:
        """Check that media of this stream may be sent.

        Raises:
            JournalError: Another process may end it, or has.
        """
        if self._ownership and not self._ownership.lets_send(self.owner):
            raise lost_lease_error()

    async def wait_for_failure(self) -> None:
        """Wait until the journal cannot write entries of this stream any more."""
        while not self.failure:
            await self._failed.wait()

    async def write_record(self, record: Mapping[str, object], *, ended: bool = False) -> None:
        """Write the status record of the stream; after `ended` nothing follows."""
        if ended:
            await self.flush()
            self._newest = []  # from now on the file is asked, which says that the stream ended
        await self._journal.write_record(self, record, ended=ended)

    def take_batch(self) -> Batch | None:
        """For the writer of the journal: the entries that wait for a commit."""
        if not self._pending:
            return None
        batch = Batch(self.no, self._pending, self._pending_size)
        self._pending, self._pending_size = [], 0
        return batch

    def mark_committed(self, batch: Batch) -> None:
        """For the writer of the journal: these entries are committed."""
        self.last = batch.last
        self.size += batch.size
        self._newest = _newest_of([*self._newest, *batch.rows[-_KEPT_ROWS:]])
        self.notify_readers()
        if observer.is_observed():
            now = time.time_ns() // 1000
            observer.note("ih_messages_total", len(batch.rows))
            for _, _, received_at, _ in batch.rows:
                observer.note("ih_visible_seconds", max(0, now - received_at) / 1e6)

    def newest_after(self, after: int, *, limit: int, max_chars: int) -> list[Entry] | None:
        """The committed entries after a cursor, bounded as a page is; None where they are not here.

        Raises:
            JournalError: A later entry could not be written.
        """
        if after >= self.last:
            if self.failure:
                raise self.failure
            return []
        first = len(self._newest) - (self.last - after)
        if first < 0 or after + 1 < self.oldest or self.failure:
            return None
        entries, chars = list[Entry](), 0
        for place, leg, received_at, body in self._newest[first : first + limit]:
            chars += len(body)
            if entries and chars > max_chars:
                break
            entries.append(Entry(place - self._base, leg, received_at, body))
        return entries

    def fail(self, error: JournalError) -> None:
        """For the writer of the journal: the waiting entries could not be written.

        Entries that arrived meanwhile are dropped too: alone they would follow a gap.
        """
        self.failure = error
        self._pending, self._pending_size = [], 0
        self._failed.notify()
        self.notify_readers()

    def notify_readers(self) -> None:
        self._moved.notify()


def _newest_of(rows: list[EntryRow]) -> list[EntryRow]:
    """As many of the last entries as are kept in memory."""
    size, first = 0, len(rows)
    while first and len(rows) - first < _KEPT_ROWS:
        size += len(rows[first - 1][3])
        if size > _KEPT_BYTES:
            break
        first -= 1
    return rows[first:]
