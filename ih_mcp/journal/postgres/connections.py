"""Connections to PostgreSQL for calls in threads; a broken one is replaced.

A call that finds the server away is made again for a while, so that a restart of the server is a
wait and no failure. Nothing is done twice: where the answer to a commit is lost, the server is
asked what became of that transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Event
from typing import LiteralString, TypeVar

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.sql import Composed

from ih_mcp.errors import JournalError

T = TypeVar("T")

MAX_CONNECTIONS = 8
WRITE_SECONDS = 60.0
"""How long a write waits for a server that is away; then its streams fail."""
READ_SECONDS = 10.0
_PAUSE_SECONDS = 0.25
_OPTIONS = {
    "connect_timeout": "5",
    "application_name": "ih-mcp",
    # A server whose computer is gone is noticed in about this time.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Of several servers the one that takes writes; also LISTEN needs it.
    "target_session_attrs": "read-write",
}
_AWAY_CLASSES = ("08", "40", "53", "57")
"""Of SQLSTATE: connection, rolled back by the server, out of a resource, ended by an operator."""
_OPEN = {TransactionStatus.INTRANS, TransactionStatus.INERROR}
_READ_ONLY = "25006"  # it has become a copy, and another server takes over
_TERMINATE: LiteralString = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND usename = current_user AND wait_event IS DISTINCT FROM 'SyncRep'
"""
"""Not one that waits for the copy: its transaction would be seen before the copy has it."""
IsKept = Callable[[Connection, str], bool]
"""Whether the rows are there that the transaction of a number has written."""


class EngineAwayError(Exception):
    """The server did not do it, and may do it later."""


class Connections:
    """Hands out connections, each to one call at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = with_timeouts(dsn)
        self._free: list[Connection] = []
        self._slots = BoundedSemaphore(MAX_CONNECTIONS)
        self._stopping = Event()
        self._away_since: float | None = None

    def connect(self) -> Connection:
        """A new connection, outside of those that are handed out."""
        return psycopg.connect(self._dsn, autocommit=True)

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """A connection for one transaction.

        Raises:
            EngineAwayError: The server cannot be reached, or ended the connection.
        """
        with self._slots:
            connection = self._free.pop() if self._free else None
            try:
                if connection is None:
                    connection = self.connect()
                yield connection
            except psycopg.Error as exc:
                if is_away(exc, connection):
                    if connection is not None:
                        connection.close()  # another server may do it
                    raise EngineAwayError(str(exc)) from exc
                raise
            finally:
                self._give_back(connection)

    def _give_back(self, connection: Connection | None) -> None:
        if connection is None:
            return
        if connection.info.transaction_status in _OPEN:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
        if connection.info.transaction_status is TransactionStatus.IDLE:
            self._free.append(connection)
        else:
            connection.close()

    @contextmanager
    def transaction(
        self, begin: Composed, is_kept: IsKept | None = None
    ) -> Iterator[tuple[Connection, bool]]:
        """A transaction that writes, and whether the last statement of its beginning gave a row.

        Args:
            begin: Statements that begin it; the last one gives its number, and its process.
            is_kept: See `_is_committed`.

        Raises:
            EngineAwayError: It is not committed.
        """
        with self.borrow() as connection:
            cursor = connection.execute(begin, prepare=False)  # one of many cannot be prepared
            while cursor.nextset():
                pass
            row = cursor.fetchone()
            yield connection, row is not None
            is_answered = self._commit(connection)
        number, process = row or ("", 0)
        if not is_answered and not self._is_committed(number, process, is_kept):
            raise EngineAwayError("the transaction was not committed")

    def _commit(self, connection: Connection) -> bool:
        """Commit, and give whether the server answered."""
        try:
            connection.execute("COMMIT")
        except psycopg.Error as exc:
            if is_away(exc, connection):
                return False
            raise
        return True

    def _is_committed(self, number: str, process: int, is_kept: IsKept | None = None) -> bool:
        """What became of a transaction whose commit was not answered.

        Args:
            is_kept: Asked where one of this number is committed: what a server had not written
                when it died, its copy or itself gives another transaction the number of.
        """

        def ask() -> bool:
            with self.borrow() as connection:
                try:
                    found = connection.execute("SELECT pg_xact_status(%s::xid8)", (number,))
                except psycopg.errors.InvalidParameterValue:  # of the future: lost with the server
                    return False
                (status,) = found.fetchone() or (None,)
                if status == "in progress":  # the server does not know that we are gone
                    connection.execute(_TERMINATE, (process,))
                    raise EngineAwayError("a transaction is still under way")
                return status == "committed" and (is_kept is None or is_kept(connection, number))

        return self.keep_trying(ask, WRITE_SECONDS)

    def keep_trying(self, call: Callable[[], T], seconds: float) -> T:
        """Make a call again while the server is away, since when it is for `seconds` at most.

        Raises:
            JournalError: It is away for longer, or this process ends.
        """
        while True:
            try:
                result = call()
            except EngineAwayError as exc:
                now = time.monotonic()
                since = self._away_since = now if self._away_since is None else self._away_since
                if now - since >= seconds or self._stopping.wait(_PAUSE_SECONDS):
                    raise _away_error(exc) from exc
            else:
                self._away_since = None
                return result

    def stop_waiting(self) -> None:
        """Let calls that wait for the server fail: the process ends."""
        self._stopping.set()

    def close(self) -> None:
        self.stop_waiting()
        while self._free:
            self._free.pop().close()


def with_timeouts(dsn: str) -> str:
    """An address with our options, where it says nothing else."""
    return str(make_conninfo("", **(_OPTIONS | conninfo_to_dict(dsn))))


def is_away(error: psycopg.Error, connection: Connection | None) -> bool:
    """Whether the same may succeed later, since the server or the connection is not there."""
    if connection is None or connection.closed:
        return True
    state = error.sqlstate or ""
    return state[:2] in _AWAY_CLASSES or state == _READ_ONLY


def _away_error(error: Exception) -> JournalError:
    reason = str(error).splitlines()
    return JournalError(
        f"the database of the journal does not answer: {reason[0] if reason else 'no reason'}",
        help="Look whether it runs and can be reached; what was shown before is kept there.",
        retry=True,
    )
