from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.spans import MediaRange

spans = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
        lambda pair: MediaRange(min(pair), max(pair))
    ),
    max_size=12,
)


def seconds_in(ranges: Ranges) -> set[int]:
    return {
        second
        for item in ranges
        for second in range(int(item.start_seconds), int(item.end_seconds))
    }


@given(spans)
def test_ranges_hold_what_was_added_in_ascending_stretches_that_do_not_touch(
    added: list[MediaRange],
) -> None:
    ranges = Ranges(added)
    expected = {s for item in added for s in range(int(item.start_seconds), int(item.end_seconds))}
    assert seconds_in(ranges) == expected
    held = list(ranges)
    assert all(a.end_seconds < b.start_seconds for a, b in itertools.pairwise(held))
    assert ranges.seconds == len(expected)


@given(spans, st.integers(0, 40), st.integers(0, 40))
def test_what_is_missing_is_what_is_not_within(added: list[MediaRange], a: int, b: int) -> None:
    start, end = sorted((a, b))
    ranges = Ranges(added)
    inside, missing = ranges.within(start, end), ranges.missing(start, end)
    assert seconds_in(inside) | seconds_in(missing) == set(range(start, end))
    assert not seconds_in(inside) & seconds_in(missing)


def test_stretches_that_are_nearly_joined_count_as_one() -> None:
    ranges = Ranges([MediaRange(0, 1), MediaRange(3, 4)], join_seconds=1.0)
    assert list(ranges) == [MediaRange(0, 1), MediaRange(3, 4)]
    ranges.add(1.9, 2.1)
    assert list(ranges) == [MediaRange(0, 4)]


def test_a_stretch_without_length_is_none() -> None:
    ranges = Ranges()
    ranges.add(1.0, 1.0)
    ranges.add(2.0, 1.0)
    assert list(ranges) == []


def test_ranges_of_the_same_stretches_are_equal_and_show_them() -> None:
    stretch = MediaRange(0.0, 2.0)
    once, joined = Ranges([stretch]), Ranges([MediaRange(0.0, 1.0), MediaRange(1.0, 2.0)])
    assert once == joined
    assert once != Ranges()
    assert once != [stretch]
    assert repr(once) == f"Ranges([{stretch!r}])"
