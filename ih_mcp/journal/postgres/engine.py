"""What a process has of the database, once for all tenants: connections, lease, notifications."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
import psycopg
from anyio import to_thread
from psycopg.conninfo import conninfo_to_dict

from ih_mcp.errors import ConfigurationError
from ih_mcp.journal.backend import JournalBackend
from ih_mcp.redaction import redact, register_secret

from .connections import Connections, CopyAwayError, EngineAwayError
from .leases import Lease
from .schema import prepare_database
from .store import PostgresStore
from .tickets import PostgresTickets
from .wakeups import Notifications, TenantWakeups

_HELP = (
    "IH_MCP_JOURNAL is an address such as postgresql://user@host/database?sslmode=verify-full; "
    "check that the server runs and lets this user in."
)
_COPY_HELP = (
    "Bring the copy back, or take it out of synchronous_standby_names of the database; have two "
    "copies where the loss of one must stop nothing."
)
_NOT_OURS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
)
"""The user may not create tables; or there are some of these names that ih-mcp did not create."""


class PostgresEngine:
    """The database as all journals of a process use it. Use `open_engine`."""

    def __init__(
        self, connections: Connections, lease: Lease, notifications: Notifications
    ) -> None:
        self.connections = connections
        self.lease = lease
        self.notifications = notifications
        self.tickets = PostgresTickets(connections)

    def journal_of(self, tenant: str) -> TenantJournal:
        """The place of a tenant's journal."""
        return TenantJournal(self, tenant)

    def make_backend(self, tenant: str) -> tuple[JournalBackend, TenantWakeups]:
        def store(*, writes: bool) -> PostgresStore:
            return PostgresStore(self.connections, self.lease, tenant, writes=writes)

        wakeups = TenantWakeups(self.notifications, store(writes=False).find_lengths)
        writer = store(writes=True)
        backend = JournalBackend(
            writer=writer,
            reader=store(writes=False),
            owner=self.lease,
            wakeups=wakeups,
            clock=writer.read_clock,
            is_durable=True,
            wait_for_deaths=self.lease.changed.wait,
            ownership=self.lease,
        )
        return backend, wakeups


@dataclass(frozen=True, slots=True)
class TenantJournal:
    """Where the journal of a tenant is kept."""

    engine: PostgresEngine
    tenant: str

    @asynccontextmanager
    async def open(self) -> AsyncIterator[JournalBackend]:
        backend, wakeups = self.engine.make_backend(self.tenant)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wakeups.look_forever)
            yield backend
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_engine(
    dsn: str, *, listen_dsn: str | None = None, address: str = ""
) -> AsyncIterator[PostgresEngine]:
    """Connect, create the tables where they are missing, and acquire a lease.

    Args:
        listen_dsn: Where notifications are heard, if a pooler stands before the database.
        address: Where other replicas pass calls on to this one; empty where they do not.

    Raises:
        ConfigurationError: The database cannot be used, or another replica has this address.
    """
    _register_password(dsn)
    _register_password(listen_dsn or dsn)
    connections = Connections(dsn)
    try:
        await to_thread.run_sync(_prepare, connections)
        lease = Lease(connections, address)
        try:
            await lease.acquire()
        except EngineAwayError as exc:
            reason = await to_thread.run_sync(connections.find_reason, exc)
            raise _unusable_error(reason) from exc
        notifications = Notifications(connections, listen_dsn or dsn)
        async with anyio.create_task_group() as tasks:
            for work in (
                lease.renew_forever,
                notifications.send_forever,
                notifications.listen_forever,
            ):
                tasks.start_soon(work)
            try:
                yield PostgresEngine(connections, lease, notifications)
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True), suppress(EngineAwayError, psycopg.Error):
                    await to_thread.run_sync(lease.release)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(connections.close)


def _register_password(dsn: str) -> None:
    try:
        password = conninfo_to_dict(dsn).get("password")
    except psycopg.ProgrammingError:  # its text quotes the address, with the password
        raise ConfigurationError("this is no address of a database", help=_HELP) from None
    if password:
        register_secret(str(password))


def _prepare(connections: Connections) -> None:
    try:
        with connections.borrow() as connection:
            prepare_database(connection)
    except _NOT_OURS as exc:
        raise ConfigurationError(
            f"the tables of the journal cannot be used: {_first_line(exc)}",
            help="Give ih-mcp a database of its own, and a user that owns it: it creates its "
            "tables with the first start.",
        ) from exc
    except (EngineAwayError, psycopg.Error) as exc:
        raise _unusable_error(exc) from exc


def _unusable_error(error: EngineAwayError | psycopg.Error) -> ConfigurationError:
    reason = " ".join(str(error).split())  # of several lines
    help_ = _COPY_HELP if isinstance(error, CopyAwayError) else _HELP
    return ConfigurationError(
        redact(f"the database of the journal cannot be used: {reason}"), help=help_
    )


def _first_line(error: psycopg.Error) -> str:
    return redact(str(error).partition("\n")[0])
