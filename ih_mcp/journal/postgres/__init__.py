"""The journal in PostgreSQL: one database for several processes, on any number of computers.

Loaded only where a journal's place is a `postgresql://` address. The driver is `psycopg`, used from
threads as SQLite is: all that the journal asks of a store is synchronous, and so both stores are
used by the same code.
"""

from .engine import PostgresEngine, TenantJournal, open_engine

__all__ = ["PostgresEngine", "TenantJournal", "open_engine"]
