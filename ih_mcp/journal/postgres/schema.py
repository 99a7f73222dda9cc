"""The tables of the journal in PostgreSQL, and what of the server is checked before it is used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import ip_address
from typing import LiteralString

import psycopg

from ih_mcp.errors import ConfigurationError

_LOG = logging.getLogger("ih_mcp.journal")
_LOCK = 0x69685F6D6370  # "ih_mcp": two processes do not create the tables at once
SCHEMA: LiteralString = """
CREATE TABLE owners(
    name text PRIMARY KEY,          -- made by chance for each lease, and never used again
    address text NOT NULL,          -- where calls are passed on to; empty where none are
    version text NOT NULL,
    takes_streams boolean NOT NULL DEFAULT true,
    since timestamptz NOT NULL,     -- from when on the lease has held without a gap
    until timestamptz NOT NULL
);
CREATE TABLE streams(
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- high half of the place of its entries
    id text NOT NULL UNIQUE,
    tenant text NOT NULL,
    owner text NOT NULL,            -- the process that writes it
    created_at double precision NOT NULL,   -- seconds since the epoch, by the server's clock
    ended_at double precision,      -- NULL while it lives
    last bigint NOT NULL DEFAULT 0,     -- newest cursor
    oldest bigint NOT NULL DEFAULT 1,   -- oldest cursor still kept
    size bigint NOT NULL DEFAULT 0,     -- of its messages, in bytes
    record text NOT NULL            -- JSON; not jsonb, which changes it and knows no NUL
);
CREATE INDEX streams_of_tenant ON streams(tenant, no);
CREATE TABLE entries(
    place bigint PRIMARY KEY,       -- no << 32 | cursor
    leg integer NOT NULL,
    received_at bigint NOT NULL,    -- microseconds since the epoch
    is_text boolean NOT NULL,
    body bytea NOT NULL,            -- text knows no NUL here
    checksum bigint NOT NULL        -- see checks.py
);
CREATE TABLE usage(
    no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    day text NOT NULL,
    endpoint text NOT NULL,
    is_free integer NOT NULL,
    stream_id text,
    reserved double precision NOT NULL DEFAULT 0,
    delivered double precision NOT NULL DEFAULT 0,
    analysed double precision NOT NULL DEFAULT 0,
    dropped double precision NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    UNIQUE (stream_id, day)
);
CREATE INDEX usage_by_day ON usage(tenant, day);

-- A statement that forgets its tenant sees nothing: `=` before the name, since a setting that is
-- not set reads as empty, as does the name of the one user of a machine.
ALTER TABLE streams ENABLE ROW LEVEL SECURITY;
ALTER TABLE streams FORCE ROW LEVEL SECURITY;
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
ALTER TABLE entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE entries FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON streams USING ('=' || tenant = current_setting('ih.tenant', true));
CREATE POLICY of_tenant ON usage USING ('=' || tenant = current_setting('ih.tenant', true));
CREATE POLICY of_tenant ON entries
    USING (EXISTS (SELECT FROM streams WHERE no = place >> 32)) WITH CHECK (true);
"""
TICKETS: LiteralString = """
CREATE TABLE tickets(
    digest bytea PRIMARY KEY,       -- of the secret, which is kept nowhere
    tenant text NOT NULL,
    subject text NOT NULL,          -- what it is for, such as the name of a file
    until timestamptz NOT NULL
);
CREATE INDEX tickets_of_tenant ON tickets(tenant, until);
ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE tickets FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant_or_holder ON tickets USING (
    '=' || tenant = current_setting('ih.tenant', true)
    OR encode(digest, 'hex') = current_setting('ih.ticket', true));
"""
STEPS: Sequence[tuple[LiteralString, LiteralString]] = [
    (
        """SELECT 1 WHERE NOT EXISTS (SELECT FROM information_schema.columns WHERE
        table_schema = current_schema() AND table_name = 'usage' AND column_name = 'bytes')""",
        "ALTER TABLE usage ADD COLUMN bytes bigint NOT NULL DEFAULT 0",
    ),
    ("SELECT 1 WHERE to_regclass('tickets') IS NULL", TICKETS),
    (
        "SELECT 1 WHERE to_regclass('streams_by_id') IS NULL",
        'CREATE INDEX streams_by_id ON streams(tenant, id COLLATE "C")',
    ),
]
"""What an earlier version did not create: when it is missing, and how it is added.

A step only adds, with a default, so that a replica of that version goes on working.
"""
_COLUMNS: Sequence[LiteralString] = (
    "name, address, version, takes_streams, since, until FROM owners",
    "no, id, tenant, owner, created_at, ended_at, last, oldest, size, record FROM streams",
    "place, leg, received_at, is_text, body, checksum FROM entries",
    "stream_id, tenant, day, reserved, delivered, analysed, dropped, bytes FROM usage",
    "digest, tenant, subject, until FROM tickets",
)
"""What is asked for; tables of these names may be of another program, which the start finds out."""


def prepare_database(connection: psycopg.Connection) -> None:
    """Check the server, and create the tables where they are missing.

    Raises:
        ConfigurationError: What is kept there could be lost or read by others.
    """
    _require_safe(connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        found = connection.execute("SELECT to_regclass('streams') IS NOT NULL").fetchone()
        if found and not found[0]:
            connection.execute(SCHEMA)
        for is_needed, step in STEPS:
            if connection.execute(is_needed).fetchone():
                connection.execute(step)
        for columns in _COLUMNS:
            connection.execute(f"SELECT {columns} LIMIT 0")


def _require_safe(connection: psycopg.Connection) -> None:
    if not (_is_local(connection.info) or connection.pgconn.ssl_in_use):
        raise ConfigurationError(
            f"the connection to the database on {connection.info.host} is not encrypted",
            help="Add sslmode=verify-full to IH_MCP_JOURNAL, or sslmode=require where its "
            "certificate cannot be checked.",
        )
    row = connection.execute(
        "SELECT current_setting('fsync'), current_setting('synchronous_standby_names'),"
        " rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    fsync, standbys, skips_policies = row
    if fsync == "off":
        raise ConfigurationError(
            "the database runs with fsync=off, so a power failure can destroy it",
            help="Set fsync=on in its configuration.",
        )
    if not standbys:
        _LOG.warning(
            "the database has no synchronous copy: what is shown survives the death of the "
            "database's process, and not of its disk"
        )
    if skips_policies:
        _LOG.warning(
            "the database's user may see every row, so its row security does not help to keep "
            "tenants apart; use a user that is neither superuser nor has BYPASSRLS"
        )


def _is_local(info: psycopg.ConnectionInfo) -> bool:
    """Whether the server is reached without a network."""
    if info.host.startswith("/"):
        return True
    try:
        return ip_address(info.hostaddr).is_loopback
    except ValueError:
        return False
