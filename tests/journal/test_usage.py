"""The minutes of all processes of a data folder, counted in the journal's file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.errors import MinutesUsedUpError, UsedUpError
from ih_mcp.journal import FILE_NAME, Journal, StreamAccount, UsageTable, open_journal, usage
from ih_mcp.wire.minutes import PER_DAY, PER_MONTH, MediaUse, MinuteLimit, MinutesBudget, Per
from tests.sqlite_journal import db_of, release_lock

from .test_journal import bodies_of, keep

NOTHING = MediaUse()
DAY = "2026-11-30"


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The day it is; a test may put another one."""
    day = [DAY]
    monkeypatch.setattr(
        "ih_mcp.journal.usage._now", lambda: datetime.fromisoformat(f"{day[0]}T12:00:00+00:00")
    )
    return day


def a_day_of(seconds: float, **fields: object) -> MinutesBudget:
    limit = MinuteLimit(setting=PER_DAY, per=Per.DAY, seconds=seconds)
    return MinutesBudget(limits=(limit,), **fields)  # type: ignore[arg-type]  # names of fields


async def begun(
    journal: Journal, name: str, budget: MinutesBudget, planned: float = 0.0
) -> StreamAccount:
    await journal.begin(name, {}, budget=budget, planned_seconds=planned)
    return journal.account(name, budget)


async def use_of(journal: Journal, name: str) -> MediaUse | None:
    return await journal.read_usage(lambda table: table.find_use(name))


async def counted(journal: Journal, budget: MinutesBudget) -> float:
    return await journal.read_usage(lambda table: table.count(budget, Per.DAY))


async def test_two_processes_cannot_both_use_the_last_minutes(place: Path | str) -> None:
    budget, granted = a_day_of(60), 0

    async def use_up(account: StreamAccount) -> None:
        nonlocal granted
        use = NOTHING
        try:
            while True:
                await account.spend(1.0, use)
                use += MediaUse(delivered_seconds=1.0)
                granted += 1
        except MinutesUsedUpError:
            return

    async with open_journal(place) as one, open_journal(place) as two:
        accounts = [  # all begin before the first uses minutes up
            await begun(journal, f"st_{number}", budget)
            for number, journal in enumerate([one, two, one, two])
        ]
        async with anyio.create_task_group() as tasks:
            for account in accounts:
                tasks.start_soon(use_up, account)
        assert granted == 60
        assert await counted(two, budget) == 60


async def test_what_a_file_needs_is_promised_to_it_when_it_begins(place: Path | str) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as one, open_journal(place) as two:
        account = await begun(one, "st_1", budget, 40)
        with pytest.raises(MinutesUsedUpError, match=r"0\.33 are left"):
            await begun(two, "st_2", budget, 21)
        assert [row.id for row in await two.list_streams()] == ["st_1"]
        other = await begun(two, "st_3", budget, 20)
        await account.spend(40, NOTHING)
        await other.spend(20, NOTHING)
        with pytest.raises(MinutesUsedUpError):  # it is longer than it said
            await account.spend(0.1, MediaUse(delivered_seconds=40))
        assert await counted(one, budget) == 60


async def test_a_promise_is_free_again_when_the_stream_is_over(place: Path | str) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        account = await begun(journal, "st_1", budget, 50)
        await account.spend(3, NOTHING)
        await account.settle(MediaUse(delivered_seconds=3, analysed_seconds=3), ended=True)
        assert await counted(journal, budget) == 3
        assert await use_of(journal, "st_1") == MediaUse(delivered_seconds=3, analysed_seconds=3)


async def test_a_killed_process_has_counted_all_it_sent_and_holds_no_promise(
    tmp_path: Path,
) -> None:
    budget = a_day_of(60)
    async with open_journal(tmp_path) as killed, open_journal(tmp_path) as journal:
        account = await begun(killed, "st_1", budget, 50)
        await account.spend(3, NOTHING)
        release_lock(killed)
        await begun(journal, "st_2", budget, 57)
        assert await counted(journal, budget) == 60
        assert await use_of(journal, "st_1") == MediaUse(delivered_seconds=3)


async def test_dropped_media_may_be_sent_again_and_what_is_unknown_may_not(
    place: Path | str,
) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        account = await begun(journal, "st_1", budget)
        await account.spend(60, NOTHING)
        use = MediaUse(delivered_seconds=60, analysed_seconds=30, dropped_seconds=10)
        await account.spend(10, use)
        with pytest.raises(MinutesUsedUpError):
            await account.spend(1, use + MediaUse(delivered_seconds=10))


async def test_what_is_counted_does_not_shrink_before_the_end(place: Path | str) -> None:
    """A segment is counted before it is sent, and known as sent a little later."""
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        account = await begun(journal, "st_1", budget)
        await account.spend(3, NOTHING)
        await account.settle(NOTHING, ended=False)
        assert await use_of(journal, "st_1") == MediaUse(delivered_seconds=3)
        await account.settle(MediaUse(delivered_seconds=30, analysed_seconds=30), ended=False)
        assert await use_of(journal, "st_1") == MediaUse(delivered_seconds=30, analysed_seconds=30)
        await account.settle(NOTHING, ended=True)  # it was left out after all
        assert await use_of(journal, "st_1") == NOTHING


async def test_a_day_is_one_of_utc_and_its_limit_holds_for_itself(
    place: Path | str, today: list[str]
) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        account = await begun(journal, "st_1", budget, 50)
        await account.spend(40, NOTHING)
        today[0] = "2026-12-01"
        sent = MediaUse(delivered_seconds=40, analysed_seconds=35)
        await account.spend(60, sent)  # a promise ends with its day
        with pytest.raises(MinutesUsedUpError):
            await account.spend(1, sent + MediaUse(delivered_seconds=60))
        await account.settle(MediaUse(delivered_seconds=100, analysed_seconds=100), ended=True)
        rows = await journal.read_usage(UsageTable.read_days)
        assert [(row.day, row.use.delivered_seconds, row.use.analysed_seconds) for row in rows] == [
            (DAY, 40, 35),
            ("2026-12-01", 60, 65),
        ]
        since = await journal.read_usage(lambda table: table.read_days("2026-12-01"))
        assert since == rows[1:]
        today[0] = DAY  # the clock was set back
        with pytest.raises(MinutesUsedUpError):
            await begun(journal, "st_2", budget, 21)


async def test_a_month_is_the_sum_of_its_days(place: Path | str, today: list[str]) -> None:
    limit = MinuteLimit(setting=PER_MONTH, per=Per.MONTH, seconds=60)
    budget = MinutesBudget(limits=(limit,))
    async with open_journal(place) as journal:
        for today[0] in ("2026-10-31", "2026-11-01", "2026-11-30"):
            account = await begun(journal, f"st_{today[0]}", budget, 25)
            await account.spend(25, NOTHING)
            sent = MediaUse(delivered_seconds=25, analysed_seconds=25)
            await account.settle(sent, ended=True)
        with pytest.raises(MinutesUsedUpError, match=r"a month; 0\.16 are left") as error:
            await begun(journal, "st_4", budget, 11)
        assert error.value.facts["retry_after_s"] == 12 * 3600
        await begun(journal, "st_5", budget, 10)
        today[0] = "2026-12-01"
        await begun(journal, "st_6", budget, 60)


async def test_bytes_are_counted_before_they_are_sent_for_all_processes(
    place: Path | str, today: list[str]
) -> None:
    budget = MinutesBudget(max_bytes_per_day=1_000)
    async with open_journal(place) as one, open_journal(place) as two:
        first, second = await begun(one, "st_1", budget), await begun(two, "st_2", budget)
        await first.spend(1.0, NOTHING, size=600)
        with pytest.raises(UsedUpError, match="401 bytes of media would exceed") as error:
            await second.spend(1.0, NOTHING, size=401)
        assert error.value.facts["left_bytes"] == 400
        assert await use_of(two, "st_2") == NOTHING  # the refused one counts nothing
        await second.spend(1.0, NOTHING, size=400)
        today[0] = "2026-12-01"
        await second.spend(1.0, MediaUse(delivered_seconds=1.0), size=1_000)


async def test_live_streams_of_all_processes_are_bounded_together(place: Path | str) -> None:
    budget, begun_ids, codes = MinutesBudget(max_live_streams=3), list[str](), set[str]()

    async def begin(journal: Journal, name: str) -> None:
        try:
            await journal.begin(name, {}, budget=budget)
        except UsedUpError as exc:
            codes.add(exc.code)
        else:
            begun_ids.append(name)

    async with open_journal(place) as one, open_journal(place) as two:
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(begin, (one, two)[number % 2], f"st_{number}")
        assert (len(begun_ids), codes) == (3, {"streams_used_up"})
        assert sorted(row.id for row in await one.list_streams()) == sorted(begun_ids)
        no = (await two.find_stream(begun_ids[0])).no
        await one._run_write(partial(one._store.remove_streams, [no]))
        await two.begin("st_9", {}, budget=budget)


async def test_the_streams_of_a_killed_process_make_room(tmp_path: Path) -> None:
    budget = MinutesBudget(max_live_streams=1)
    async with open_journal(tmp_path) as killed, open_journal(tmp_path) as journal:
        await killed.begin("st_1", {}, budget=budget)
        release_lock(killed)
        await journal.begin("st_2", {}, budget=budget)
        with pytest.raises(UsedUpError, match="no more than 1 may be"):
            await journal.begin("st_3", {}, budget=budget)


async def test_the_standin_and_each_tenant_are_counted_apart(tmp_path: Path) -> None:
    apart: list[dict[str, object]] = [{}, {"is_free": True}, {"tenant": "other"}]
    async with open_journal(tmp_path) as journal:
        for number, fields in enumerate(apart):
            await begun(journal, f"st_{number}", a_day_of(60, **fields), 60)
        for endpoint in ("staging", "production"):  # both bill
            with pytest.raises(MinutesUsedUpError):
                await begun(journal, "st_9", a_day_of(60, endpoint=endpoint), 1)


async def test_what_many_streams_used_is_read_by_few_statements(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of a thousand streams asks no thousand times."""
    monkeypatch.setattr(usage, "_STREAMS_AT_ONCE", 2)
    names, statements = [f"st_{number}" for number in range(3)], 0

    def read(table: UsageTable) -> dict[str, MediaUse]:
        execute = table._execute

        def count(*given: Any) -> usage.UsageCursor:
            nonlocal statements
            statements += 1
            return execute(*given)

        monkeypatch.setattr(table, "_execute", count)
        return table.find_uses(iter([*names, "st_unknown"]))

    async with open_journal(place) as journal:
        for number, name in enumerate(names):
            account = await begun(journal, name, a_day_of(600))
            await account.spend(number + 1, NOTHING)
        found = await journal.read_usage(read)
    assert {name: use.delivered_seconds for name, use in found.items()} == {
        name: number + 1 for number, name in enumerate(names)
    }
    assert statements == 2


async def test_a_stream_that_is_removed_leaves_its_seconds_and_no_id(place: Path | str) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        await begun(journal, "st_1", budget)
        await journal.account("st_1", budget).spend(30, NOTHING)
        no = (await journal.find_stream("st_1")).no
        await journal._run_write(partial(journal._store.remove_streams, [no]))
        assert await use_of(journal, "st_1") is None
        assert await counted(journal, budget) == 30
        assert await journal.read_usage(lambda table: table.find_uses(["st_1"])) == {}


async def test_a_journal_of_an_earlier_version_counts_from_now_on(tmp_path: Path) -> None:
    await _make_earlier_journal(tmp_path)
    async with open_journal(tmp_path) as journal:
        assert await bodies_of(journal) == ["a"]
        assert await use_of(journal, "st_1") is None
        await begun(journal, "st_2", a_day_of(60), 60)
        assert await use_of(journal, "st_2") == NOTHING
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    assert version == 2  # an earlier version of ih-mcp goes on reading and writing it


async def test_a_journal_of_an_earlier_version_that_is_read_only_has_counted_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _make_earlier_journal(tmp_path)
    monkeypatch.setattr("ih_mcp.journal.store.is_read_only_journal", Path.is_file)
    async with open_journal(tmp_path) as journal:
        assert journal.is_read_only
        assert await bodies_of(journal) == ["a"]
        assert await journal.read_usage(UsageTable.read_days) == []
        assert await use_of(journal, "st_1") is None


async def test_a_journal_of_a_version_that_counted_no_bytes_counts_them_from_now_on(
    tmp_path: Path,
) -> None:
    budget = MinutesBudget(max_bytes_per_day=10)
    async with open_journal(tmp_path) as journal:
        account = await begun(journal, "st_1", budget)
        await account.spend(1.0, NOTHING, size=10)
        db_of(journal).execute("ALTER TABLE usage DROP COLUMN bytes")
    async with open_journal(tmp_path) as journal:
        other = await begun(journal, "st_2", budget)
        await other.spend(1.0, NOTHING, size=10)
        with pytest.raises(UsedUpError):
            await other.spend(1.0, NOTHING, size=1)
        assert await use_of(journal, "st_1") == MediaUse(delivered_seconds=1.0)


async def _make_earlier_journal(folder: Path) -> None:
    async with open_journal(folder) as journal:
        log = await keep(journal, "a")
        await log.write_record({"state": "ended"}, ended=True)
        journal.release(log)
        db_of(journal).execute("DROP TABLE usage")


async def test_another_process_may_have_added_what_is_missing_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_journal(tmp_path) as journal:
        await keep(journal, "a")
    counts_bytes, seen = usage._counts_bytes, list[bool]()

    def look(db: sqlite3.Connection) -> bool:
        seen.append(bool(seen) and counts_bytes(db))  # at first it was not there
        return seen[-1]

    monkeypatch.setattr(usage, "_counts_bytes", look)
    async with open_journal(tmp_path) as journal:
        assert await bodies_of(journal) == ["a"]
    assert seen[:2] == [False, True]


async def test_what_is_promised_and_what_may_begin_is_read_without_a_stream(
    place: Path | str,
) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        account = await begun(journal, "st_1", budget, 40)
        await account.spend(10.0, NOTHING)
        assert await journal.read_usage(lambda table: table.count_promised(budget)) == 30.0
        await journal.read_usage(lambda table: table.check(budget, 20.0))
        with pytest.raises(MinutesUsedUpError):
            await journal.read_usage(lambda table: table.check(budget, 20.1))


async def test_what_was_used_today_is_of_all_streams_and_of_no_other_day(
    place: Path | str, today: list[str]
) -> None:
    budget = a_day_of(60)
    async with open_journal(place) as journal:
        today[0] = "2026-11-29"
        await (await begun(journal, "st_1", budget)).spend(20.0, NOTHING)
        today[0] = DAY
        used = await journal.read_usage(lambda table: table.use_of_day(budget))
        assert used == NOTHING
        for name in ("st_2", "st_3"):
            await (await begun(journal, name, budget)).spend(5.0, NOTHING)
        used = await journal.read_usage(lambda table: table.use_of_day(budget))
    assert used == MediaUse(delivered_seconds=10.0)
