"""What is below a journal: its store, its owners, and how readers elsewhere are woken."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ih_mcp.wire.minutes import MinutesBudget

from .store import Batch, Entry, StreamRow
from .usage import UsageTable
from .wakeups import Wakeups

T = TypeVar("T")


class JournalStore(Protocol):
    """The tables of a journal; synchronous, one call at a time. See `Store`, which is of SQLite."""

    usage: UsageTable

    @property
    def is_read_only(self) -> bool:
        """Whether it can be read and not written."""

    def attempt(self, call: Callable[[], T], seconds: float) -> T:
        """Make a call of this store, as often as it is worth while, for so long at most."""

    def stop_waiting(self) -> None:
        """Let calls that wait for the database fail: the process ends."""

    def begin_stream(
        self,
        stream_id: str,
        owner: str,
        record: str,
        *,
        budget: MinutesBudget | None = None,
        planned_seconds: float = 0.0,
    ) -> int: ...
    def append(self, batches: Iterable[Batch]) -> None: ...
    def sync(self) -> None: ...
    def write_record(self, no: int, record: str, *, ended: bool) -> None: ...
    def end_stream(self, row: StreamRow, record: str) -> None: ...
    def adopt_stream(self, stream_id: str, owner: str) -> StreamRow | None: ...
    def remove_streams(self, numbers: Iterable[int]) -> None: ...
    def forget(self, rows: Sequence[StreamRow]) -> str: ...
    def release_promises(self) -> None: ...
    def trim_stream(self, no: int, below: int) -> int: ...
    def find_stream(self, stream_id: str) -> StreamRow | None: ...
    def list_streams(self, prefix: str = "", newest: int = -1) -> list[StreamRow]: ...
    def count_streams(self, prefix: str = "") -> int: ...
    def read_page(
        self, stream_id: str, after: int, *, limit: int, max_chars: int
    ) -> tuple[StreamRow, list[Entry]] | None: ...
    def close(self) -> None: ...


class StreamOwner(Protocol):
    """This process as an owner of streams, and what it knows of the others."""

    @property
    def name(self) -> str: ...
    def find_dead(self, names: Iterable[str]) -> set[str]:
        """Those of `names` whose process is dead; that stays so."""


class Ownership(Protocol):
    """Whether this process still owns its streams, so that it may send their media."""

    @property
    def outage(self) -> str:
        """Why nothing can be written now; empty where it can."""

    def lets_send(self, owner: str) -> bool:
        """Whether media of the streams of this owner may be sent now."""

    async def wait_until_sendable(self, owner: str) -> None:
        """Wait until it may; for ever where another process has ended these streams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalBackend:
    """One of two: a file of SQLite, or a database of PostgreSQL."""

    writer: JournalStore
    reader: JournalStore
    owner: StreamOwner
    wakeups: Wakeups
    clock: Callable[[], float] = time.time
    """The one by which ends of streams are noted; called where the writer is."""
    is_durable: bool = False
    """Whether a commit survives a power failure, so that nothing is to be synced."""
    wait_for_deaths: Callable[[], Awaitable[None]] | None = None
    """Waits until owners have died, this process's lease among them; None where nothing tells."""
    ownership: Ownership | None = None
    """None where a process owns its streams as long as it lives."""


class JournalPlace(Protocol):
    """Where a journal is kept, beside a folder."""

    def open(self) -> AbstractAsyncContextManager[JournalBackend]: ...
