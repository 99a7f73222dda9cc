"""Which ended streams are removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ih_mcp.journal.retention import Retention, find_end, find_expired
from ih_mcp.journal.store import StreamRow

NOW = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
RETENTION = Retention(max_bytes=100, max_age_seconds=500.0)
ROW = StreamRow(
    no=0, id="st_1", owner="a", created_at=0.0, ended_at=None, last=0, oldest=1, size=0, record=""
)


def row(number: int, *, ended: float | None, size: int = 40) -> StreamRow:
    ended_at = None if ended is None else NOW - ended
    found = replace(ROW, no=number, ended_at=ended_at, size=size)
    assert found.disk_bytes == size  # of no message there is nothing but what is given here
    return found


@pytest.mark.parametrize(
    ("rows", "expired"),
    [
        ([row(1, ended=500), row(2, ended=501)], [2]),
        ([row(1, ended=10, size=60), row(2, ended=20, size=40)], []),
        ([row(1, ended=10, size=61), row(2, ended=20, size=40)], [2]),
        ([row(1, ended=10), row(2, ended=20), row(3, ended=30), row(4, ended=40)], [4, 3]),
        ([row(1, ended=None, size=1_000), row(2, ended=20)], [2]),  # a live one counts and stays
        ([row(1, ended=None, size=1_000)], []),
    ],
)
def test_the_oldest_go_first_until_the_rest_fits(rows: list[StreamRow], expired: list[int]) -> None:
    assert find_expired(rows, RETENTION, NOW) == expired


def row_of(number: int, *, ended: str) -> StreamRow:
    ended_at = datetime.fromisoformat(f"{ended}+00:00").timestamp()
    return replace(ROW, no=number, ended_at=ended_at, size=40)


WRONG = [
    "1970-01-01T00:00:00",
    "1970-01-01T00:03:00",
    "1999-12-31",
    "2000-01-01",
    "2024-12-31T23:59",
]


@pytest.mark.parametrize("ended", WRONG)
def test_an_end_before_this_program_existed_says_nothing_of_the_age(ended: str) -> None:
    assert find_end(row_of(1, ended=ended)) is None
    assert find_expired([row_of(1, ended=ended), row(2, ended=501)], RETENTION, NOW) == [2]


@pytest.mark.parametrize("ended", ["2025-01-01T00:00:00", "2025-01-01T00:00:01", "2026-11-21"])
def test_an_end_since_then_does(ended: str) -> None:
    assert find_expired([row_of(1, ended=ended)], RETENTION, NOW) == [1]


def test_while_the_clock_is_still_wrong_nothing_is_too_old() -> None:
    rows = [row_of(1, ended="1970-01-01"), row_of(2, ended="2026-11-21")]
    assert find_expired(rows, RETENTION, 90_000.0) == []


def test_over_the_total_those_of_an_unknown_age_go_first_as_they_began() -> None:
    """Each start of such a machine counts from 1970 again, so their ends are in no order."""
    rows = [
        row(5, ended=30),
        row_of(4, ended="1970-01-01T00:00:01"),
        row_of(2, ended="2000-01-01"),
        row_of(3, ended="1970-01-01T00:00:09"),
        row(1, ended=40),
    ]
    for most, expired in (
        (200, []),
        (199, [2]),
        (159, [2, 3]),
        (119, [2, 3, 4]),
        (79, [2, 3, 4, 1]),
    ):
        assert find_expired(rows, replace(RETENTION, max_bytes=most), NOW) == expired
