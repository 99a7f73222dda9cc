"""How the tables come into a database, without a server: what is asked, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from ih_mcp.journal.postgres import schema

ASKED = "SELECT to_regclass('streams') IS NOT NULL"


class Connection:
    """A database in which each question has one answer; keeps what is executed in a transaction."""

    def __init__(self, *, says: bool) -> None:
        self._says = says
        self._is_begun = False
        self.executed: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._is_begun = True
        yield
        self._is_begun = False

    def execute(self, statement: str, _: object = None) -> Connection:
        assert self._is_begun
        self.executed.append(statement)
        return self

    def fetchone(self) -> tuple[bool] | None:
        return (self._says,) if self._says or self.executed[-1] == ASKED else None


@pytest.mark.parametrize("has_tables", [False, True])
def test_one_process_at_a_time_makes_the_tables_where_there_are_none(
    has_tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_require_safe", lambda _: None)
    connection = Connection(says=has_tables)
    schema.prepare_database(cast("Any", connection))
    first, second, *others = connection.executed
    assert first == "SELECT pg_advisory_xact_lock(%s)"
    assert second == ASKED
    assert (schema.SCHEMA in others) is not has_tables
    for _, step in schema.STEPS:  # a step is needed where its question has an answer
        assert (step in others) is has_tables
    assert len([each for each in others if each.endswith(" LIMIT 0")]) == len(schema._COLUMNS)
