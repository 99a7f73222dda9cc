"""Reaches below a journal whose place is a folder: its connection to SQLite, its lock."""

from __future__ import annotations

import sqlite3

from ih_mcp.journal import Journal
from ih_mcp.journal.owners import Owner
from ih_mcp.journal.store import Store


def db_of(journal: Journal) -> sqlite3.Connection:
    """The connection that writes."""
    store = journal._store
    assert isinstance(store, Store)
    return store._db


def release_lock(journal: Journal) -> None:
    """Release the lock of this process, as the system does when the process dies."""
    owner = journal._owner
    assert isinstance(owner, Owner)
    owner._lock.close()
