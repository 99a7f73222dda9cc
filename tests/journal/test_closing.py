"""A journal that closes while its disk fails."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread

from ih_mcp.errors import JournalError
from ih_mcp.journal import Journal, open_journal
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
