"""Which ended streams are removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ih_mcp.journal.retention import Retention, find_expired
from ih_mcp.journal.store import StreamRow

NOW = 1_000_000.0
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
