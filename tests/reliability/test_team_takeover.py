"""T1: the database's node dies while its copy is behind, and the copy takes over; a night test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager

import anyio
import pytest
from anyio import to_thread

from ih_mcp.errors import ConfigurationError, JournalError
from ih_mcp.journal import Journal, StreamLog, open_journal

from .budget import IS_LONG, report
from .checker import History, Poll, Session, check
from .test_crash import writing
from .writer import message

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres import PostgresEngine, leases, open_engine  # noqa: E402 - they need the driver
from tests.journal.test_journal import bodies_of, keep  # noqa: E402 - as above
from tests.postgres_proxy import open_proxy  # noqa: E402 - as above

from .postgres_pair import Pair, open_pair, until  # noqa: E402 - it needs the driver
from .test_team import ORPHANED, read_twice  # noqa: E402 - as above

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not IS_LONG, reason="two servers take over from each other: make nightly"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads the signals of a process in /proc"),
]
WRITERS, STREAMS_OF_EACH, TAKEOVERS, PAUSE_SECONDS = 2, 2, 4, 1.0
Shown = dict[str, list[Poll]]


def note(process: subprocess.Popen[bytes], reader: str, shown: Shown) -> None:
    """Note what the readers of a process were shown, until it is killed."""
    assert process.stdout
    with os.fdopen(os.dup(process.stdout.fileno()), "rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):  # the last one may be torn
                said = json.loads(line)
                add(shown, reader, said["stream"], said["cursor"], said["bodies"])


def add(shown: Shown, reader: str, stream_id: str, after: int, bodies: list[str]) -> None:
    poll = Poll(reader=reader, cursor=after, bodies=bodies, next_cursor=after + len(bodies))
    shown.setdefault(stream_id, []).append(poll)


async def follow(journal: Journal, stream_id: str, shown: Shown) -> None:
    """Read what another process writes; an answer that the database is away is no end."""
    cursor = 0
    while True:
        try:
            await journal.wait(stream_id, cursor)
            page = await journal.read_page(stream_id, cursor, limit=500, max_chars=10**7)
        except JournalError as exc:
            assert exc.retry, exc  # noqa: PT017 - any other is a failure
            continue
        add(shown, "elsewhere", stream_id, cursor, [str(entry.body) for entry in page.entries])
        cursor += len(page.entries)


async def see_more(shown: Shown) -> None:
    """Wait until each stream has shown more than now."""
    before = {stream_id: polls[-1].next_cursor for stream_id, polls in shown.items()}
    with anyio.fail_after(120):
        while len(shown) < WRITERS * STREAMS_OF_EACH or any(  # noqa: ASYNC110 - as below
            polls[-1].next_cursor <= before.get(stream_id, 0) for stream_id, polls in shown.items()
        ):
            await anyio.sleep(0.02)  # what a thread notes tells nobody


@pytest.fixture
def pair() -> Iterator[Pair]:
    with open_pair() as opened:
        yield opened


@asynccontextmanager
async def keeping(pair: Pair) -> AsyncIterator[tuple[PostgresEngine, Journal, StreamLog]]:
    """An engine on the pair, a tenant's journal, and its stream with one message."""
    async with (
        open_engine(pair.address) as engine,
        open_journal(engine.journal_of("acme"), ORPHANED) as journal,
    ):
        yield engine, journal, await keep(journal, "a")


async def test_t1_what_was_shown_survives_the_death_of_the_node_of_the_database(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    written, read, waited = Shown(), Shown(), 0
    with ThreadPoolExecutor(WRITERS) as threads, ExitStack() as killed:
        for number in range(WRITERS):
            process = killed.enter_context(writing(pair.address, "steady"))
            threads.submit(note, process, f"writer {number}", written)
        async with open_journal(pair.address, ORPHANED) as journal:
            assert "no synchronous copy" not in caplog.text
            await see_more(written)
            async with anyio.create_task_group() as tasks:
                for stream_id in list(written):
                    tasks.start_soon(follow, journal, stream_id, read)
                for _ in range(TAKEOVERS):
                    await see_more(written)
                    await see_more(read)
                    waiting = await to_thread.run_sync(pair.take_over, PAUSE_SECONDS)
                    assert waiting  # something was under way that died with the node
                    waited += waiting
                    await to_thread.run_sync(pair.make_copy)
                await see_more(written)
                await see_more(read)
                tasks.cancel_scope.cancel()
        killed.close()
    with psycopg.connect(pair.address, autocommit=True) as db:
        db.execute("DELETE FROM owners")  # as a replica does when the lease has run out
    shown = await compare(pair.address, written, read)
    figure = f"{TAKEOVERS} takeovers from a node that was killed, its copy held for "
    figure += f"{PAUSE_SECONDS:g} s: {waited} commits died with it, {shown} messages shown, 0 lost"
    report("T1", "test_team_takeover.py", figure)


async def test_t1_a_commit_that_waits_for_the_copy_is_not_shown_for_a_lost_connection(
    pair: Pair,
) -> None:
    """Who asks what became of it does not end it: it would be seen at once, by everybody."""
    waits = "SELECT bool_or(query = 'COMMIT' AND wait_event = 'SyncRep') FROM pg_stat_activity"
    primary = f"postgresql://ih@127.0.0.1:{pair.primary.port}/ih"
    async with (
        open_proxy(primary) as proxy,
        open_journal(proxy.address) as journal,
        open_journal(primary) as reader,
    ):
        log = await keep(journal, "a")
        receiver = pair.copy.ask("SELECT pid FROM pg_stat_wal_receiver")
        os.kill(receiver, signal.SIGSTOP)
        try:
            log.append("b", leg=0)
            await to_thread.run_sync(until, lambda: bool(pair.primary.ask(waits)))
            await proxy.cut()
            proxy.restore()
            await anyio.sleep(2)  # it asks four times a second
            assert (log.last, await bodies_of(reader)) == (1, ["a"])
        finally:
            os.kill(receiver, signal.SIGCONT)
        with anyio.fail_after(60):
            await log.flush()
        assert await bodies_of(reader) == ["a", "b"]
    report("T1", "test_team_takeover.py", "a commit that waits for the copy is not shown before")


async def test_t10_while_the_copy_is_away_calls_end_and_say_so_and_reading_goes_on(
    pair: Pair,
) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with keeping(pair) as (engine, journal, log):
        await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)
        receiver = pair.copy.ask("SELECT pid FROM pg_stat_wal_receiver")
        os.kill(receiver, signal.SIGSTOP)
        try:
            begun = anyio.current_time()
            with pytest.raises(JournalError, match="its synchronous copy is away"):
                await journal.begin("st_new", {})
            first = anyio.current_time() - begun
            await to_thread.run_sync(until, lambda: "copy is away" in engine.lease.outage)
            for _ in range(5):
                with pytest.raises(JournalError, match="its synchronous copy is away"):
                    await journal.begin("st_other", {})
                with pytest.raises(ConfigurationError, match="its synchronous copy is away"):
                    async with open_journal(pair.address):
                        raise AssertionError
            assert await bodies_of(journal) == ["a"]
            assert pair.primary.ask(waiting) <= 3  # a start, a renewal, a notification
        finally:
            os.kill(receiver, signal.SIGCONT)
        await to_thread.run_sync(until, lambda: not engine.lease.outage)
        await keep(journal, "b", stream_id="st_2")
        await journal.clean_up()
        row = await journal.find_stream("st_new")
        assert (row.ended_at is None, json.loads(row.record)["state"]) == (False, "failed")
    report("T10", "test_team_takeover.py", f"the copy away: a start is refused after {first:.0f} s")


async def test_t3_who_begins_at_a_copy_that_took_over_removes_no_lease_of_before(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage of minutes, in which nobody could renew one."""
    async with keeping(pair) as (engine, _, log):
        monkeypatch.setattr(leases, "RENEW_SECONDS", 10**6)
        with psycopg.connect(pair.address, autocommit=True) as db:
            db.execute("UPDATE owners SET until = until - interval '2 min'")
        await to_thread.run_sync(pair.take_over, 0.0)
        await to_thread.run_sync(pair.make_copy)
        with psycopg.connect(pair.address, autocommit=True) as db:
            ran_out = "SELECT bool_and(until < clock_timestamp()) FROM owners"
            assert db.execute(ran_out).fetchone() == (True,)
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.1)  # so long both servers run
        async with open_journal((pair.address, "acme"), ORPHANED) as new:
            assert await bodies_of(new) == ["a"]
            assert (await new.find_stream("st_1")).ended_at is None
        name = engine.lease.name
        monkeypatch.undo()
        await to_thread.run_sync(engine.lease.renew)
        assert engine.lease.name == name
        log.append("b", leg=0)
        await log.flush()
    report("T3", "test_team_takeover.py", "a copy that took over: no lease of before is removed")


async def compare(address: str, *sides: Shown) -> int:
    """Hold what is kept against what was written, and shown anywhere; gives how much was shown."""
    count = 0
    for stream_id in sides[0]:
        kept, again = await read_twice(address, stream_id)
        assert kept == again
        sent = [message(stream_id, number) for number in range(1, len(kept) + 1)]
        for polls in (shown[stream_id] for shown in sides):
            history = History(
                sessions=[Session(sent=sent, is_lost=True)], kept=kept, polls=polls, told={0}
            )
            assert check(history) == []
            count += sum(len(poll.bodies) for poll in polls)
    return count
