"""T1, T2, T4, T7, T9 to T12, T15: processes with one PostgreSQL, which die, and which lose it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio import to_thread

from ih_mcp.errors import JournalError, MinutesUsedUpError, UnknownStreamError
from ih_mcp.journal import Journal, Retention, StreamAccount, open_journal
from ih_mcp.wire.minutes import PER_DAY, MediaUse, MinuteLimit, MinutesBudget, Per
from tests.blocked import wait_all_blocked
from tests.forked import kill

from .budget import IS_LONG, dice, often, report
from .checker import History, Poll, Session, check
from .test_crash import writing
from .writer import message

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres import open_engine, schema, wakeups  # noqa: E402 - they need the driver
from tests.journal.test_journal import bodies_of, keep  # noqa: E402 - as above
from tests.postgres_proxy import open_proxy  # noqa: E402 - as above

pytestmark = [
    pytest.mark.timeout(3600 if often(0, nightly=1) else 90),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]
FILE = "test_team.py"
ORPHANED = Retention(orphaned={"state": "failed", "reason": "host_stopped"})


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def kill_after_answers(database: str, answers: int) -> dict[str, list[Poll]]:
    """SIGKILL a writer when its readers have been shown so many pages; gives these, by stream."""
    shown: dict[str, list[Poll]] = {}
    with writing(database, "steady") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(answers)]
        kill(process)
        process.wait()
        *rest, _ = process.stdout.read().split(b"\n")  # the last one may be torn
    for line in (*lines, *rest):
        said = json.loads(line)
        after, bodies = said["cursor"], said["bodies"]
        poll = Poll(cursor=after, bodies=bodies, next_cursor=after + len(bodies))
        shown.setdefault(said["stream"], []).append(poll)
    return shown


def test_t1_t2_what_was_shown_survives_killed_processes_and_is_the_same_everywhere(
    database: str, db: Any
) -> None:
    kills, shown_entries = often(2, nightly=200), 0
    random = dice("t1")
    for _ in range(kills):
        shown = kill_after_answers(database, random.randint(5, 200))
        db.execute("DELETE FROM owners")  # as a replica does when the lease has run out
        for stream_id, polls in shown.items():
            kept, again = anyio.run(read_twice, database, stream_id)
            assert kept == again
            sent = [message(stream_id, number) for number in range(1, len(kept) + 1)]
            history = History(
                sessions=[Session(sent=sent, is_lost=True)], kept=kept, polls=polls, told={0}
            )
            assert check(history) == []
            shown_entries += sum(len(poll.bodies) for poll in polls)
    assert shown_entries
    report("T1", FILE, f"{kills} SIGKILLs, {shown_entries} messages shown before, 0 lost")
    report("T2", FILE, "each stream read by two other processes: the same bytes")


async def read_twice(database: str, stream_id: str) -> tuple[Any, Any]:
    """What two other processes have of a stream, which is over for both."""
    whole = {"limit": 10**6, "max_chars": 10**12}
    async with open_journal(database, ORPHANED) as one, open_journal(database, ORPHANED) as other:
        await one.clean_up()
        pages = [await journal.read_page(stream_id, 0, **whole) for journal in (one, other)]
        row = await other.find_stream(stream_id)
        assert json.loads(row.record)["reason"] == "host_stopped"
        assert all(page.is_final for page in pages)
    return pages[0].entries, pages[1].entries


async def test_t4_a_death_is_told_to_who_waits_elsewhere(
    database: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By day the lease is short; its length is all that differs."""
    monkeypatch.setattr("ih_mcp.journal.postgres.leases.LEASE_SECONDS", often(2.0, nightly=10.0))
    monkeypatch.setattr("ih_mcp.journal.postgres.leases.RENEW_SECONDS", often(0.2, nightly=3.0))
    async with open_journal(database, ORPHANED) as living:
        shown = await to_thread.run_sync(kill_after_answers, database, 20)
        stream_id = next(iter(shown))
        db.execute(  # it renewed for the usual time
            "UPDATE owners SET until = least(until, clock_timestamp() + make_interval(secs => %s))",
            (often(2.0, nightly=10.0),),
        )
        last = (await living.find_stream(stream_id)).last
        begun = anyio.current_time()
        with anyio.fail_after(60):
            await living.wait(stream_id, last)
        row = await living.find_stream(stream_id)
        assert row.ended_at is not None
        assert json.loads(row.record)["reason"] == "host_stopped"
        report("T4", FILE, f"told {anyio.current_time() - begun:.1f} s after the kill")


async def test_t9_processes_that_race_for_the_last_minutes_use_no_second_more(
    database: str,
) -> None:
    limit = MinuteLimit(setting=PER_DAY, per=Per.DAY, seconds=60)
    budget, granted = MinutesBudget(limits=(limit,)), 0

    async def use_up(account: StreamAccount) -> None:
        nonlocal granted
        use = MediaUse()
        try:
            while True:
                await account.spend(1.0, use)
                use += MediaUse(delivered_seconds=1.0)
                granted += 1
        except MinutesUsedUpError:
            return

    async with (
        open_journal(database) as one,
        open_journal(database) as two,
        open_journal(database) as three,
    ):
        accounts = [await _begin(each, n, budget) for n, each in enumerate((one, two, three))]
        async with anyio.create_task_group() as tasks:
            for account in accounts:
                tasks.start_soon(use_up, account)
        assert granted == 60
    report("T9", FILE, "3 processes race for the last 60 s: 60 granted")


async def _begin(journal: Journal, number: int, budget: MinutesBudget) -> StreamAccount:
    await journal.begin(f"st_{number}", {}, budget=budget)
    return journal.account(f"st_{number}", budget)


@pytest.mark.parametrize("seconds", often([0.0], nightly=[5.0, 40.0]))
async def test_t10_a_database_that_is_away_is_waited_for(seconds: float, database: str) -> None:
    async with open_proxy(database) as proxy, open_journal(proxy.address) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        log.append("a", leg=0)
        await log.flush()
        await proxy.cut()
        log.append("b", leg=0)
        await proxy.refused.wait()
        if IS_LONG:
            await anyio.sleep(seconds)
        assert log.last == 1  # nothing is shown that is not kept
        proxy.restore()
        with anyio.fail_after(60):
            await log.flush()
            await journal.account("st_1").spend(3, MediaUse())
        page = await journal.read_page("st_1", 0, limit=9, max_chars=99)
        assert [entry.body for entry in page.entries] == ["a", "b"]
    report("T10", FILE, f"away for {seconds:g} s: nothing shown meanwhile, nothing lost")


async def test_t10_a_database_that_stays_away_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.journal.postgres.store.WRITE_SECONDS", often(0.5, nightly=60.0))
    async with open_proxy(database) as proxy, open_journal(proxy.address) as journal:
        log = await journal.begin("st_1", {"state": "open"})
        await proxy.cut()
        log.append("never shown", leg=0)
        with anyio.fail_after(180), pytest.raises(JournalError) as failed:
            await log.flush()
        assert failed.value.code == "journal_failed"
        proxy.restore()
    async with open_journal(database) as reader:
        assert (await reader.read_page("st_1", 0, limit=9, max_chars=99)).entries == ()
    report("T10", FILE, "away for longer than a minute: the streams fail with journal_failed")


# --- answers and notifications that are lost -----------------------------------------------------

STATEMENTS = [b"BEGIN;", b"UPDATE", b"INSERT INTO entries", b"COMMIT"]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_t11_a_commit_whose_answer_was_lost_is_kept_once(
    statement: bytes, database: str
) -> None:
    async with open_proxy(database) as proxy, open_journal(proxy.address) as journal:
        times = often(1, nightly=100)
        log = await keep(journal, "first")
        for number in range(times):
            proxy.lose_answer(lambda request: statement in request)
            log.append(f"{number} a", leg=0)
            log.append(f"{number} b", leg=0)
            with anyio.fail_after(60):
                await log.flush()
                await proxy.lost.wait()  # it may have been the answer to another statement
        log.append("last", leg=0)
        await log.flush()
        sent = [f"{number} {half}" for number in range(times) for half in "ab"]
        assert await bodies_of(journal) == ["first", *sent, "last"]
    figure = f"the answer to each of {len(STATEMENTS)} statements lost, {times} x: kept once"
    report("T11", FILE, figure)


async def test_t11_minutes_whose_answer_was_lost_are_counted_once(database: str) -> None:
    async with open_proxy(database) as proxy, open_journal(proxy.address) as journal:
        await keep(journal, "a")
        proxy.lose_answer(lambda request: b"COMMIT" in request)
        with anyio.fail_after(60):
            await journal.account("st_1").spend(30, MediaUse())
            await proxy.lost.wait()
        use = await journal.read_usage(lambda table: table.find_use("st_1"))
        assert use
        assert use.delivered_seconds == 30
    report("T11", FILE, "30 s of media whose answer was lost: 30 s counted")


async def test_t12_a_notification_that_is_lost_is_made_up_for_by_a_look(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By day looks come often; how often is all that differs."""
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", often(0.02, nightly=wakeups.LOOK_SECONDS))
    monkeypatch.setattr(wakeups.Notifications, "_send", lambda *_: None)
    longest = 0.0
    async with open_journal(database) as writer, open_journal(database) as reader:
        log = await keep(writer, "first")
        for number in range(1, often(2, nightly=50) + 1):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reader.wait, "st_1", number)
                await wait_all_blocked()
                log.append(str(number), leg=0)
                await log.flush()
                committed_at = anyio.current_time()
            longest = max(longest, anyio.current_time() - committed_at)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reader.wait, "st_1", log.last)
                await log.write_record({"state": "ended"}, ended=True)
    report("T12", FILE, f"no notification at all: read {longest:.2f} s after the commit at most")


# --- tenants -------------------------------------------------------------------------------------


async def test_t7_another_tenant_s_rows_are_hidden_from_a_statement_without_a_condition(
    database: str, db: Any
) -> None:
    async with open_engine(database) as engine:
        async with (
            open_journal(engine.journal_of("acme")) as acme,
            open_journal(engine.journal_of("beta")) as beta,
        ):
            await keep(acme, "secret")
            await acme.account("st_1").spend(30, MediaUse())
            with pytest.raises(UnknownStreamError):
                await bodies_of(beta)
            assert await beta.list_streams() == []
            assert [row.id for row in await acme.list_streams()] == ["st_1"]
        tables = ("streams", "entries", "usage")
        for tenant, rows in (("=acme", 1), ("=beta", 0), ("=", 0), ("", 0)):
            db.execute("SELECT set_config('ih.tenant', %s, false)", (tenant,))
            for table in tables:
                assert len(db.execute(f"SELECT * FROM {table}").fetchall()) == rows, tenant  # noqa: S608
    report("T7", FILE, f"{len(tables)} tables without a WHERE: 0 rows of another tenant")


# --- releases ------------------------------------------------------------------------------------

ADDS = r"(CREATE (TABLE|INDEX|POLICY) |ALTER TABLE \w+ ((ENABLE|FORCE) ROW|ADD COLUMN .* DEFAULT ))"


def test_t15_a_step_of_the_tables_only_adds() -> None:
    """A replica of the release before goes on working; two real ones meet at night."""
    statements = [
        " ".join(statement.split())
        for _, step in schema.STEPS
        for statement in re.sub(r"--.*", "", step).split(";")
        if statement.strip()
    ]
    assert statements
    assert [each for each in statements if not re.match(ADDS, each)] == []
    report("T15", FILE, f"{len(schema.STEPS)} steps of the tables: each only adds")
