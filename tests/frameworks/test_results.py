"""How `make frameworks` judges what a framework handed on."""

from __future__ import annotations

import pytest

from .__main__ import describe

KEPT = ['{"type": "session.ready"}', '{"type":"session.ended"}']


@pytest.mark.parametrize(
    ("arrived", "analysed_s", "result"),
    [
        (KEPT, 24.667, "all 2 messages, byte for byte"),
        (['{"type":"session.ready"}', KEPT[1]], 24.667, "all 2 messages; the framework reads"),
        ([], 24.667, "the status alone"),
        (KEPT[:1], 24.667, "fails: 1 of 2"),
        (KEPT, 6.0, "streams end at once"),  # in order, but long before the file does
        ([], 0.0, "streams end at once"),
    ],
)
def test_a_result_is_named_by_what_arrived(
    arrived: list[str], analysed_s: float, result: str
) -> None:
    assert describe(arrived, KEPT, analysed_s=analysed_s).startswith(result)
