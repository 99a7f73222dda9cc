"""What the journal does in PostgreSQL alone: leases, lost answers, a server that is away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from anyio import from_thread, to_thread

from ih_mcp.errors import ConfigurationError, JournalError, UsedUpError
from ih_mcp.journal import Journal, Retention, open_journal
from ih_mcp.redaction import redact
from ih_mcp.settings import read_settings
from ih_mcp.wire.minutes import MediaUse, MinutesBudget
from tests.blocked import wait_all_blocked
from tests.postgres_proxy import DatabaseProxy, open_proxy

from .test_journal import ALL, bodies_of, keep

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres import PostgresEngine, leases, open_engine, schema, wakeups  # noqa: E402
from ih_mcp.journal.postgres.connections import with_timeouts  # noqa: E402

ORPHANED = Retention(orphaned={"state": "failed", "reason": "host_stopped"})
NEVER = 10**6


@pytest.fixture(autouse=True)
def nothing_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test renews and looks when it wants to."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", NEVER)
    monkeypatch.setattr(leases, "HOLD_SECONDS", NEVER)
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", NEVER)


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def replica(
    database: str, tenant: str = "acme", **options: Any
) -> AsyncIterator[tuple[PostgresEngine, Journal]]:
    async with (
        open_engine(database, **options) as engine,
        open_journal(engine.journal_of(tenant), ORPHANED) as journal,
    ):
        yield engine, journal


async def renew(engine: PostgresEngine) -> bool:
    return await to_thread.run_sync(engine.lease.renew)


def run_out(db: Any, engine: PostgresEngine) -> None:
    db.execute(
        "UPDATE owners SET until = clock_timestamp() - interval '1 s' WHERE name = %s",
        (engine.lease.name,),
    )


def held_for_long(db: Any, engine: PostgresEngine) -> None:
    db.execute(
        "UPDATE owners SET since = since - interval '1 h', until = until + interval '1 h' "
        "WHERE name = %s",
        (engine.lease.name,),
    )


async def test_a_database_of_an_earlier_version_gets_what_is_new(database: str, db: Any) -> None:
    budget = MinutesBudget(max_bytes_per_day=10)
    async with replica(database) as (_, journal):
        await journal.begin("st_1", {}, budget=budget)
        await journal.account("st_1", budget).spend(1.0, MediaUse(), size=10)
    db.execute("ALTER TABLE usage DROP COLUMN bytes")
    for name in ("st_2", "st_3"):  # the second start changes nothing
        async with replica(database) as (_, journal):
            await journal.begin(name, {}, budget=budget)
            account = journal.account(name, budget)
            await account.spend(1.0, MediaUse(), size=5)
    async with replica(database) as (_, journal):
        with pytest.raises(UsedUpError):
            await journal.account("st_3", budget).spend(1.0, MediaUse(), size=1)


# --- leases --------------------------------------------------------------------------------------


async def test_who_lost_its_lease_writes_nothing_and_its_streams_are_over_for_all(
    database: str, db: Any
) -> None:
    async with replica(database) as (stopped, writer), replica(database) as (living, reader):
        log = await keep(writer, "a")
        held_for_long(db, living)
        run_out(db, stopped)
        assert await renew(living)
        log.append("too late", leg=0)
        with pytest.raises(JournalError, match="lease"):
            await log.flush()
        with pytest.raises(JournalError, match="lease"):
            await writer.account("st_1").spend(1, use=await _no_use())
        page = await reader.read_page("st_1", 0, **ALL)
        assert ([entry.body for entry in page.entries], page.is_final) == (["a"], True)
        await reader.clean_up()
        with pytest.raises(JournalError, match="lease"):
            await log.write_record({"state": "closed"}, ended=True)
        row = await reader.find_stream("st_1")
        assert json.loads(row.record) == {"state": "failed", "reason": "host_stopped"}

        before = stopped.lease.name
        assert await renew(stopped)
        assert stopped.lease.name != before  # and it works on under another name
        await keep(writer, "b", stream_id="st_2")
        assert await bodies_of(reader, "st_2") == ["b"]


async def _no_use() -> Any:
    from ih_mcp.wire.minutes import MediaUse  # noqa: PLC0415 - one word for it

    return MediaUse()


async def wait_until_renewed(lease: leases.Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lease under which nothing may be sent be renewed, while somebody waits to send."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lease.wait_until_sendable, lease.name)
        await wait_all_blocked()
        monkeypatch.setattr(leases, "HOLD_SECONDS", NEVER)
        lease.stop_taking_streams()  # which renews it at once


async def test_media_may_be_sent_only_under_a_fresh_lease_of_the_same_name(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(database) as (engine, _):
        lease, name = engine.lease, engine.lease.name
        assert lease.lets_send(name)
        assert 0 < lease.seconds_left <= leases.LEASE_SECONDS
        monkeypatch.setattr(leases, "HOLD_SECONDS", 0)
        assert not lease.lets_send(name)
        await wait_until_renewed(lease, monkeypatch)
        db.execute("DELETE FROM owners")
        assert await renew(engine)
        assert not lease.lets_send(name)  # what began under it is over
        assert lease.lets_send(lease.name)


async def test_streams_of_a_process_that_lost_its_lease_fail_there_too(
    database: str, db: Any
) -> None:
    async with replica(database) as (engine, journal):
        log = await keep(journal, "a")
        db.execute("DELETE FROM owners")
        await wait_all_blocked()
        engine.lease.stop_taking_streams()  # which renews it at once
        with anyio.fail_after(20):
            await log.wait_for_failure()
        with pytest.raises(JournalError, match="lease"):
            log.append("b", leg=0)
        with pytest.raises(JournalError, match="lease"):
            log.require_owned()


async def test_after_an_outage_everybody_renews_late_and_nobody_is_declared_dead(
    database: str, db: Any
) -> None:
    async with replica(database) as (one, writer), replica(database) as (other, reader):
        log = await keep(writer, "a")
        for engine in (one, other):
            held_for_long(db, engine)
            run_out(db, engine)
        assert not await renew(other)  # its own lease had a gap: it removes nobody's
        assert not await renew(one)
        log.append("b", leg=0)
        await log.flush()
        assert await bodies_of(reader) == ["a", "b"]


async def test_who_missed_a_renewal_itself_declares_nobody_dead(database: str, db: Any) -> None:
    """In an outage of eight seconds one lease runs out, and another has two seconds left."""
    async with replica(database) as (one, writer), replica(database) as (other, _):
        log = await keep(writer, "a")
        run_out(db, one)
        held_for_long(db, other)
        db.execute(
            "UPDATE owners SET until = clock_timestamp() + interval '2 s' WHERE name = %s",
            (other.lease.name,),
        )
        assert not await renew(other)
        assert not await renew(one)
        log.append("b", leg=0)
        await log.flush()


async def test_a_process_that_has_just_begun_removes_only_who_is_long_dead(
    database: str, db: Any
) -> None:
    async with replica(database) as (gone, writer), replica(database) as (new, _):
        await keep(writer, "a")
        run_out(db, gone)
        assert not await renew(new)
        db.execute(
            "UPDATE owners SET until = until - interval '2 min' WHERE name = %s",
            (gone.lease.name,),
        )
        server_is_old = db.execute(
            "SELECT pg_postmaster_start_time() < clock_timestamp() - interval '10 s'"
        ).fetchone()[0]
        assert await renew(new) is server_is_old


async def test_two_replicas_of_one_address_are_refused(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(database, address="http://10.0.0.1:9") as (engine, _):
        await wait_all_blocked()  # it renews in its own time, and not in this one
        monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.02)
        with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1:9 and lives"):
            async with replica(database, address="http://10.0.0.1:9"):
                raise AssertionError
        assert engine.lease.name in engine.lease.replicas


async def test_a_connection_that_is_cancelled_in_a_statement_is_closed(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    connect = psycopg.AsyncConnection.connect

    async def connect_slow_one(*values: Any, **options: Any) -> Any:
        connection = await connect(*values, **options)
        execute = connection.execute
        connection.execute = lambda _: execute("SELECT pg_sleep(600)")
        opened.append(connection)
        return connection

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect_slow_one)
    sleeps = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
    async with replica(database):
        while not opened or not db.execute(sleeps, (opened[0].info.backend_pid,)).fetchone()[0]:
            await anyio.lowlevel.checkpoint()
    assert [connection.closed for connection in opened] == [True]


async def test_a_lease_that_could_not_be_renewed_is_renewed_once_the_server_is_back(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned = anyio.Event()
    monkeypatch.setattr(leases._LOG, "warning", lambda *_: warned.set())
    async with open_proxy(database) as proxy, replica(proxy.address) as (engine, _):
        lease = engine.lease
        await wait_all_blocked()
        await proxy.cut()
        lease.stop_taking_streams()  # which renews it at once
        await warned.wait()
        proxy.restore()
        monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)  # until no lost connection is left
        monkeypatch.setattr(leases, "HOLD_SECONDS", 0)
        await wait_until_renewed(lease, monkeypatch)


async def test_a_stream_that_another_process_has_taken_is_written_no_more(
    database: str, db: Any
) -> None:
    async with replica(database) as (_, journal):
        log = await keep(journal, "a")
        db.execute("SELECT set_config('ih.tenant', '=acme', false)")
        db.execute("UPDATE streams SET owner = 'another'")
        with pytest.raises(JournalError, match="lease"):
            await log.write_record({"state": "ended"}, ended=True)
        log.append("b", leg=0)
        with pytest.raises(JournalError, match="lease"):
            await log.flush()
        assert await bodies_of(journal) == ["a"]


async def test_a_stream_of_a_process_that_lives_is_not_adopted(database: str) -> None:
    async with replica(database) as (_, journal), replica(database) as (_, other):
        await keep(journal, "a")
        with pytest.raises(JournalError, match="st_1 is of another process") as refused:
            await other.adopt("st_1")
        assert (refused.value.code, refused.value.retry) == ("elsewhere", True)


# --- answers that are lost, and a server that is away ---------------------------------------------


async def test_what_became_of_a_transaction_is_found_out_where_its_end_was_not_answered(
    database: str, db: Any
) -> None:
    async with replica(database) as (engine, _):
        connections = engine.lease._connections
        ask = "SELECT pg_current_xact_id()::text, pg_backend_pid()"
        with psycopg.connect(database) as hanging:  # the server does not know that it is gone
            under_way = hanging.execute(ask).fetchone()
            assert not await to_thread.run_sync(connections._is_committed, *under_way)
            with pytest.raises(psycopg.OperationalError):  # it was ended, so that none can follow
                hanging.execute("SELECT 1")
            hanging.close()
        committed = db.execute(ask).fetchone()
        assert await to_thread.run_sync(connections._is_committed, *committed)
        of_the_future = str(int(committed[0]) + 10**6), committed[1]
        assert not await to_thread.run_sync(connections._is_committed, *of_the_future)


async def test_a_transaction_whose_commit_never_arrived_is_made_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(database) as (engine, journal):
        commit, lost = engine.lease._connections._commit, list[bool]()

        def lose_first(connection: Any) -> bool:
            if not lost:
                lost.append(True)
                connection.close()
                return False
            return commit(connection)

        monkeypatch.setattr(engine.lease._connections, "_commit", lose_first)
        await keep(journal, "a")
        assert (lost, await bodies_of(journal)) == ([True], ["a"])
        assert await journal.count_streams() == 1


async def test_a_number_that_a_copy_gave_again_makes_no_lost_transaction_a_kept_one(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node died before its copy had a commit, whose number another transaction then got."""
    async with replica(database) as (engine, journal):
        log = await keep(journal, "a")
        await journal.account("st_1").spend(1, MediaUse())
        connections = engine.lease._connections
        commit, ask = connections._commit, connections._is_committed
        (number,) = db.execute("SELECT pg_current_xact_id()::text").fetchone()
        lost = list[bool]()

        def lose_first(connection: Any) -> bool:
            if lost:
                return commit(connection)
            connection.execute("ROLLBACK")
            return False

        def ask_for_the_number(_: str, process: int, *more: Any) -> bool:
            lost.append(ask(number, process, *more))
            return lost[-1]

        monkeypatch.setattr(connections, "_commit", lose_first)
        monkeypatch.setattr(connections, "_is_committed", ask_for_the_number)
        log.append("b", leg=0)
        await log.flush()
        assert (lost, await bodies_of(journal)) == ([False], ["a", "b"])
        lost.clear()
        await journal.account("st_1").spend(2, MediaUse(delivered_seconds=1.0))
        use = await journal.read_usage(lambda table: table.find_use("st_1"))
        assert (lost, use and use.delivered_seconds) == ([False], 3)


async def test_a_connection_to_a_server_that_has_become_a_copy_is_used_no_more(
    database: str,
) -> None:
    async with replica(database) as (engine, journal):
        connections = engine.lease._connections
        with connections.borrow() as connection:
            connection.execute("SET default_transaction_read_only = on")
        log = await keep(journal, "a")
        assert (connection.closed, log.last) == (True, 1)


def test_of_several_servers_the_one_that_takes_writes_is_used() -> None:
    """Of an address of two nodes; which one it is, changes."""
    two = "postgresql://ih@/ih?host=db1,db2&port=5432,5433"
    asked = psycopg.conninfo.conninfo_to_dict(with_timeouts(two))
    assert (asked["host"], asked["port"]) == ("db1,db2", "5432,5433")
    assert asked["target_session_attrs"] == "read-write"
    any_of_them = with_timeouts(two + "&target_session_attrs=any")
    assert psycopg.conninfo.conninfo_to_dict(any_of_them)["target_session_attrs"] == "any"


async def test_lost_notifications_are_found_also_after_the_server_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", 0)
    looks = list[list[str]]()

    def find(ids: list[str]) -> dict[str, tuple[int, bool]]:
        looks.append(ids)
        if len(looks) == 1:
            raise JournalError("the server is away")
        return dict.fromkeys(ids, (1, False))

    tenant = wakeups.TenantWakeups(wakeups.Notifications(cast("Any", None), ""), find)
    async with anyio.create_task_group() as tasks:
        with tenant.watch("st_1") as watch:
            tasks.start_soon(tenant.look_forever)
            await watch.wait()
        tasks.cancel_scope.cancel()
    assert looks[:2] == [["st_1"]] * 2


@asynccontextmanager
async def behind_a_proxy(database: str) -> AsyncIterator[tuple[DatabaseProxy, Journal]]:
    async with open_proxy(database) as proxy, replica(proxy.address) as (_, journal):
        yield proxy, journal


async def test_a_commit_whose_answer_is_lost_is_not_made_twice(database: str) -> None:
    async with behind_a_proxy(database) as (proxy, journal):
        proxy.lose_answer(lambda request: b"COMMIT" in request)
        await keep(journal, "a")
        await proxy.lost.wait()
        assert (await journal.count_streams(), await bodies_of(journal)) == (1, ["a"])
        reader = cast("Any", journal._reader)
        found = await to_thread.run_sync(reader.find_lengths, ["st_1", "st_none"])
        assert found == {"st_1": (1, False)}


async def test_while_the_server_is_away_nothing_is_shown_and_then_all_of_it(
    database: str,
) -> None:
    async with behind_a_proxy(database) as (proxy, journal), replica(database) as (_, reader):
        log = await keep(journal, "a")
        await proxy.cut()
        for body in "bcd":
            log.append(body, leg=0)
        await wait_all_blocked()
        assert (log.last, await bodies_of(reader)) == (1, ["a"])
        proxy.restore()
        with anyio.fail_after(30):
            await log.flush()
        assert await bodies_of(reader) == ["a", "b", "c", "d"]


async def test_a_server_that_stays_away_fails_the_streams_and_loses_nothing_shown(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.journal.postgres.store.WRITE_SECONDS", 0.5)
    async with behind_a_proxy(database) as (proxy, journal), replica(database) as (_, reader):
        log = await keep(journal, "a")
        await proxy.cut()
        log.append("b", leg=0)
        with anyio.fail_after(30), pytest.raises(JournalError, match="does not answer") as failed:
            await log.flush()
        assert failed.value.code == "journal_failed"
        proxy.restore()
        assert await bodies_of(reader) == ["a"]


async def test_a_journal_closes_at_once_while_the_server_is_away(database: str) -> None:
    async with open_proxy(database) as proxy:
        with anyio.fail_after(30):
            async with replica(proxy.address) as (_, journal):
                log = await keep(journal, "a")
                await proxy.cut()
                log.append("b", leg=0)
        proxy.restore()
    async with replica(database) as (_, reader):
        assert await bodies_of(reader) == ["a"]


# --- readers elsewhere ----------------------------------------------------------------------------


async def test_a_reader_elsewhere_is_woken_by_a_notification(database: str) -> None:
    async with replica(database) as (_, writer), replica(database) as (_, reader):
        log = await keep(writer, "a")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_keep_appending, log)  # the reader may not listen yet
                await reader.wait("st_1", 1)
                tasks.cancel_scope.cancel()


async def test_a_change_after_a_pause_is_announced_at_once_and_those_that_follow_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "_BATCH_SECONDS", 10**6)
    notifications, sent = wakeups.Notifications(cast("Any", None), ""), list[list[str]]()
    is_sent = anyio.Event()

    def send(ids: list[str]) -> None:
        sent.append(ids)
        from_thread.run_sync(is_sent.set)

    monkeypatch.setattr(notifications, "_send", send)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifications.send_forever)
        notifications.announce("st_1")
        with anyio.fail_after(30):
            await is_sent.wait()
        for stream_id in ("st_1", "st_2", "st_1"):
            notifications.announce(stream_id)
            await wait_all_blocked()
        assert sent == [["st_1"]]
        assert list(notifications._changed) == ["st_1", "st_2"]  # of the next one
        tasks.cancel_scope.cancel()


async def _keep_appending(log: Any) -> None:
    while True:
        log.append("more", leg=0)
        await anyio.sleep(0.02)


# --- tenants --------------------------------------------------------------------------------------


async def test_damage_is_told_and_what_is_before_it_is_read(database: str, db: Any) -> None:
    async with replica(database) as (_, journal):
        log = await keep(journal, "a", "b", "c")
        await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)
        db.execute("SELECT set_config('ih.tenant', '=acme', false)")
        db.execute("UPDATE entries SET body = 'x' WHERE place %% 4294967296 = 2", ())
        assert await bodies_of(journal) == ["a"]
        with pytest.raises(JournalError, match="message 2 of st_1 is not as it was written"):
            await journal.read_page("st_1", 1, **ALL)
        assert await bodies_of(journal, after=2) == ["c"]
        db.execute("UPDATE entries SET body = '\\xff' WHERE place %% 4294967296 = 3", ())
        with pytest.raises(JournalError, match="message 3 of st_1 is not as it was written"):
            await journal.read_page("st_1", 2, **ALL)


async def test_what_the_server_refuses_is_told_and_nothing_of_it_is_kept(
    database: str, db: Any
) -> None:
    """At once, or only when it is asked to commit."""
    async with replica(database) as (_, journal):
        with pytest.raises(JournalError, match="the journal cannot write: ") as refused:
            await journal.begin("st_\0", {})
        assert "IH_MCP_JOURNAL" in refused.value.help
        db.execute(_REFUSES_TO_COMMIT)
        with pytest.raises(JournalError, match="the journal cannot write: not today"):
            await journal.begin("st_1", {})
        db.execute("DROP FUNCTION refuse CASCADE")
        assert await journal.list_streams() == []
        assert await bodies_of(journal, (await keep(journal, "a")).stream_id) == ["a"]


_REFUSES_TO_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON streams DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION refuse();
"""


# --- what is refused, and what is not loaded ------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        ("postgresql://nobody@127.0.0.1:1/x", "cannot be used"),
        ("postgresql://x@/y?unknown=1", "no address of a database"),
    ],
)
async def test_a_database_that_cannot_be_used_is_refused(dsn: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as failed:
        async with open_journal(dsn):
            raise AssertionError
    assert "IH_MCP_JOURNAL" in failed.value.help


async def test_the_password_of_a_database_is_never_shown(database: str) -> None:
    password = "pL4nt3d-p4ssw0rd"
    async with open_engine(psycopg.conninfo.make_conninfo(database, password=password)):
        assert password not in redact(f"no login with {password}")


def a_server(
    host: str,
    *,
    fsync: str = "on",
    is_encrypted: bool = False,
    standbys: str = "",
    skips_policies: bool = False,
) -> Any:
    row = SimpleNamespace(fetchone=lambda: (fsync, standbys, skips_policies))
    return SimpleNamespace(
        info=SimpleNamespace(host=host, hostaddr=host),
        pgconn=SimpleNamespace(ssl_in_use=is_encrypted),
        execute=lambda *_: row,
    )


def test_a_server_that_could_lose_or_show_what_is_kept_is_refused() -> None:
    for host in ("/tmp", "127.0.0.1", "::1"):  # noqa: S108 - a folder of sockets
        schema._require_safe(cast("Any", a_server(host)))
    schema._require_safe(cast("Any", a_server("192.0.2.1", is_encrypted=True)))
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1 is not encrypted"):
        schema._require_safe(cast("Any", a_server("192.0.2.1")))
    with pytest.raises(ConfigurationError, match=r"db\.example is not encrypted"):
        schema._require_safe(cast("Any", a_server("db.example")))
    with pytest.raises(ConfigurationError, match="fsync=off"):
        schema._require_safe(cast("Any", a_server("127.0.0.1", fsync="off")))


async def test_a_database_of_another_program_is_refused_with_what_helps(
    database: str, db: Any
) -> None:
    """Tables of the same names, without our columns; and a user that may not create any."""
    refused = []
    for statement in (
        "CREATE TABLE streams(a int)",
        "DROP TABLE streams; REVOKE CREATE ON SCHEMA {} FROM CURRENT_USER",
    ):
        (schema_name,) = db.execute("SELECT current_schema()").fetchone()
        db.execute(statement.format(schema_name))
        with pytest.raises(ConfigurationError) as told:
            async with open_engine(database):
                pass
        refused.append(told.value)
    assert ["does not exist" in refused[0].what, "denied" in refused[1].what] == [True, True]
    assert all("a database of its own, and a user that owns it" in each.help for each in refused)
    assert all("LINE" not in each.what for each in refused)


def test_a_table_without_a_column_of_ours_is_found_out_at_the_start(db: Any) -> None:
    schema.prepare_database(db)
    db.execute("ALTER TABLE entries DROP COLUMN checksum")
    with pytest.raises(psycopg.errors.UndefinedColumn, match="checksum"):
        schema.prepare_database(db)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (a_server("::1"), "no synchronous copy"),
        (a_server("::1", standbys="other"), ""),
        (a_server("::1", standbys="other", skips_policies=True), "may see every row"),
    ],
)
def test_what_a_server_does_not_promise_is_logged(
    server: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(read_settings().log_level.upper(), schema._LOG.name)  # as it is by default
    schema._require_safe(server)
    assert (said in caplog.text) if said else not caplog.records


async def test_a_start_without_a_synchronous_copy_says_so(
    database: str, db: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With one it does not: see tests/reliability/test_team_takeover.py."""
    caplog.set_level(read_settings().log_level.upper(), schema._LOG.name)
    (standbys,) = db.execute("SHOW synchronous_standby_names").fetchone()
    async with open_engine(database):
        assert ("the database has no synchronous copy" in caplog.text) is not bool(standbys)


_OPENS_A_FILE = """
import sys, anyio, pathlib
from ih_mcp.journal import open_journal
import ih_mcp.mcp_server.server
async def main():
    async with open_journal(pathlib.Path(sys.argv[1])): pass
anyio.run(main)
print(sorted(name for name in sys.modules if "psycopg" in name or "postgres" in name))
"""


def test_a_journal_in_a_file_loads_nothing_of_the_other(tmp_path: Any) -> None:
    found = subprocess.run(
        [sys.executable, "-c", _OPENS_A_FILE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
