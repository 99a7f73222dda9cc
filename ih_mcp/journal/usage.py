"""Counts the media of all streams, by day, where the journal is kept.

Every process that shares the journal counts here, each time in one transaction: two of them cannot
both use the last minutes of a day. Seconds are counted before they are sent, so that a process that
is killed has counted all that it sent. A day is one of UTC: it is the same day for all processes,
and has 24 hours.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Protocol

from ih_mcp.errors import UsedUpError
from ih_mcp.wire.minutes import MediaUse, MinutesBudget, Per

SCHEMA = """
CREATE {temp} TABLE IF NOT EXISTS usage(
    no INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,           -- empty for the one user of a machine
    day TEXT NOT NULL,              -- of UTC, as 2026-11-30
    endpoint TEXT NOT NULL,
    is_free INTEGER NOT NULL,       -- 1: the stand-in, which bills nothing
    stream_id TEXT,                 -- NULL once the stream is removed
    reserved REAL NOT NULL DEFAULT 0,   -- seconds that a live stream was promised
    delivered REAL NOT NULL DEFAULT 0,  -- seconds of media; see `MediaUse`
    analysed REAL NOT NULL DEFAULT 0,
    dropped REAL NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,   -- of media that was given to a connection
    UNIQUE (stream_id, day)
);
CREATE INDEX IF NOT EXISTS {schema}usage_by_day ON usage(tenant, day);
"""
_IN_MEMORY = {"temp": "TEMP", "schema": "temp."}
_IN_FILE = {"temp": "", "schema": ""}
_SUMS = "coalesce(sum(delivered),0.0), coalesce(sum(analysed),0.0), coalesce(sum(dropped),0.0)"
_STREAMS_AT_ONCE = 500  # SQLite: a statement has 999 parameters at most, where it is old
_COUNTED = (
    "coalesce(sum(CASE WHEN delivered > dropped THEN delivered - dropped ELSE 0.0 END + reserved),"
    "0.0)"
)


class UsageCursor(Protocol):
    """What a statement gives; of either database."""

    def fetchone(self) -> Any: ...  # noqa: ANN401 - a row of either database

    def fetchall(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What the streams of one day used at one endpoint."""

    day: str
    endpoint: str
    is_free: bool
    streams: int
    use: MediaUse


def create_usage_table(
    db: sqlite3.Connection,
    transaction: Callable[[], AbstractContextManager[object]],
    *,
    is_read_only: bool,
) -> None:
    """Create what is missing of the table, as in the file of an older version of ih-mcp."""
    exists = "SELECT 1 FROM sqlite_master WHERE name='usage_by_day'"
    if db.execute(exists).fetchone() is None:
        places = _IN_MEMORY if is_read_only else _IN_FILE
        db.executescript(f"BEGIN;{SCHEMA.format(**places)}COMMIT;")
    elif not is_read_only and not _counts_bytes(db):
        with transaction():
            if not _counts_bytes(db):  # no other process has added it meanwhile
                db.execute("ALTER TABLE usage ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0")


def _counts_bytes(db: sqlite3.Connection) -> bool:
    found = db.execute("SELECT 1 FROM pragma_table_info('usage') WHERE name='bytes'")
    return found.fetchone() is not None


class UsageTable:
    """The table in the database; synchronous, as a store is. Its SQL is read by both databases.

    Args:
        execute: Executes a statement whose parameters are `?`.
        transaction: Begins a transaction that writes, and that no other of this tenant overlaps.
        translating: Translates errors of the database, by a verb.
        tenant: Whose media it is; None where the database keeps that of one alone.
    """

    def __init__(
        self,
        execute: Callable[[str, Sequence[object]], UsageCursor],
        transaction: Callable[[], AbstractContextManager[object]],
        translating: Callable[[str], AbstractContextManager[object]],
        *,
        tenant: str | None = None,
    ) -> None:
        self._execute = execute
        self._transaction = transaction
        self._translating = translating
        self._tenant = tenant

    def reserve(self, stream_id: str, budget: MinutesBudget, seconds: float) -> None:
        """Promise a new stream so many seconds; within the transaction that begins it.

        Raises:
            MinutesUsedUpError: A limit would be exceeded.
        """
        self._require(budget, seconds)
        self._add(stream_id, budget, _today(), reserved=seconds)

    def spend(
        self,
        stream_id: str,
        budget: MinutesBudget,
        seconds: float,
        use: MediaUse,
        *,
        size: int = 0,
    ) -> None:
        """Count seconds that are about to be sent.

        What was promised to the stream is used first; a promise ends with its day.

        Args:
            use: What is known of the stream so far.
            size: Of the media, in bytes.

        Raises:
            UsedUpError: A limit would be exceeded; nothing is counted.
        """
        with self._translating("write"), self._transaction():
            day = _today()
            self._learn(stream_id, use)
            self._execute(
                "UPDATE usage SET reserved=0 WHERE stream_id=? AND day<>?", (stream_id, day)
            )
            promised = self._promised(stream_id, day)
            self._require(budget, seconds, of_stream=use.counted_seconds, promised=promised)
            if budget.max_bytes_per_day is not None:
                of_day = self._bytes_of_day(budget, day)
                budget.require_bytes(size, of_day=of_day, now=_now())
            self._add(
                stream_id,
                budget,
                day,
                reserved=-min(promised, seconds),
                delivered=seconds,
                size=size,
            )

    def settle(self, stream_id: str, use: MediaUse, *, ended: bool) -> None:
        """Write what a stream used; at its end what was promised is free again.

        Before its end a segment may be counted and not sent yet: what is counted never shrinks.
        """
        with self._translating("write"), self._transaction():
            self._learn(stream_id, use, is_whole=ended)
            if ended:
                self._execute("UPDATE usage SET reserved=0 WHERE stream_id=?", (stream_id,))

    def release(self) -> None:
        """Free what was promised to streams that are over, as those of a process that was killed.

        Call it within a transaction.
        """
        self._execute(
            "UPDATE usage SET reserved=0 WHERE reserved>0 AND (stream_id IS NULL OR stream_id NOT "
            "IN (SELECT id FROM streams WHERE ended_at IS NULL))",
            (),
        )

    def forget_streams(self, numbers: Iterable[int]) -> None:
        """Keep the seconds of streams without their ids; within the transaction that removes them.

        A day's minutes stay used, whatever is removed.
        """
        for no in numbers:
            self._execute(
                "UPDATE usage SET stream_id=NULL, reserved=0 "
                "WHERE stream_id=(SELECT id FROM streams WHERE no=?)",
                (no,),
            )

    # --- reading -------------------------------------------------------------------------------

    def find_use(self, stream_id: str) -> MediaUse | None:
        """What a stream used; None where it is not known, as of an older version's stream."""
        with self._translating("read"):
            found = self._execute(
                f"SELECT {_SUMS} FROM usage WHERE stream_id=? HAVING count(*)>0",  # noqa: S608 - our own words
                (stream_id,),
            ).fetchone()
        return _to_use(found) if found else None

    def find_uses(self, stream_ids: Iterable[str]) -> dict[str, MediaUse]:
        """What each of these streams used, by id; without those of which it is not known."""
        left, found = iter(stream_ids), dict[str, MediaUse]()
        while some := list(islice(left, _STREAMS_AT_ONCE)):
            marks = ",".join("?" * len(some))
            with self._translating("read"):
                rows = self._execute(
                    f"SELECT stream_id, {_SUMS} FROM usage WHERE stream_id IN ({marks}) "  # noqa: S608 - our own words
                    "GROUP BY stream_id",
                    some,
                ).fetchall()
            found |= {stream_id: _to_use(sums) for stream_id, *sums in rows}
        return found

    def read_days(self, since: str = "") -> list[UsageRow]:
        """What was used since a day, by day and endpoint, the oldest first."""
        with self._translating("read"):
            found = self._execute(
                f"SELECT day, endpoint, is_free, count(*), {_SUMS} FROM usage "  # noqa: S608 - our own words
                "WHERE day>=? AND (tenant=? OR ?) "
                "GROUP BY day, endpoint, is_free ORDER BY day, is_free, endpoint",
                (since, self._tenant, self._tenant is None),
            ).fetchall()
        return [
            UsageRow(day, endpoint, bool(is_free), streams, _to_use(sums))
            for day, endpoint, is_free, streams, *sums in found
        ]

    def count(self, budget: MinutesBudget, per: Per) -> float:
        """How many seconds of today, or of this month, count, with promises to live streams."""
        with self._translating("read"):
            return self._counted(budget, per)

    def use_of_day(self, budget: MinutesBudget) -> MediaUse:
        """What was used today, of all streams, uploads and tokens."""
        with self._translating("read"):
            sums = self._execute(
                f"SELECT {_SUMS} FROM usage WHERE tenant=? AND day=? AND is_free=?",  # noqa: S608 - our own words
                (self._tenant_of(budget), _today(), int(budget.is_free)),
            ).fetchone()
        return _to_use(sums)

    def count_promised(self, budget: MinutesBudget) -> float:
        """How many seconds of today are promised to live streams, which did not send them yet."""
        with self._translating("read"):
            (seconds,) = self._execute(
                "SELECT coalesce(sum(reserved),0.0) FROM usage "
                "WHERE tenant=? AND day=? AND is_free=?",
                (self._tenant_of(budget), _today(), int(budget.is_free)),
            ).fetchone()
        return float(seconds)

    def check(self, budget: MinutesBudget, seconds: float) -> None:
        """Check that a new stream may send so many seconds; see `reserve`."""
        with self._translating("read"):
            self._require(budget, seconds)

    def _require(
        self,
        budget: MinutesBudget,
        seconds: float,
        *,
        of_stream: float = 0.0,
        promised: float = 0.0,
    ) -> None:
        """See `MinutesBudget.require`; what was promised to the stream does not count."""
        of_day, of_month = (
            self._counted(budget, per) - promised if budget.has(per) else 0.0
            for per in (Per.DAY, Per.MONTH)
        )
        budget.require(seconds, of_stream=of_stream, of_day=of_day, of_month=of_month, now=_now())

    def _counted(self, budget: MinutesBudget, per: Per) -> float:
        today = _today()
        since = today if per is Per.DAY else f"{today[:7]}-01"
        (seconds,) = self._execute(
            f"SELECT {_COUNTED} FROM usage WHERE tenant=? AND day>=? AND day<=? AND is_free=?",  # noqa: S608 - our own words
            (self._tenant_of(budget), since, today, int(budget.is_free)),
        ).fetchone()
        return float(seconds)

    def _bytes_of_day(self, budget: MinutesBudget, day: str) -> int:
        (size,) = self._execute(
            "SELECT coalesce(sum(bytes),0) FROM usage WHERE tenant=? AND day=? AND is_free=?",
            (self._tenant_of(budget), day, int(budget.is_free)),
        ).fetchone()
        return int(size)

    def _tenant_of(self, budget: MinutesBudget) -> str:
        return budget.tenant or self._tenant or ""

    def _promised(self, stream_id: str, day: str) -> float:
        (seconds,) = self._execute(
            "SELECT coalesce(sum(reserved),0.0) FROM usage WHERE stream_id=? AND day=?",
            (stream_id, day),
        ).fetchone()
        return float(seconds)

    def _learn(self, stream_id: str, use: MediaUse, *, is_whole: bool = True) -> None:
        """Bring what is known of a stream up to date, on its newest day.

        Args:
            is_whole: Whether `use` has all that was counted.
        """
        sums = self._execute(
            f"SELECT {_SUMS} FROM usage WHERE stream_id=?",  # noqa: S608 - our own words
            (stream_id,),
        ).fetchone()
        more = use - _to_use(sums)
        delivered = more.delivered_seconds if is_whole else max(0.0, more.delivered_seconds)
        self._execute(
            "UPDATE usage SET delivered=delivered+?, analysed=analysed+?, dropped=dropped+? "
            "WHERE no=(SELECT max(no) FROM usage WHERE stream_id=?)",
            (delivered, more.analysed_seconds, more.dropped_seconds, stream_id),
        )

    def _add(
        self,
        stream_id: str,
        budget: MinutesBudget,
        day: str,
        *,
        reserved: float,
        delivered: float = 0.0,
        size: int = 0,
    ) -> None:
        self._execute(
            "INSERT INTO usage(tenant, day, endpoint, is_free, stream_id, reserved, delivered, "
            "bytes) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(stream_id, day) DO UPDATE SET "
            "reserved=CASE WHEN usage.reserved+? > 0 THEN usage.reserved+? ELSE 0.0 END, "
            "delivered=usage.delivered+?, bytes=usage.bytes+?",
            (
                *(self._tenant_of(budget), day, budget.endpoint, int(budget.is_free)),
                *(stream_id, max(0.0, reserved), delivered, size),
                *(reserved, reserved, delivered, size),
            ),
        )


class StreamAccount:
    """Counts the media of one live stream.

    Args:
        table: Of the connection that writes.
        write: Makes a call that writes, in the thread of that connection.
        clean_up: Ends the streams of dead processes.
    """

    def __init__(
        self,
        table: UsageTable,
        stream_id: str,
        budget: MinutesBudget,
        *,
        write: Callable[[Callable[[], None]], Awaitable[None]],
        clean_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._table = table
        self._stream_id = stream_id
        self._budget = budget
        self._write = write
        self._clean_up = clean_up

    async def spend(self, seconds: float, use: MediaUse, *, size: int = 0) -> None:
        """Count seconds that are about to be sent; see `UsageTable.spend`.

        Raises:
            UsedUpError: A limit would be exceeded, also without what dead processes hold.
            JournalError: The disk refuses it.
        """
        spend = partial(self._table.spend, self._stream_id, self._budget, seconds, use, size=size)
        try:
            await self._write(spend)
        except UsedUpError:
            await self._clean_up()
            await self._write(spend)

    async def settle(self, use: MediaUse, *, ended: bool) -> None:
        """Write what the stream used; see `UsageTable.settle`.

        Raises:
            JournalError: The disk refuses it; what was counted before stays.
        """
        await self._write(partial(self._table.settle, self._stream_id, use, ended=ended))


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _today() -> str:
    return _now().date().isoformat()


def _to_use(sums: Iterable[float]) -> MediaUse:
    delivered, analysed, dropped = sums
    return MediaUse(delivered_seconds=delivered, analysed_seconds=analysed, dropped_seconds=dropped)
