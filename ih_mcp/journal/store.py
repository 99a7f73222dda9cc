"""The file below the journal: SQLite, synchronous, one writer thread at a time.

Every call may block; the journal makes them in a worker thread. Several processes may share
the file: stream ids are random, and each stream has one owner that writes it.

Durability: WAL with `synchronous=NORMAL`. A committed row survives the death of the process
(`kill -9` included). A power failure may take what was committed since the last `sync`, never a
part in the middle; where `strict` is asked for, each commit is on the disk before it returns.

SQLite has no checksums of its own beyond the WAL. Here each entry has one, and cursors have no
gaps; a damaged file is reported instead of read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, starmap
from operator import add
from pathlib import Path
from typing import NamedTuple, TypeVar

from ih_mcp.errors import CallerError, JournalError
from ih_mcp.wire.minutes import MinutesBudget

from .checks import compute_checksums, damaged_error, is_whole, record_or_damaged
from .disk import file_identity, is_read_only_journal, make_private, sync_file
from .usage import UsageTable, create_usage_table

T = TypeVar("T")
_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams(
    no INTEGER PRIMARY KEY,         -- high half of the place of its entries
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,            -- the process that writes it; see owners.py
    created_at REAL NOT NULL,       -- seconds since the epoch
    ended_at REAL,                  -- NULL while it lives
    last INTEGER NOT NULL DEFAULT 0,    -- newest cursor
    oldest INTEGER NOT NULL DEFAULT 1,  -- oldest cursor still kept
    size INTEGER NOT NULL DEFAULT 0,    -- of its messages, in bytes; once in characters
    record TEXT NOT NULL            -- JSON: the newest status record
);
CREATE TABLE IF NOT EXISTS entries(
    place INTEGER PRIMARY KEY,      -- no << 32 | cursor
    leg INTEGER NOT NULL,
    received_at INTEGER NOT NULL,   -- microseconds since the epoch
    body,                           -- TEXT as it came; BLOB for a binary message
    checksum INTEGER                -- see checks.py; NULL in what version 1 wrote
);
"""
_UPGRADES = {1: "ALTER TABLE entries ADD COLUMN checksum INTEGER;"}
_INSERTS = {  # one statement for many rows: every step of a statement gives up the interpreter
    rows: "INSERT INTO entries VALUES " + ",".join(["(?,?,?,?,?)"] * rows)  # noqa: S608 - our words
    for rows in (256, 32, 4, 1)
}
_BUSY_SECONDS = 10.0
_ROW_BYTES = 32  # measured: 30 to 31 of an empty message, by its place and time


class Entry(NamedTuple):
    """A message as it came, with its place."""

    cursor: int
    """The stream's own counter, from 1."""
    leg: int
    """The part of the stream one API session carried, from 0."""
    received_at: int
    """Arrival, in microseconds since the epoch (UTC)."""
    body: str | bytes
    """Text as it came; bytes where the API sent a binary message."""


EntryRow = tuple[int, int, int, str | bytes]
"""An `Entry` on its way to the disk, with its place instead of its cursor; cheaper than a class."""


def count_body_bytes(body: str | bytes) -> int:
    """Bytes of a message in the file, without its row."""
    if isinstance(body, bytes) or body.isascii():  # known without a look at it
        return len(body)
    return len(body.encode(errors="surrogatepass"))  # an unwritable text fails at the write


def estimate_disk_bytes(size: int, rows: int) -> int:
    """Disk space of messages of `size` bytes; each takes a row as well."""
    return size + _ROW_BYTES * rows


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one stream that are committed together, in order."""

    no: int
    rows: Sequence[EntryRow]
    size: int
    """Of the messages, in bytes."""

    @property
    def last(self) -> int:
        """The newest cursor."""
        return self.rows[-1][0] - (self.no << 32)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as the database has it."""

    no: int
    id: str
    owner: str
    created_at: float
    ended_at: float | None
    last: int
    oldest: int
    size: int
    """Of all messages, in bytes."""
    record: str

    @property
    def disk_bytes(self) -> int:
        """Disk space of its messages."""
        return estimate_disk_bytes(self.size, self.last - self.oldest + 1)


_LAST_CURSOR = (1 << 32) - 1
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_COLUMNS = "no, id, owner, created_at, ended_at, last, oldest, size, record"
_TYPES = (int, str, str, float, float | None, int, int, int, object)


class Store:
    """The journal's file, opened for this process. Not thread-safe: one call at a time."""

    def __init__(self, path: Path, *, strict: bool = False) -> None:
        """Open or create `path`, private to the user.

        Args:
            strict: Whether a commit is on the disk before it returns.

        Raises:
            JournalError: The folder or file cannot be used.
        """
        self.path = path
        self.is_read_only = False
        """Whether the file can be read and not written."""
        with self._translating_errors("open"), ExitStack() as undo:
            self.is_read_only = is_read_only_journal(path)
            if not self.is_read_only:
                make_private(path)
            self._db = self._connect()
            undo.callback(self.close)  # the error may ask the user to move the file
            if self.is_read_only:
                self._check_readable()
            else:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute(f"PRAGMA synchronous={'FULL' if strict else 'NORMAL'}")
                self._db.execute("PRAGMA fullfsync=ON")  # macOS: else it stops at the disk's cache
                self._create_or_upgrade()
            create_usage_table(self._db, self._transaction, is_read_only=self.is_read_only)
            self.usage = UsageTable(self._db.execute, self._transaction, self._translating_errors)
            self._identity = file_identity(path)
            undo.pop_all()

    def _connect(self, how: str = "mode=ro") -> sqlite3.Connection:
        place = f"{self.path.absolute().as_uri()}?{how}" if self.is_read_only else self.path
        return sqlite3.connect(
            place,
            uri=self.is_read_only,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_SECONDS,
        )

    def _check_readable(self) -> None:
        """Check that a file that cannot be written can be read.

        SQLite needs a WAL beside it, and creates one where it can. Without a WAL no process writes,
        and the file is complete.
        """
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError:
            wal = Path(f"{self.path}-wal")
            if wal.exists() and wal.stat().st_size:
                raise
            self.close()
            self._db = self._connect("immutable=1")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != _SCHEMA_VERSION:
            raise JournalError(
                f"the journal {self.path.name} is read-only, and of another version of ih-mcp",
                help="Copy its folder to where this user can write, and name that in "
                "IH_MCP_DATA_DIR.",
            )

    def _create_or_upgrade(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version in _UPGRADES:
            to_this = f"{_UPGRADES[version]}PRAGMA user_version={_SCHEMA_VERSION}"
            self._db.executescript(f"BEGIN IMMEDIATE;{to_this};COMMIT;")
        elif version not in {0, _SCHEMA_VERSION}:
            raise JournalError(
                f"the journal {self.path.name} was written by another version of ih-mcp",
                help="Set IH_MCP_DATA_DIR to another folder, or update ih-mcp.",
            )
        elif version == 0:
            self._db.executescript(
                f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};COMMIT;"
            )

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._db.close()

    def attempt(self, call: Callable[[], T], seconds: float) -> T:  # noqa: ARG002 - as a database
        """Make a call of this store, once: SQLite itself waits for other processes."""
        return call()

    def stop_waiting(self) -> None:
        """No call waits for long."""

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
        """Insert a new stream, and return its number.

        Args:
            budget: What its media is counted under; None where nothing is counted.
            planned_seconds: The length of its media, where that is known.

        Raises:
            UsedUpError: A limit would be exceeded; there is no stream then.
        """
        with self._translating_errors("write"), self._transaction():
            if budget is not None and budget.max_live_streams is not None:
                budget.require_live_streams(self._count_live())
            cursor = self._db.execute(
                "INSERT INTO streams(id, owner, created_at, record) VALUES (?,?,?,?)",
                (stream_id, owner, time.time(), record),
            )
            if budget is not None:
                self.usage.reserve(stream_id, budget, planned_seconds)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _count_live(self) -> int:
        live = "SELECT count(*) FROM streams WHERE ended_at IS NULL"
        (count,) = self._db.execute(live).fetchone()
        return int(count)

    def append(self, batches: Iterable[Batch]) -> None:
        """Commit entries of any number of streams at once."""
        with self._translating_errors("write"), self._transaction():
            for batch in batches:
                start, left = 0, len(batch.rows)
                while left:
                    count = next(size for size in _INSERTS if size <= left)
                    rows = batch.rows[start : start + count]
                    summed = map(add, rows, zip(compute_checksums(rows), strict=False))
                    self._db.execute(_INSERTS[count], list(chain.from_iterable(summed)))
                    start, left = start + count, left - count
                self._db.execute(
                    "UPDATE streams SET last=?, size=size+? WHERE no=?",
                    (batch.last, batch.size, batch.no),
                )

    def sync(self) -> None:
        """Wait until every commit is on the disk.

        Another thread may call the store meanwhile.

        Raises:
            JournalError: The disk failed, or the file was removed.
        """
        with self._translating_errors("write"):
            if file_identity(self.path) != self._identity:
                raise FileNotFoundError("its file was moved or removed")
            with suppress(FileNotFoundError):  # no WAL: all of it is in the file, which is synced
                sync_file(Path(f"{self.path}-wal"))

    def write_record(self, no: int, record: str, *, ended: bool) -> None:
        """Replace the record of a stream; `ended` also sets the time of its end, once."""
        with self._translating_errors("write"):
            self._db.execute(
                "UPDATE streams SET record=?, ended_at=coalesce(ended_at, ?) "
                "WHERE no=? AND (? OR ended_at IS NULL)",
                (record, time.time() if ended else None, no, ended),
            )

    def end_stream(self, row: StreamRow, record: str) -> None:
        """End a stream whose owner is dead, unless somebody has meanwhile, or has adopted it."""
        with self._translating_errors("write"):
            self._db.execute(
                "UPDATE streams SET record=?, ended_at=? "
                "WHERE no=? AND owner=? AND ended_at IS NULL",
                (record, time.time(), row.no, row.owner),
            )

    def adopt_stream(self, stream_id: str, owner: str) -> StreamRow | None:
        """Give an orphaned stream a new owner; it is live again."""
        with self._translating_errors("write"):
            self._db.execute(
                "UPDATE streams SET owner=?, ended_at=NULL WHERE id=?", (owner, stream_id)
            )
        return self.find_stream(stream_id)

    def remove_streams(self, numbers: Iterable[int]) -> None:
        """Remove streams and their entries; what they used stays counted."""
        with self._translating_errors("write"), self._transaction():
            self._remove(numbers)

    def _remove(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        self.usage.forget_streams(numbers)
        for no in numbers:
            self._db.execute(
                "DELETE FROM entries WHERE place BETWEEN ? AND ?",
                (no << 32, (no + 1 << 32) - 1),
            )
            self._db.execute("DELETE FROM streams WHERE no=?", (no,))

    def forget(self, rows: Sequence[StreamRow]) -> str:
        """Remove streams that are over so that no byte of their messages is left in the file.

        What is deleted is overwritten. Then the file is written anew, since what was deleted before
        was not overwritten and SQLite leaves copies where it moved entries; and its WAL is emptied.
        Gives why a copy may be left; empty where none is.

        Raises:
            CallerError: A stream goes on meanwhile; all are kept.
            JournalError: The disk refuses it; all are kept.
        """
        with self._translating_errors("write"):
            self._db.execute("PRAGMA secure_delete=ON")
            with self._transaction():
                for row in rows:
                    self._require_unchanged(row)
                self._remove(row.no for row in rows)
        try:
            self._db.execute("VACUUM")
            (is_busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as exc:
            return f"the file could not be written anew ({exc})"
        return "another process still reads an older state of the journal" if is_busy else ""

    def _require_unchanged(self, row: StreamRow) -> None:
        same = "SELECT 1 FROM streams WHERE no=? AND id=? AND owner=?"
        if self._db.execute(same, (row.no, row.id, row.owner)).fetchone() is None:
            raise CallerError(
                f"{row.id} goes on in another process meanwhile, or is forgotten already",
                code="stream_live",
                help="Nothing was forgotten. Run the command again.",
            )

    def release_promises(self) -> None:
        """Free the minutes that were promised to streams which are over."""
        with self._translating_errors("write"), self._transaction():
            self.usage.release()

    def trim_stream(self, no: int, below: int) -> int:
        """Remove the entries of a stream before cursor `below`, and return their bytes."""
        range_ = (no << 32, (no << 32 | below) - 1)
        with self._translating_errors("write"), self._transaction():
            (size,) = self._db.execute(
                # as bytes: of a text SQLite counts characters, and those up to a NUL
                "SELECT coalesce(sum(length(CAST(body AS BLOB))), 0) FROM entries "
                "WHERE place BETWEEN ? AND ?",
                range_,
            ).fetchone()
            self._db.execute("DELETE FROM entries WHERE place BETWEEN ? AND ?", range_)
            self._db.execute(
                "UPDATE streams SET oldest=max(oldest, ?), size=max(0, size-?) WHERE no=?",
                (below, size, no),
            )
        return int(size)

    # --- reading -------------------------------------------------------------------------------

    def find_stream(self, stream_id: str) -> StreamRow | None:
        rows = self._select("WHERE id=?", stream_id)
        return rows[0] if rows else None

    def list_streams(self, prefix: str = "", newest: int = -1) -> list[StreamRow]:
        """The streams whose ids begin with `prefix`, oldest first; of many the newest ones."""
        return self._select("WHERE id GLOB ? ORDER BY no DESC LIMIT ?", f"{prefix}*", newest)[::-1]

    def count_streams(self, prefix: str = "") -> int:
        """How many streams there are whose ids begin with `prefix`."""
        with self._translating_errors("read"):
            query = "SELECT COUNT(*) FROM streams WHERE id GLOB ?"
            (count,) = self._db.execute(query, (f"{prefix}*",)).fetchone()
            return int(count)

    def read_page(
        self, stream_id: str, after: int, *, limit: int, max_chars: int
    ) -> tuple[StreamRow, list[Entry]] | None:
        """Read a stream and its entries after a cursor, in order; None if it is unknown.

        At most `limit` entries and `max_chars` characters, but at least one entry. A page ends
        before a damaged entry.

        Raises:
            JournalError: The entry after the cursor is damaged or missing (`journal_damaged`).
        """
        after = min(after, _LAST_CURSOR)  # beyond it are the places of other streams
        with self._translating_errors("read"), self._snapshot():
            row = self.find_stream(stream_id)
            if row is None:
                return None
            entries = self._entries(row, after, limit=limit, max_chars=max_chars)
        if not entries and row.oldest <= after + 1 <= row.last:
            raise damaged_error(stream_id, after + 1)
        return row, entries

    def _entries(self, row: StreamRow, after: int, *, limit: int, max_chars: int) -> list[Entry]:
        base = row.no << 32
        expected = base | max(after + 1, row.oldest)
        entries: list[Entry] = []
        chars = 0
        found = self._db.execute(
            "SELECT place, leg, received_at, body, checksum FROM entries "
            "WHERE place > ? AND place <= ? ORDER BY place LIMIT ?",
            (base | after, base | _LAST_CURSOR, limit),
        )
        with closing(found):
            for *fields, written in found:
                place, leg, received_at, body = fields
                if place != expected or not is_whole(fields, written):
                    break
                chars += len(body)
                if entries and chars > max_chars:
                    break
                entries.append(Entry(place - base, leg, received_at, body))
                expected += 1
        return entries

    def _select(self, condition: str, *values: object) -> list[StreamRow]:
        with self._translating_errors("read"):
            found = self._db.execute(f"SELECT {_COLUMNS} FROM streams {condition}", values)  # noqa: S608 - our own words
            rows = [row for row in found if all(map(isinstance, row, _TYPES))]  # damage: anything
            known = starmap(StreamRow, rows)
            return [replace(row, record=record_or_damaged(row.record)) for row in known]

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read one state several times, while another connection may write."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._db.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _translating_errors(self, verb: str) -> Iterator[None]:
        """Translate the errors of the database into ours."""
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError, UnicodeDecodeError) as exc:
            if self.is_read_only and verb != "read":
                raise self._read_only_error(verb, exc) from exc
            helps = "Free disk space or set IH_MCP_DATA_DIR to a folder this user can write to."
            is_torn = isinstance(exc, UnicodeDecodeError)  # of SQLite's words about a torn schema
            if is_torn or getattr(exc, "sqlite_errorcode", None) in _CORRUPT:
                helps = (
                    f"The file is damaged. Move {self.path.name} and the files beside it away, or "
                    "set IH_MCP_DATA_DIR to another folder."
                )
            raise JournalError(f"the journal cannot {verb}: {exc}", help=helps) from exc

    def _read_only_error(self, verb: str, exc: Exception) -> JournalError:
        what = f"the journal cannot {verb}: {self.path.parent} is read-only for this user"
        helps = "Set IH_MCP_DATA_DIR to a folder this user can write to."
        if verb == "open":
            what = f"{what} ({exc})"
            helps = f"Copy what is kept to another folder. {helps}"
        return JournalError(what, help=helps, code="journal_read_only")
