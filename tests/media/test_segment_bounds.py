"""How long segments are, so that the last one can be within the limits too."""

from __future__ import annotations

import pytest

from ih_mcp.media.segment_bounds import _count, _period, bounds, even_length
from ih_mcp.wire.dialects import V0, Framing


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


@pytest.mark.parametrize(
    ("seconds", "shortest", "longest", "count"),
    [
        (10.0, 4.0, 12.0, 1),
        (20.0, 4.0, 12.0, 2),
        (24.0, 4.0, 12.0, 3),  # with room to both
        (12.0, 4.0, 4.0, 3),
        (12.0, 0.0, 5.0, 5),  # as many as keep the middle of the limits
        (7.0, 4.0, 5.0, 0),  # one is too long, two are too short
        (9.0, 5.0, 9.0, 1),
    ],
)
def test_so_many_segments_cover_it_within_both_limits(
    seconds: float, shortest: float, longest: float, count: int
) -> None:
    assert _count(seconds, shortest, longest) == count


@pytest.mark.parametrize("framing", list(Framing))
@pytest.mark.parametrize("needs_picture", [False, True])
def test_only_what_stands_alone_needs_a_picture(framing: Framing, needs_picture: bool) -> None:
    is_whole = framing is Framing.WHOLE
    found = bounds(V0.limits, framing, target_seconds=5.0, needs_picture=needs_picture)
    assert (found.needs_key, found.needs_picture) == (is_whole, is_whole and needs_picture)


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0, 2.0])
def test_the_limits_are_met_where_the_stream_can_be_cut(step: float) -> None:
    """Three times six seconds, which are the least and the most."""
    assert even_length(6.0, 18.0, 6.0, 6.0, step) == pytest.approx(6.0)
