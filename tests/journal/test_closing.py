"""A journal that closes while its disk fails."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from ih_mcp.errors import JournalError
from ih_mcp.journal import Journal, Retention, open_journal
from ih_mcp.journal.backend import JournalBackend
from ih_mcp.journal.store import Batch


class _Disk:
    """Does not take the first message, however often it is asked, and takes its time to say so."""

    def __init__(self, journal: Journal) -> None:
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self._append = journal._store.append
        journal._store.append = self.append  # type: ignore[method-assign]  # the disk decides

    def append(self, batches: Iterable[Batch]) -> None:
        batches = list(batches)
        self.is_asked.set()
        self.may_answer.wait(5)
        if any(body == "a" for batch in batches for *_, body in batch.rows):
            raise JournalError("the journal cannot write: disk is full")
        self._append(batches)


async def test_nothing_is_kept_behind_what_the_disk_did_not_take(place: Path | str) -> None:
    async def close() -> None:
        async with open_journal(place) as journal:
            log = await journal.begin("st_1", {})
            disk = _Disk(journal)
            log.append("a", leg=0)
            await anyio.to_thread.run_sync(disk.is_asked.wait, 5)
            log.append("b", leg=0)
            tasks.start_soon(answer, journal, disk)

    async def answer(journal: Journal, disk: _Disk) -> None:
        """Once the last commit waits too: for the disk, or for the commit before."""
        while not (
            journal._writing.statistics().tasks_waiting
            or journal._committing.statistics().tasks_waiting
        ):
            await anyio.lowlevel.checkpoint()
        disk.may_answer.set()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await close()
    async with open_journal(place) as journal:
        row = await journal.find_stream("st_1")
        assert (row.last, row.size) == (0, 0)
        page = await journal.read_page("st_1", 0, limit=10, max_chars=100)
        assert page.entries == ()


@pytest.mark.parametrize("work", ["read", "write", "sync"])
async def test_a_connection_is_closed_after_the_call_that_uses_it(work: str) -> None:
    """SQLite crashes otherwise."""
    done, begun, may_end = list[str](), threading.Event(), threading.Event()

    def use() -> None:
        begun.set()
        may_end.wait(5)
        done.append("used")

    def store(name: str) -> SimpleNamespace:
        return SimpleNamespace(
            attempt=lambda call, _: call(), sync=use, close=lambda: done.append(f"{name} closed")
        )

    backend = JournalBackend(
        writer=cast("Any", store("writer")),
        reader=cast("Any", store("reader")),
        owner=cast("Any", None),
        wakeups=cast("Any", None),
    )
    journal = Journal(backend, Retention())
    calls: dict[str, Any] = {
        "read": partial(journal._run_read, use),
        "write": partial(journal._run_write, use),
        "sync": journal.sync,
    }
    used = "reader closed" if work == "read" else "writer closed"
    limits = (journal._reading, journal._writing, journal._syncing)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls[work])
            await anyio.to_thread.run_sync(begun.wait, 5)
            tasks.start_soon(journal.close_stores)
            while used not in done and not any(each.statistics().tasks_waiting for each in limits):
                await anyio.lowlevel.checkpoint()
            may_end.set()
    assert done.index("used") < done.index(used)
    assert sorted(done) == ["reader closed", "used", "writer closed"]
