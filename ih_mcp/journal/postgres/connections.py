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
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.sql import Composed

from ih_mcp.errors import JournalError

T = TypeVar("T")

MAX_CONNECTIONS = 8
WRITE_SECONDS = 60.0
"""How long a write waits for a server that is away; then its streams fail."""
READ_SECONDS = 10.0
ANSWER_SECONDS = 5.0
"""How long the server may take for a commit or a lease; then the connection is given up."""
_PAUSE_SECONDS = 0.25
_INTERVAL_SECONDS = 0.1  # of psycopg: how often it looks for signals
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
_LOCKED = "55P03"  # by a transaction that waits for the copy
COPY_WAIT = "SyncRep"
"""What a commit waits for that is on the server's disk, and not at its synchronous copy."""
_TERMINATE: LiteralString = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND usename = current_user AND wait_event IS DISTINCT FROM %s
"""
"""Not one that waits for the copy: its transaction would be seen before the copy has it."""
_BECAME: LiteralString = """
SELECT pg_xact_status(%s::xid8), (SELECT wait_event FROM pg_stat_activity WHERE pid = %s)
"""
_WAITS_FOR_COPY: LiteralString = """
SELECT FROM pg_stat_activity WHERE usename = current_user AND wait_event = %s
    AND query_start < clock_timestamp() - make_interval(secs => %s) LIMIT 1
"""
_USUAL_SECONDS = 2.0  # chosen: a commit that waits so long for the copy waits for its return
BEGIN: LiteralString = """
BEGIN; SELECT set_config('ih.tenant', {}, true), set_config('lock_timeout', '2s', true),
    set_config('idle_in_transaction_session_timeout', '10s', true);
"""
"""Begins a transaction that writes. A lock may be of one that waits for the copy: that one ends
first. And one of a process that is stopped in the middle of it is not waited for by others."""
IsKept = Callable[[Connection, str], bool]
"""Whether the rows are there that the transaction of a number has written."""


class EngineAwayError(Exception):
    """The server did not do it, and may do it later."""


class NotReachedError(EngineAwayError):
    """No connection to the server could be opened."""


class CopyAwayError(EngineAwayError):
    """The server has done it, and waits for its synchronous copy before it says so."""

    def __init__(self) -> None:
        super().__init__("its synchronous copy is away, and each commit waits for it")


class _BoundedConnection(Connection):
    """A connection that is closed where an answer does not come in time."""

    answer_seconds: float | None = None
    """How long to wait for each answer; None for as long as it takes."""

    def wait(
        self,
        gen: PQGen[RV],
        interval: float = _INTERVAL_SECONDS,
        timeout: float | None = None,
    ) -> RV:
        timeout = timeout or self.answer_seconds
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError as exc:
            if self.info.transaction_status is not TransactionStatus.ACTIVE:
                raise
            self.close()
            raise psycopg.OperationalError(f"no answer came within {timeout:g} s") from exc


class Connections:
    """Hands out connections, each to one call at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = with_timeouts(dsn)
        self._free: list[_BoundedConnection] = []
        self._slots = BoundedSemaphore(MAX_CONNECTIONS)
        self._stopping = Event()
        self._away_since: dict[bool, float] = {}
        """Since when calls have failed: those that write, and the others."""
        self.copy_is_away = False
        """Whether commits wait for the server's copy; found out by the renewal of the lease."""

    def connect(self) -> _BoundedConnection:
        """A new connection, outside of those that are handed out."""
        return _BoundedConnection.connect(self._dsn, autocommit=True)

    @contextmanager
    def borrow(self, answer_seconds: float | None = None) -> Iterator[_BoundedConnection]:
        """A connection for one transaction.

        Args:
            answer_seconds: How long to wait for each answer; None for as long as it takes.

        Raises:
            EngineAwayError: The server cannot be reached, ended the connection, or is too slow.
        """
        with self._slots:
            connection = self._free.pop() if self._free else None
            try:
                if connection is None:
                    connection = self.connect()
                connection.answer_seconds = answer_seconds
                yield connection
            except psycopg.Error as exc:
                if connection is None:
                    raise NotReachedError(str(exc)) from exc
                if is_away(exc, connection):
                    connection.close()  # another server may do it
                    raise EngineAwayError(str(exc)) from exc
                raise
            finally:
                self._give_back(connection)

    def _give_back(self, connection: _BoundedConnection | None) -> None:
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
        self, begin: Composed, is_kept: IsKept | None = None, seconds: float = WRITE_SECONDS
    ) -> Iterator[tuple[Connection, bool]]:
        """A transaction that writes, and whether the last statement of its beginning gave a row.

        Args:
            begin: Statements that begin it; the last one gives its number, and its process.
            is_kept: See `_is_committed`.
            seconds: How long to ask what became of it, where its commit is not answered.

        Raises:
            EngineAwayError: It is not committed.
            JournalError: What became of it is not known.
        """
        if self.copy_is_away:  # it would hold its locks, and its connection, until that is back
            raise CopyAwayError
        with self.borrow() as connection:
            cursor = connection.execute(begin, prepare=False)  # one of many cannot be prepared
            while cursor.nextset():
                pass
            row = cursor.fetchone()
            yield connection, row is not None
            is_answered = self._commit(connection)
        number, process = row or ("", 0)
        if not is_answered and not self._is_committed(number, process, is_kept, seconds):
            raise EngineAwayError("the transaction was not committed")

    def _commit(self, connection: _BoundedConnection) -> bool:
        """Commit, and give whether the server answered in time."""
        connection.answer_seconds = ANSWER_SECONDS
        try:
            connection.execute("COMMIT")
        except psycopg.Error as exc:
            if is_away(exc, connection):
                return False
            raise
        return True

    def _is_committed(
        self,
        number: str,
        process: int,
        is_kept: IsKept | None = None,
        seconds: float = WRITE_SECONDS,
    ) -> bool:
        """What became of a transaction whose commit was not answered.

        Args:
            is_kept: Asked where one of this number is committed: what a server had not written
                when it died, its copy or itself gives another transaction the number of.
        """

        def ask() -> bool:
            with self.borrow(ANSWER_SECONDS) as connection:
                try:
                    found = connection.execute(_BECAME, (number, process))
                except psycopg.errors.InvalidParameterValue:  # of the future: lost with the server
                    return False
                status, waits_for = found.fetchone() or (None, None)
                if status == "in progress" and waits_for == COPY_WAIT:
                    raise CopyAwayError
                if status == "in progress":  # the server does not know that we are gone
                    connection.execute(_TERMINATE, (process, COPY_WAIT))
                    raise EngineAwayError("a transaction is still under way")
                return status == "committed" and (is_kept is None or is_kept(connection, number))

        return self.keep_trying(ask, seconds, writes=True)

    def waits_for_copy(self) -> bool:
        """Whether a commit of this user waits for the server's copy to come back.

        Raises:
            EngineAwayError: The server does not answer.
        """
        with self.borrow(ANSWER_SECONDS) as connection:
            found = connection.execute(_WAITS_FOR_COPY, (COPY_WAIT, _USUAL_SECONDS))
            return found.fetchone() is not None

    def find_reason(self, error: EngineAwayError) -> EngineAwayError:
        """Why the server did not do something, where it says more than the error does."""
        if isinstance(error, NotReachedError):
            return error
        with suppress(EngineAwayError):
            return CopyAwayError() if self.waits_for_copy() else error
        return error

    def keep_trying(self, call: Callable[[], T], seconds: float, *, writes: bool = False) -> T:
        """Make a call again while the server is away, since when it is for `seconds` at most.

        Args:
            writes: Whether it does; a server whose copy is away reads on.

        Raises:
            JournalError: It is away for longer, or this process ends.
        """
        while True:
            try:
                result = call()
            except EngineAwayError as exc:
                now = time.monotonic()
                since = self._away_since.setdefault(writes, now)
                if now - since >= seconds or self._stopping.wait(_PAUSE_SECONDS):
                    raise away_error(self.find_reason(exc)) from exc
            else:
                self._away_since.pop(writes, None)
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
    return state[:2] in _AWAY_CLASSES or state in {_READ_ONLY, _LOCKED}


def away_error(error: EngineAwayError) -> JournalError:
    """The error for what the server did not do."""
    if isinstance(error, CopyAwayError):
        return JournalError(
            f"the database of the journal keeps nothing new: {error}",
            help="What was shown before can be read. Whoever runs the database brings the copy "
            "back, or takes it out of synchronous_standby_names.",
            retry=True,
        )
    reason = str(error).splitlines()
    return JournalError(
        f"the database of the journal does not answer: {reason[0] if reason else 'no reason'}",
        help="Check whether it runs and can be reached; what was shown before is kept there.",
        retry=True,
    )
