"""Opens a journal: in a file of SQLite, or in a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from ih_mcp.errors import ConfigurationError, unwrap_single_error

from .backend import JournalBackend, JournalPlace
from .journal import Journal
from .owners import Owner
from .retention import Retention
from .store import Store
from .wakeups import NoWakeups

if TYPE_CHECKING:  # loads a driver that few need
    from .postgres import PostgresEngine

FILE_NAME = "journal.db"


@asynccontextmanager
async def open_journal(
    place: Path | str | tuple[str, str] | JournalPlace, retention: Retention | None = None
) -> AsyncIterator[Journal]:
    """Open a journal; it commits every appended entry before it closes.

    Args:
        place: A folder, for a file of SQLite; the address of a database; that with a tenant's name.

    Raises:
        JournalError: The folder cannot be used.
        ConfigurationError: The database cannot be used.
    """
    retention = retention or Retention()
    async with AsyncExitStack() as stack:
        stack.enter_context(unwrap_single_error())
        backend = await stack.enter_async_context(_open_backend(place, retention))
        journal = Journal(backend, retention)
        stack.push_async_callback(journal.close_stores)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.write_forever)
            if backend.wait_for_deaths:
                tasks.start_soon(journal.watch_deaths, backend.wait_for_deaths)
            if not (retention.strict or backend.is_durable):
                tasks.start_soon(journal.sync_forever)
            try:
                yield journal
            finally:
                backend.writer.stop_waiting()
                with anyio.CancelScope(shield=True):
                    await journal.commit()
                tasks.cancel_scope.cancel()  # closing the last connection syncs the rest


def _open_backend(
    place: Path | str | tuple[str, str] | JournalPlace, retention: Retention
) -> AbstractAsyncContextManager[JournalBackend]:
    if isinstance(place, Path):
        return _open_file(place, retention)
    place = (place, "") if isinstance(place, str) else place
    return _open_database(*place) if isinstance(place, tuple) else place.open()


@asynccontextmanager
async def _open_database(address: str, tenant: str) -> AsyncIterator[JournalBackend]:
    """Of a tenant, or of the one user of a machine.

    Raises:
        ConfigurationError: The driver is not installed; or as `open_engine`.
    """
    open_engine = load_open_engine()
    async with open_engine(address) as engine, engine.journal_of(tenant).open() as backend:
        yield backend


def load_open_engine() -> Callable[..., AbstractAsyncContextManager[PostgresEngine]]:
    """What opens a database, loaded when it is needed.

    Raises:
        ConfigurationError: Its driver is not installed.
    """
    try:
        from .postgres import open_engine  # noqa: PLC0415 - loads its driver
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"a journal in PostgreSQL needs {exc.name}, which is not installed",
            help="Install it with `pip install 'ih-mcp[team]'`.",
        ) from None
    return open_engine


@asynccontextmanager
async def _open_file(folder: Path, retention: Retention) -> AsyncIterator[JournalBackend]:
    async with AsyncExitStack() as stack:
        open_store = partial(Store, folder / FILE_NAME, strict=retention.strict)
        store = await to_thread.run_sync(open_store)
        stack.push_async_callback(_close, store)
        reader = await to_thread.run_sync(open_store)
        stack.push_async_callback(_close, reader)
        open_owner = partial(Owner, folder / "owners", is_read_only=store.is_read_only)
        owner = await to_thread.run_sync(open_owner)
        stack.push_async_callback(_close, owner)
        yield JournalBackend(writer=store, reader=reader, owner=owner, wakeups=NoWakeups())


async def _close(opened: Store | Owner) -> None:
    with anyio.CancelScope(shield=True):
        await to_thread.run_sync(opened.close)
