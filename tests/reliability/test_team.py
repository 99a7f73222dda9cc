"""T1, T2, T4, T9, T10: several processes with one PostgreSQL, which die, and which lose it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio import to_thread

from ih_mcp.errors import JournalError, MinutesUsedUpError
from ih_mcp.journal import Journal, Retention, StreamAccount, open_journal
from ih_mcp.wire.minutes import PER_DAY, MediaUse, MinuteLimit, MinutesBudget, Per

from .budget import IS_LONG, dice, often, report
from .checker import History, Poll, Session, check
from .test_crash import writing
from .writer import message

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from tests.postgres_proxy import open_proxy  # noqa: E402 - it needs the driver

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
        process.kill()
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
            kept, again = anyio.run(_read_twice, database, stream_id)
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


async def _read_twice(database: str, stream_id: str) -> tuple[Any, Any]:
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
                await account.take(1.0, use)
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
            await journal.account("st_1").take(3, MediaUse())
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
