"""The tables of the journal in PostgreSQL, as one tenant sees them; synchronous, as `Store` is.

Whatever is written to a stream holds a lock on the row of its owner. Who declares an owner dead
removes that row, and then no write of that owner can be committed any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import starmap
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import Connection, sql

from ih_mcp.errors import CallerError, JournalError
from ih_mcp.journal.checks import (
    compute_checksums,
    damaged_error,
    is_whole,
    lost_lease_error,
    record_or_damaged,
)
from ih_mcp.journal.store import Batch, Entry, StreamRow
from ih_mcp.journal.usage import UsageTable
from ih_mcp.wire.minutes import MinutesBudget

from .connections import BEGIN, READ_SECONDS, WRITE_SECONDS, Connections, IsKept
from .leases import Lease

T = TypeVar("T")
_LAST_CURSOR = (1 << 32) - 1
_BEGIN: LiteralString = """
INSERT INTO streams(id, tenant, owner, created_at, record)
VALUES (%s, %s, %s, extract(epoch from clock_timestamp()), %s) RETURNING no
"""
_RECORD: LiteralString = """
UPDATE streams SET record = %s,
    ended_at = CASE WHEN %s THEN coalesce(ended_at, extract(epoch from clock_timestamp())) END
WHERE no = %s AND owner = %s AND (%s OR ended_at IS NULL)
"""
_END: LiteralString = """
UPDATE streams SET record = %s, ended_at = extract(epoch from clock_timestamp())
WHERE no = %s AND owner = %s AND ended_at IS NULL
"""
_SELECT: LiteralString = """
SELECT no, id, owner, created_at, ended_at, last, oldest, size, record FROM streams
WHERE tenant = %s
"""
_BEGINS: LiteralString = 'id COLLATE "C" >= %s AND id COLLATE "C" < %s'
"""A comparison may go by an index before the row security was asked; `starts_with` may not."""
_APPEND: LiteralString = """
UPDATE streams s SET last = v.last, size = s.size + v.size
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]) AS v(no, first, last, size)
WHERE s.no = v.no AND s.owner = %s AND s.last = v.first - 1 AND s.ended_at IS NULL
"""
_INSERT: LiteralString = """
INSERT INTO entries SELECT * FROM unnest(
    %b::bigint[], %b::integer[], %b::bigint[], %b::boolean[], %b::bytea[], %b::bigint[])
"""
_LOCK_OWNER: LiteralString = """
SELECT pg_current_xact_id()::text, pg_backend_pid() FROM owners WHERE name = {} FOR KEY SHARE
"""
_IS_KEPT: LiteralString = """
SELECT EXISTS (SELECT FROM streams WHERE tenant = %(tenant)s AND owner = %(owner)s
        AND xmin = %(number)s::xid8::xid)
    OR EXISTS (SELECT FROM usage u LEFT JOIN streams s ON s.id = u.stream_id
        WHERE u.tenant = %(tenant)s AND coalesce(s.owner, %(owner)s) = %(owner)s
        AND u.xmin = %(number)s::xid8::xid)
"""
"""Whatever a transaction of an owner writes, it also writes a row of its streams or their usage."""


class PostgresStore:
    """The journal of a tenant. Not thread-safe: one call at a time."""

    is_read_only = False

    def __init__(
        self, connections: Connections, lease: Lease, tenant: str, *, writes: bool
    ) -> None:
        self._connections = connections
        self._lease = lease
        self._tenant = tenant
        self._writes = writes
        self._seconds = self._left_seconds = WRITE_SECONDS if writes else READ_SECONDS
        self._db: Connection | None = None
        """The connection of the transaction that is open."""
        self.usage = UsageTable(self._execute, self._counting, _translating, tenant=tenant)

    def attempt(self, call: Callable[[], T], seconds: float) -> T:
        """Make a call of this store; again, while the server is away.

        Raises:
            JournalError: It is away for too long.
        """
        self._left_seconds = min(seconds, self._seconds)
        return self._connections.keep_trying(call, self._left_seconds, writes=self._writes)

    def stop_waiting(self) -> None:
        """Let a call that waits for the server fail."""
        self._connections.stop_waiting()

    def close(self) -> None:
        """The connections are closed by who opened them."""

    # --- transactions --------------------------------------------------------------------------

    def _begin(self, last: LiteralString) -> sql.Composed:
        return sql.SQL(BEGIN + last).format("=" + self._tenant, self._lease.name)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One state of the database for several statements."""
        if self._db is not None:
            yield self._db
            return
        with self._connections.borrow() as db, self._as_current(db):
            db.execute(
                sql.SQL(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                    "SELECT set_config('ih.tenant', {}, true)"
                ).format("=" + self._tenant),
                prepare=False,  # which would take one statement only
            )
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _as_current(self, db: Connection) -> Iterator[None]:
        self._db = db
        try:
            yield
        finally:
            self._db = None

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that is committed once, also where the answer to the commit is lost."""
        with self._transaction("SELECT pg_current_xact_id()::text, pg_backend_pid()") as connection:
            yield connection

    @contextmanager
    def _owning(self) -> Iterator[Connection]:
        """A transaction that is committed only while this process is not declared dead.

        Raises:
            JournalError: It is; another process has ended its streams.
        """
        with self._transaction(_LOCK_OWNER, self._is_kept) as connection:
            yield connection

    @contextmanager
    def _transaction(
        self, last: LiteralString, is_kept: IsKept | None = None
    ) -> Iterator[Connection]:
        opening = self._connections.transaction(self._begin(last), is_kept, self._left_seconds)
        with opening as (db, is_begun), self._as_current(db):
            if not is_begun:
                raise lost_lease_error()
            yield db

    def _is_kept(self, db: Connection, number: str) -> bool:
        """Whether the rows of a transaction of `_owning` are there, and where the copy is too.

        No other of this store was begun meanwhile, so that only that one can have written them.
        """
        db.execute(self._begin(_LOCK_OWNER), prepare=False)
        asked = {"tenant": self._tenant, "owner": self._lease.name, "number": number}
        row = db.execute(_IS_KEPT, asked).fetchone()
        db.execute("COMMIT")  # answered when the copy has this lock, and all that is older
        return bool(row and row[0])

    @contextmanager
    def _counting(self) -> Iterator[Connection]:
        """Like `_owning`, one of a tenant at a time."""
        with self._owning() as connection:
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('ih_mcp ' || %s, 0))",
                (self._tenant,),
            )
            yield connection

    def _execute(self, statement: str, values: Sequence[object]) -> psycopg.Cursor:
        """For the table of usage."""
        with self._reading() as connection:
            text: Any = statement.replace("?", "%s")
            found = connection.cursor()
            found.execute(text, values)
            return found

    # --- writing -------------------------------------------------------------------------------

    def begin_stream(
        self,
        stream_id: str,
        owner: str,
        record: str,
        *,
        budget: MinutesBudget | None = None,
        planned_seconds: float = 0.0,
    ) -> int:
        """Insert a new stream; see `Store.begin_stream`."""
        with _translating("write"), self._counting() as db:
            if budget is not None and budget.max_live_streams is not None:
                budget.require_live_streams(self._count_live(db))
            row = db.execute(
                _BEGIN,
                (stream_id, self._tenant, owner, record),
            ).fetchone()
            if budget is not None:
                self.usage.reserve(stream_id, budget, planned_seconds)
        assert row is not None
        return int(row[0])

    def _count_live(self, db: Connection) -> int:
        live = "SELECT count(*) FROM streams WHERE tenant = %s AND ended_at IS NULL"
        row = db.execute(live, (self._tenant,)).fetchone()
        return int(row[0]) if row else 0

    def append(self, batches: Iterable[Batch]) -> None:
        """Commit entries of any number of streams at once.

        Raises:
            JournalError: A stream is not of this process any more, or the server refuses it.
        """
        batches = list(batches)
        heads = [(b.no, b.rows[0][0] - (b.no << 32), b.last, b.size) for b in batches]
        rows = [row for batch in batches for row in batch.rows]
        checksums = list(compute_checksums(rows))
        places, legs, times, bodies = zip(*rows, strict=True)
        with _translating("write"), self._owning() as db:
            moved = db.execute(_APPEND, (*map(list, zip(*heads, strict=True)), self._lease.name))
            if moved.rowcount != len(batches):
                raise lost_lease_error()
            texts = [isinstance(body, str) for body in bodies]
            raw = [body.encode() if isinstance(body, str) else body for body in bodies]
            db.execute(_INSERT, (list(places), list(legs), list(times), texts, raw, checksums))

    def sync(self) -> None:
        """Nothing is left to do: a commit is on the disk."""

    def write_record(self, no: int, record: str, *, ended: bool) -> None:
        """Replace the record of a stream of this process; `ended` also sets the time of its end."""
        with _translating("write"), self._owning() as db:
            written = db.execute(
                _RECORD,
                (record, ended, no, self._lease.name, ended),
            )
            if ended and not written.rowcount:
                raise lost_lease_error()

    def end_stream(self, row: StreamRow, record: str) -> None:
        """End a stream whose owner is dead, unless somebody has meanwhile."""
        with _translating("write"), self._writing() as db:
            db.execute(_END, (record, row.no, row.owner))

    def adopt_stream(self, stream_id: str, owner: str) -> StreamRow | None:
        """Give an orphaned stream a new owner; it is live again.

        Raises:
            JournalError: Its owner lives.
        """
        with _translating("write"), self._owning() as db:
            db.execute(
                "UPDATE streams SET owner = %s, ended_at = NULL WHERE id = %s AND tenant = %s "
                "AND (ended_at IS NOT NULL OR owner NOT IN (SELECT name FROM owners))",
                (owner, stream_id, self._tenant),
            )
            row = self.find_stream(stream_id)
        if row and row.owner != owner:
            raise JournalError(f"{stream_id} is of another process", code="elsewhere", retry=True)
        return row

    def remove_streams(self, numbers: Iterable[int]) -> None:
        """Remove streams and their entries; what they used stays counted."""
        with _translating("write"), self._writing() as db:
            self._remove(db, numbers)

    def _remove(self, db: Connection, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        self.usage.forget_streams(numbers)
        for no in numbers:
            db.execute(
                "DELETE FROM entries WHERE place BETWEEN %s AND %s", (no << 32, (no + 1 << 32) - 1)
            )
            db.execute("DELETE FROM streams WHERE no = %s", (no,))

    def forget(self, rows: Sequence[StreamRow]) -> str:
        """Remove streams that are over, and say where the server may hold copies.

        Raises:
            CallerError: A stream goes on meanwhile; all are kept.
            JournalError: The server refuses it; all are kept.
        """
        with _translating("write"), self._writing() as db:
            for row in rows:
                same = "SELECT FROM streams WHERE no = %s AND id = %s AND owner = %s FOR UPDATE"
                if db.execute(same, (row.no, row.id, row.owner)).fetchone() is None:
                    raise CallerError(
                        f"{row.id} goes on in another process meanwhile, or is forgotten already",
                        code="stream_live",
                        help="Nothing was forgotten. Run the command again.",
                    )
            self._remove(db, (row.no for row in rows))
        return (
            "the database keeps removed rows until it cleans its tables (VACUUM) and recycles its "
            "log; backups and copies of it hold what they held"
        )

    def release_promises(self) -> None:
        """Free the minutes that were promised to streams which are over."""
        with _translating("write"), self._writing():
            self.usage.release()

    def trim_stream(self, no: int, below: int) -> int:
        """Remove the entries of a stream before cursor `below`, and return their bytes."""
        with _translating("write"), self._owning() as db:
            row = db.execute(
                "WITH gone AS (DELETE FROM entries WHERE place BETWEEN %s AND %s "
                "RETURNING length(body) AS size) SELECT coalesce(sum(size), 0) FROM gone",
                (no << 32, (no << 32 | below) - 1),
            ).fetchone()
            size = int(row[0]) if row else 0
            db.execute(
                "UPDATE streams SET oldest = greatest(oldest, %s), size = greatest(0, size - %s) "
                "WHERE no = %s",
                (below, size, no),
            )
        return size

    # --- reading -------------------------------------------------------------------------------

    def find_stream(self, stream_id: str) -> StreamRow | None:
        rows = self._select("AND id = %s", stream_id)
        return rows[0] if rows else None

    def list_streams(self, prefix: str = "", newest: int = -1) -> list[StreamRow]:
        """The streams whose ids begin with `prefix`, oldest first; of many the newest ones."""
        most = newest if newest >= 0 else None
        newest_first = f"AND {_BEGINS} ORDER BY no DESC LIMIT %s"
        # Planned for each tenant anew: one plan for all of them would sort all streams of each.
        return self._select(newest_first, *_range(prefix), most, prepare=False)[::-1]

    def count_streams(self, prefix: str = "") -> int:
        """How many streams there are whose ids begin with `prefix`."""
        with _translating("read"), self._reading() as db:
            row = db.execute(
                f"SELECT count(*) FROM streams WHERE tenant = %s AND {_BEGINS}",  # noqa: S608 - our own words
                (self._tenant, *_range(prefix)),
            ).fetchone()
        return int(row[0]) if row else 0

    def read_clock(self) -> float:
        """The time of the database, by which ends of streams are noted, in seconds."""
        with _translating("read"), self._reading() as db:
            row = db.execute("SELECT extract(epoch from clock_timestamp())::float8").fetchone()
        assert row
        return float(row[0])

    def find_lengths(self, stream_ids: Iterable[str]) -> dict[str, tuple[int, bool]]:
        """The newest cursor of each of these streams, and whether it is over."""
        with _translating("read"), self._reading() as db:
            found = db.execute(
                "SELECT id, last, ended_at IS NOT NULL FROM streams "
                "WHERE tenant = %s AND id = ANY(%s)",
                (self._tenant, list(stream_ids)),
            )
            return {name: (last, is_over) for name, last, is_over in found}

    def read_page(
        self, stream_id: str, after: int, *, limit: int, max_chars: int
    ) -> tuple[StreamRow, list[Entry]] | None:
        """Read a stream and its entries after a cursor; see `Store.read_page`."""
        after = min(after, _LAST_CURSOR)
        with _translating("read"), self._reading() as db:
            row = self.find_stream(stream_id)
            if row is None:
                return None
            entries = self._entries(db, row, after, limit=limit, max_chars=max_chars)
        if not entries and row.oldest <= after + 1 <= row.last:
            raise damaged_error(stream_id, after + 1)
        return row, entries

    def _entries(
        self, db: Connection, row: StreamRow, after: int, *, limit: int, max_chars: int
    ) -> list[Entry]:
        base = row.no << 32
        expected = base | max(after + 1, row.oldest)
        entries: list[Entry] = []
        chars = 0
        found = db.cursor(binary=True)
        found.execute(
            "SELECT place, leg, received_at, is_text, body, checksum FROM entries "
            "WHERE place > %s AND place <= %s ORDER BY place LIMIT %s",
            (base | after, base | _LAST_CURSOR, limit),
        )
        for place, leg, received_at, is_text, raw, written in found:
            body = _decode(raw) if is_text else raw
            if place != expected or not is_whole((place, leg, received_at, body), written):
                break
            chars += len(body)
            if entries and chars > max_chars:
                break
            entries.append(Entry(place - base, leg, received_at, body))
            expected += 1
        return entries

    def _select(
        self, condition: LiteralString, *values: object, prepare: bool | None = None
    ) -> list[StreamRow]:
        with _translating("read"), self._reading() as db:
            found = db.execute(_SELECT + condition, (self._tenant, *values), prepare=prepare)
            known = starmap(StreamRow, found)
            return [replace(row, record=record_or_damaged(row.record)) for row in known]


def _range(prefix: str) -> tuple[str, str]:
    """Between which texts all are that begin so; for `_BEGINS`."""
    return prefix, f"{prefix}\U0010ffff"


def _decode(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:  # damaged: its checksum tells
        return raw


@contextmanager
def _translating(verb: str) -> Iterator[None]:
    """Translate the errors of the database into ours, but not that it is away."""
    try:
        yield
    except (psycopg.Error, OverflowError) as exc:
        raise JournalError(
            f"the journal cannot {verb}: {exc}".splitlines()[0],
            help="The database that IH_MCP_JOURNAL names refuses it; its log says why.",
        ) from exc
