"""What a failure of the database means for the calls that wait for it, without a server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ih_mcp.errors import JournalError

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres.connections import Connections, NotReachedError, is_away  # noqa: E402
from ih_mcp.journal.postgres.engine import PostgresEngine  # noqa: E402


@pytest.mark.parametrize(
    ("error", "may_succeed_later"),
    [
        ("ReadOnlySqlTransaction", True),  # it has become a copy
        ("AdminShutdown", True),
        ("SerializationFailure", True),
        ("DiskFull", True),
        ("LockNotAvailable", True),  # held by a commit that waits for the copy
        ("ConnectionFailure", True),
        ("ActiveSqlTransaction", False),  # of the same class as the first
        ("UniqueViolation", False),
        ("UndefinedColumn", False),
        ("Error", False),
    ],
)
def test_a_server_that_cannot_do_it_now_is_away(error: str, may_succeed_later: bool) -> None:
    kind = getattr(psycopg.errors, error)
    opened = cast("Any", SimpleNamespace(closed=False))
    assert is_away(kind(), opened) is may_succeed_later
    assert is_away(kind(), cast("Any", SimpleNamespace(closed=True)))
    assert is_away(kind(), None)


@pytest.mark.parametrize(
    ("said", "told"),
    [("no route\nand more", "no route"), ("", "no reason")],
    ids=["in lines", "without a text"],
)
def test_a_database_that_stays_away_is_told_and_may_be_asked_again(said: str, told: str) -> None:
    def call() -> None:
        raise NotReachedError(said)

    with pytest.raises(JournalError) as caught:
        Connections("host=there.is.none").keep_trying(call, 0.0)
    assert caught.value.what == f"the database of the journal does not answer: {told}"
    assert caught.value.help.startswith("Check whether it runs and can be reached")
    assert caught.value.retry


def test_the_end_of_a_process_closes_the_connections_that_are_free() -> None:
    connections, closed = Connections("host=there.is.none"), list[int]()
    for number in range(3):
        free = SimpleNamespace(close=lambda number=number: closed.append(number))
        connections._free.append(cast("Any", free))
    connections.close()
    assert (sorted(closed), connections._free) == ([0, 1, 2], [])
    assert connections._stopping.is_set()


def test_a_journal_reads_and_writes_each_by_a_store_of_its_own() -> None:
    """A server whose copy is away reads on."""
    lease = SimpleNamespace(changed=SimpleNamespace(wait=None))
    connections = Connections("host=there.is.none")
    engine = PostgresEngine(connections, cast("Any", lease), cast("Any", SimpleNamespace()))
    backend, _ = engine.make_backend("tenant")
    stores = cast("Any", (backend.writer, backend.reader))
    assert [store._writes for store in stores] == [True, False]
    assert backend.is_durable
