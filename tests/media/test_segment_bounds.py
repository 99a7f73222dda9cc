"""How long segments are, so that the last one can be within the limits too."""

from __future__ import annotations

import pytest

from ih_mcp.media.segment_bounds import _period


@pytest.mark.parametrize(
    ("seconds", "shortest", "longest", "period"),
    [
        (10.0, 3.0, 6.0, 5.0),  # nothing is left
        (13.0, 3.0, 6.0, 5.0),  # the rest stands alone
        (11.0, 3.0, 6.0, 5.0),  # the rest joins
        (11.0, 3.0, 5.5, 11 / 3),  # else one more, each shorter
        (11.0, 4.0, 5.5, 5.5),  # or as many, each longer
        (11.0, 4.0, 5.4, 5.0),  # or it cannot be helped
        (4.0, 4.5, 5.4, 5.0),
    ],
)
def test_a_period_leaves_no_rest_that_is_too_short(
    seconds: float, shortest: float, longest: float, period: float
) -> None:
    assert _period(5.0, seconds, shortest, longest) == pytest.approx(period)
