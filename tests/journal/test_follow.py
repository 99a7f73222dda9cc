from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ih_mcp.errors import ExpiredCursorError, JournalError, UnknownStreamError
from ih_mcp.journal import Journal, Page, StreamLog, follow, open_journal, wakeups
from ih_mcp.journal.wakeups import NoWakeups

pages_after = partial(follow, stream_id="st_1", limit=2, max_chars=10**6)


async def begin(journal: Journal, *bodies: str) -> StreamLog:
    log = await journal.begin("st_1", {"state": "open"})
    for body in bodies:
        log.append(body, leg=0)
    await log.flush()
    return log


async def end(journal: Journal, log: StreamLog) -> None:
    await log.write_record({"state": "ended"}, ended=True)
    journal.release(log)


async def pages_of(journal: Journal, after: int | None = None, *, waits: bool = True) -> list[Page]:
    with anyio.fail_after(5):
        async with aclosing(pages_after(journal, after=after, waits=waits)) as pages:
            return [page async for page in pages]


def bodies_of(pages: list[Page]) -> list[list[str | bytes]]:
    return [[entry.body for entry in page.entries] for page in pages]


async def test_an_ended_stream_is_read_page_by_page_and_only_the_last_is_final(
    place: Path | str,
) -> None:
    async with open_journal(place) as journal:
        await end(journal, await begin(journal, "a", "b", "c"))
        pages = await pages_of(journal)
    assert bodies_of(pages) == [["a", "b"], ["c"]]
    assert [(page.cursor, page.is_newest, page.is_final) for page in pages] == [
        (2, False, False),
        (3, True, True),
    ]


async def test_an_ended_stream_without_entries_has_one_final_page(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await end(journal, await begin(journal))
        pages = await pages_of(journal)
    assert [(page.entries, page.is_final) for page in pages] == [((), True)]


async def test_a_reader_that_does_not_wait_stops_at_the_newest_entry(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await begin(journal, "a", "b", "c")
        pages = await pages_of(journal, 1, waits=False)
    assert bodies_of(pages) == [["b", "c"]]
    assert not pages[-1].is_final


@pytest.mark.parametrize("is_own", [True, False], ids=["of this process", "of another"])
async def test_entries_that_come_later_are_waited_for_until_the_stream_is_over(
    place: Path | str, is_own: bool
) -> None:
    async with open_journal(place) as writer, open_journal(place) as other:
        log = await begin(writer, "a")
        reader = writer if is_own else other
        came: list[str | bytes] = []
        steps: list[Callable[[], Awaitable[None]]] = [
            lambda: keep(log, "b", "c", "d"),
            lambda: end(writer, log),
        ]
        with anyio.fail_after(5):
            async with aclosing(pages_after(reader)) as pages:
                async for page in pages:
                    came += [entry.body for entry in page.entries]
                    if page.is_newest and steps:
                        await steps.pop(0)()
    assert came == ["a", "b", "c", "d"]
    assert page.is_final


async def keep(log: StreamLog, *bodies: str) -> None:
    for body in bodies:
        log.append(body, leg=0)
    await log.flush()


async def test_a_cursor_beyond_the_end_follows_from_the_end(place: Path | str) -> None:
    async with open_journal(place) as journal:
        await end(journal, await begin(journal, "a"))
        pages = await pages_of(journal, 99)
    assert [(page.entries, page.cursor, page.is_final) for page in pages] == [((), 1, True)]


async def test_what_cannot_be_read_is_raised(place: Path | str) -> None:
    async with open_journal(place) as journal:
        with pytest.raises(UnknownStreamError):
            await pages_of(journal)
        log = await begin(journal, "a", "b", "c")
        await to_thread.run_sync(journal._store.trim_stream, log.no, 3)
        journal.release(log)
        assert bodies_of(await pages_of(journal, waits=False)) == [["c"]]
        with pytest.raises(ExpiredCursorError):
            await pages_of(journal, 0)


async def test_a_reader_that_waits_hears_that_the_journal_failed(place: Path | str) -> None:
    async with open_journal(place) as journal:
        log = await begin(journal, "a")
        with pytest.raises(JournalError, match="full"):  # noqa: PT012 - the loop is the reader
            async with aclosing(pages_after(journal)) as pages:
                async for _ in pages:
                    log.fail(JournalError("the disk is full"))


async def test_a_reader_of_a_file_that_others_write_looks_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "_LOOK_SECONDS", 10**6)
    looks = list[None]()

    async def look() -> None:
        with NoWakeups().watch("st_1") as watch:
            await watch.wait()
        looks.append(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        assert not looks
        tasks.cancel_scope.cancel()
