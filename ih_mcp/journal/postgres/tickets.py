"""One-time tickets that all replicas know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import LiteralString, TypeVar

from anyio import to_thread
from psycopg import Connection, sql

from ih_mcp.journal.tickets import MAX_OF_TENANT, Ticket

from .connections import READ_SECONDS, Connections

T = TypeVar("T")
_BEGIN: LiteralString = """
BEGIN; SELECT set_config('ih.tenant', {}, true), set_config('ih.ticket', {}, true);
SELECT pg_current_xact_id()::text, pg_backend_pid()
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

        await self._run(digest, tenant, add)

    async def find(self, digest: bytes) -> Ticket | None:
        return await self._run(digest, None, partial(_one, _FIND, digest))

    async def claim(self, digest: bytes) -> Ticket | None:
        return await self._run(digest, None, partial(_one, _CLAIM, digest))

    async def give_back(self, digest: bytes, ticket: Ticket) -> None:
        def give_back(db: Connection) -> None:
            db.execute(_GIVE_BACK, (digest, *ticket))

        await self._run(digest, ticket.tenant, give_back)

    async def _run(self, digest: bytes, tenant: str | None, work: Callable[[Connection], T]) -> T:
        """Do it in a transaction, in a thread; again while the server is away."""
        seen = "" if tenant is None else f"={tenant}"
        begin = sql.SQL(_BEGIN).format(seen, digest.hex())

        def run() -> T:
            with self._connections.transaction(begin) as (db, _):
                return work(db)

        attempt = partial(self._connections.keep_trying, run, READ_SECONDS)
        return await to_thread.run_sync(attempt)


def _one(statement: LiteralString, digest: bytes, db: Connection) -> Ticket | None:
    row = db.execute(statement, (digest,)).fetchone()
    return Ticket(*row) if row else None
