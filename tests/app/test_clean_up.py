from __future__ import annotations

from typing import cast

import anyio
import anyio.lowlevel
import pytest

from ih_mcp.app import clean_up
from ih_mcp.app.clean_up import tidy_forever
from ih_mcp.errors import JournalError
from ih_mcp.journal import Journal


class FullJournal:
    """Cannot be cleaned up; counts the tries."""

    def __init__(self, most: int) -> None:
        self.tries = 0
        self._most = most
        self.scope = anyio.CancelScope()

    async def clean_up(self) -> None:
        self.tries += 1
        if self.tries == self._most:
            self.scope.cancel()
        await anyio.lowlevel.checkpoint()
        raise JournalError("the journal cannot write: disk full")


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
async def test_the_journal_is_tidied_again_and_again_with_rests_between(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_up, "_TIDY_SECONDS", seconds)
    journal = FullJournal(most=3)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with journal.scope:
                tasks.start_soon(tidy_forever, cast("Journal", journal))
                if seconds:
                    await anyio.wait_all_tasks_blocked()
                else:
                    await anyio.sleep_forever()
            tasks.cancel_scope.cancel()
    assert journal.tries == (1 if seconds else 3)
