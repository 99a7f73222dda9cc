"""Locks of other processes that cannot be looked at as they should."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from ih_mcp.journal import open_journal, owners
from ih_mcp.journal.owners import Owner
from tests.sqlite_journal import db_of


def test_a_lock_that_is_damaged_is_held_by_nobody(tmp_path: Path) -> None:
    ours = Owner(tmp_path)
    (tmp_path / "gone.lock").write_bytes(b"no database" * 100)
    assert ours.find_dead({"gone"}) == {"gone"}
    assert not (tmp_path / "gone.lock").exists()
    ours.close()


def test_a_lock_that_cannot_be_opened_may_be_held(tmp_path: Path) -> None:
    """As one of another user."""
    ours = Owner(tmp_path)
    (tmp_path / "other.lock").mkdir()
    assert ours.find_dead({"other"}) == set()
    ours.close()


def test_a_lock_that_cannot_be_removed_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, while another process looks at it."""
    ours, other = Owner(tmp_path), Owner(tmp_path)
    other._lock.close()

    def refuse(_: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert ours.find_dead({other.name}) == {other.name}
    ours.close()


async def test_damaged_locks_do_not_stop_the_tidying(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.begin("st_1", {})
        db_of(journal).execute("UPDATE streams SET owner='gone'")
        (tmp_path / "owners" / "gone.lock").write_bytes(b"x" * 5000)
        await journal.clean_up()
        assert (await journal.find_stream("st_1")).ended_at is not None


def test_two_that_look_at_once_both_see_that_an_owner_is_dead(tmp_path: Path) -> None:
    dead, one, other = Owner(tmp_path), Owner(tmp_path), Owner(tmp_path)
    dead._lock.close()
    with closing(owners._open_lock(one._path(dead.name))) as lock:
        lock.execute("BEGIN")
        owners._share_lock(lock)  # and it is still looking
        assert other.find_dead([dead.name]) == {dead.name}
    assert other.find_dead([one.name]) == set()
    one.close()
    other.close()


def test_a_lock_is_held_and_let_go_by_whichever_thread_has_the_work(tmp_path: Path) -> None:
    ours = Owner(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(Owner, tmp_path).result()
        assert thread.submit(ours.find_dead, {other.name}).result() == set()
        other.close()
        assert ours.find_dead({other.name}) == {other.name}
        thread.submit(ours.close).result()
