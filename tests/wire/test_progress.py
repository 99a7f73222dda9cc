from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.wire.messages import Reading
from ih_mcp.wire.progress import Progress, read_progress


@pytest.mark.parametrize(
    ("fields", "reached"),
    [
        ({"signal_type": "stress", "start": 6}, Progress(6, 6)),
        ({"signal_type": "stress", "end": 14.5}, Progress(14.5, 6.5)),
        ({"ranges": [{"start": 3, "end": 5}, {"start": 20, "end": 24}]}, Progress(24, 20)),
        ({"timeline": [{"start": 0, "end": 11}], "overall": {"end": 99}}, Progress(11, 3)),
        ({"signals": [{"start": 5, "end": 9}]}, None),
        ({"start": True, "end": "9", "ranges": 3, "timeline": [4]}, None),
        ({}, None),
    ],
)
def test_how_far_a_message_speaks(fields: dict[str, object], reached: Progress | None) -> None:
    assert read_progress(Reading("x", fields)) == reached


@given(st.dictionaries(st.sampled_from(["start", "end", "ranges", "timeline"]), st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["start", "end"]), inner),
)))  # fmt: skip
def test_whatever_stands_there_is_no_error(fields: dict[str, object]) -> None:
    reached = read_progress(Reading("x", fields))
    assert reached is None or reached.window_seconds <= reached.until_seconds
