"""One-time tickets that all replicas know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import LiteralString, TypeVar

from anyio import to_thread
from psycopg import Connection, sql

from ih_mcp.journal.tickets import MAX_OF_TENANT, Ticket

from .connections import BEGIN, READ_SECONDS, Connections

T = TypeVar("T")
_TICKET: LiteralString = """
SELECT set_config('ih.ticket', {}, true); SELECT pg_current_xact_id()::text, pg_backend_pid()
"""
_ROOM: LiteralString = """
DELETE FROM tickets WHERE tenant = %s AND (until <= clock_timestamp() OR digest NOT IN (
    SELECT digest FROM tickets WHERE tenant = %s ORDER BY until DESC LIMIT %s))
"""
_ADD: LiteralString = """
INSERT INTO tickets(digest, tenant, subject, until)
VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
"""
_FIND: LiteralString = """
SELECT tenant, subject, extract(epoch from until)::double precision FROM tickets
WHERE digest = %s AND until > clock_timestamp()
"""
_CLAIM: LiteralString = """
DELETE FROM tickets WHERE digest = %s AND until > clock_timestamp()
RETURNING tenant, subject, extract(epoch from until)::double precision
"""
_GIVE_BACK: LiteralString = """
INSERT INTO tickets(digest, tenant, subject, until) VALUES (%s, %s, %s, to_timestamp(%s))
"""
_IS_THERE: LiteralString = "SELECT FROM tickets WHERE digest = %s"


class PostgresTickets:
    """The tickets of all replicas.

    A statement sees the rows of one tenant, or the row of one ticket.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def add(self, digest: bytes, tenant: str, subject: str, seconds: float) -> None:
        def add(db: Connection) -> None:
            db.execute(_ROOM, (tenant, tenant, MAX_OF_TENANT - 1))
            db.execute(_ADD, (digest, tenant, subject, seconds))

        await self._run(digest, tenant, add, leaves=True)

    async def find(self, digest: bytes) -> Ticket | None:
        return await self._run(digest, None, partial(_one, _FIND, digest))

    async def claim(self, digest: bytes) -> Ticket | None:
        return await self._run(digest, None, partial(_one, _CLAIM, digest), leaves=False)

    async def give_back(self, digest: bytes, ticket: Ticket) -> None:
        def give_back(db: Connection) -> None:
            db.execute(_GIVE_BACK, (digest, *ticket))

        await self._run(digest, ticket.tenant, give_back)

    async def _run(
        self,
        digest: bytes,
        tenant: str | None,
        work: Callable[[Connection], T],
        *,
        leaves: bool | None = None,
    ) -> T:
        """Do it in a transaction, in a thread; again while the server is away.

        Args:
            leaves: Whether the ticket is there afterwards, by which a lost commit is known; None
                where that tells nothing: one that was given back may have been used again.
        """
        seen = "" if tenant is None else f"={tenant}"
        begin = sql.SQL(BEGIN + _TICKET).format(seen, digest.hex())

        def is_kept(db: Connection, _: str) -> bool:
            db.execute(begin, prepare=False)
            is_there = db.execute(_IS_THERE, (digest,)).fetchone() is not None
            db.execute("COMMIT")  # answered when the copy has all that is older
            return leaves is None or is_there is leaves

        def run() -> T:
            with self._connections.transaction(begin, is_kept, READ_SECONDS) as (db, _):
                return work(db)

        attempt = partial(self._connections.keep_trying, run, READ_SECONDS, writes=True)
        return await to_thread.run_sync(attempt)


def _one(statement: LiteralString, digest: bytes, db: Connection) -> Ticket | None:
    row = db.execute(statement, (digest,)).fetchone()
    return Ticket(*row) if row else None
