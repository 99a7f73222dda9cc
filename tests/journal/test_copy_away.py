"""The database's synchronous copy is away: each commit waits, and whoever asked for it is told.

A trigger lets commits wait as a copy that is away does; `test_team_takeover.py` has a real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio.lowlevel
import pytest
from anyio import to_thread

from ih_mcp.app.setup_check import _journal as check_journal
from ih_mcp.errors import ConfigurationError, JournalError

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres import connections, open_engine  # noqa: E402 - it needs the driver
from ih_mcp.journal.postgres.connections import CopyAwayError, NotReachedError  # noqa: E402

from .test_journal import bodies_of, keep  # noqa: E402 - likewise
from .test_postgres import db, nothing_by_the_clock, replica, run_out  # noqa: E402 - likewise

__all__ = ["db", "nothing_by_the_clock"]

_HOLD = """
CREATE TABLE away();
INSERT INTO away DEFAULT VALUES;
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM away) LOOP PERFORM pg_sleep(0.02); END LOOP;
    RETURN NULL;
END $$;
"""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
_EACH = """
CREATE CONSTRAINT TRIGGER hold AFTER INSERT OR UPDATE ON {} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hold();
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "COPY_WAIT", "PgSleep")
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("ih_mcp.journal.postgres.leases.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "_USUAL_SECONDS", 0)
    monkeypatch.setattr("ih_mcp.journal.postgres.tickets.READ_SECONDS", 0.3)
    monkeypatch.setattr("ih_mcp.journal.journal.BEGIN_SECONDS", 1.0)


@contextmanager
def copy_away(db: Any) -> Iterator[None]:
    """While this is open no commit ends; those that wait end with it."""
    db.execute(_HOLD)
    for table in ("owners", "streams", "tickets"):
        db.execute(_EACH.format(table))
    try:
        yield
    finally:
        db.execute("DELETE FROM away")
        db.execute("DROP FUNCTION hold CASCADE")  # which waits for them
        db.execute("DROP TABLE away")


async def test_a_start_ends_in_time_and_its_stream_is_over_when_the_copy_is_back(
    database: str, db: Any
) -> None:
    async with replica(database) as (engine, journal), replica(database) as (_, reader):
        await keep(journal, "a")
        with copy_away(db):
            with pytest.raises(JournalError, match="its synchronous copy is away") as failed:
                await journal.begin("st_new", {})
            assert (failed.value.code, failed.value.retry) == ("journal_failed", True)
            assert "synchronous_standby_names" in failed.value.help
            assert await bodies_of(reader) == ["a"]  # what was shown can be read
            assert await reader.list_streams("st_new") == []  # and nothing that was not
        row = await reader.find_stream("st_new")
        assert row.ended_at is None
        assert (await journal.find_stream("st_new")).ended_at is not None
        await journal.clean_up()
        row = await reader.find_stream("st_new")
        assert (row.ended_at is None, json.loads(row.record)["state"]) == (False, "failed")
        log = await keep(journal, "b", stream_id="st_2")
        assert (log.last, await bodies_of(reader, "st_2")) == (1, ["b"])
        assert not engine.lease.outage


async def test_the_renewal_of_the_lease_finds_it_out_and_no_more_connections_wait(
    database: str, db: Any
) -> None:
    async with replica(database) as (engine, journal):
        log = await keep(journal, "a")
        run_out(db, engine)
        with copy_away(db):
            for _ in range(3):
                with pytest.raises(CopyAwayError):
                    await to_thread.run_sync(engine.lease.renew)
            assert "copy is away" in engine.lease.outage
            assert engine.connections.copy_is_away
            for _ in range(3):
                with pytest.raises(JournalError, match="copy is away"):
                    await engine.tickets.add(b"digest", "acme", "talk.mp4", 60)
            with pytest.raises(JournalError, match="copy is away"):
                await journal.begin("st_new", {})
            assert db.execute(_WAITING).fetchone() == (1,)  # the first renewal
            with pytest.raises(ConfigurationError, match="nothing new can be kept: its synchron"):
                await check_journal(cast("Any", SimpleNamespace(journal=journal)))
        assert await to_thread.run_sync(engine.lease.renew)  # there may be something to clean up
        assert (engine.lease.outage, engine.connections.copy_is_away) == ("", False)
        assert not await to_thread.run_sync(engine.lease.renew)
        log.append("b", leg=0)
        await log.flush()
        assert await bodies_of(journal) == ["a", "b"]


async def test_an_append_waits_for_the_copy_and_is_kept_once(database: str, db: Any) -> None:
    async with replica(database) as (_, journal), replica(database) as (_, reader):
        log = await keep(journal, "a")
        with copy_away(db):
            log.append("b", leg=0)
            while db.execute(_WAITING).fetchone() == (0,):
                await anyio.lowlevel.checkpoint()
            assert (log.last, await bodies_of(reader)) == (1, ["a"])
        await log.flush()
        assert (log.last, await bodies_of(reader)) == (2, ["a", "b"])


async def test_a_copy_that_stays_away_fails_the_stream_and_shows_nothing_more(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.journal.postgres.store.WRITE_SECONDS", 0.3)
    async with replica(database) as (_, journal), replica(database) as (_, reader):
        log = await keep(journal, "a")
        with copy_away(db):
            log.append("b", leg=0)
            with pytest.raises(JournalError, match="its synchronous copy is away"):
                await log.flush()
            assert (log.last, await bodies_of(reader)) == (1, ["a"])


async def test_a_server_does_not_start_meanwhile_and_says_why(database: str, db: Any) -> None:
    async with replica(database):
        with copy_away(db):
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="its synchronous copy is away") as no:
                    async with open_engine(database):
                        raise AssertionError
                assert "Bring the copy back" in no.value.help


async def test_a_stopped_process_in_the_middle_of_a_write_holds_no_renewal_up(
    database: str, db: Any
) -> None:
    """It holds a lock on the row of its owner, which another one would remove."""
    lock = "SELECT FROM owners WHERE name = %s FOR KEY SHARE"
    async with replica(database) as (stopped, _), replica(database) as (living, _):
        db.execute("UPDATE owners SET since = since - interval '1 h'")
        run_out(db, stopped)
        with psycopg.connect(database) as hanging:
            hanging.execute(lock, (stopped.lease.name,))
            assert not await to_thread.run_sync(living.lease.renew)
        assert await to_thread.run_sync(living.lease.renew)


def test_a_server_that_cannot_be_reached_is_not_asked_for_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try to reach it may take its time, and a lease is renewed once it can be."""
    pool = connections.Connections("postgresql://nobody@127.0.0.1:1/x")
    tries, connect = list[int](), pool.connect

    def connect_noting() -> Any:
        tries.append(1)
        return connect()

    monkeypatch.setattr(pool, "connect", connect_noting)
    with pytest.raises(NotReachedError) as away, pool.borrow():
        raise AssertionError
    assert (pool.find_reason(away.value), len(tries)) == (away.value, 1)


async def test_a_ticket_whose_lost_number_another_transaction_has_is_added_and_claimed(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node died before its copy had the commit; the copy gave its number again."""
    async with replica(database) as (engine, _):
        connections_, tickets = engine.connections, engine.tickets
        commit, lost = connections_._commit, list[int]()

        def lose_first(connection: Any) -> bool:
            if len(lost) % 2:
                lost.append(1)
                return commit(connection)
            lost.append(1)
            connection.execute("ROLLBACK")
            return False

        ask = connections_._is_committed
        (number,) = db.execute("SELECT pg_current_xact_id()::text").fetchone()
        monkeypatch.setattr(connections_, "_commit", lose_first)
        monkeypatch.setattr(connections_, "_is_committed", lambda _, *more: ask(number, *more))
        await tickets.add(b"digest", "acme", "talk.mp4", 60)
        assert len(lost) == 2
        assert await tickets.claim(b"digest")
        assert len(lost) == 4
        lost.append(1)
        assert await tickets.find(b"digest") is None
