from __future__ import annotations

import pytest

from ih_mcp.streams.pace import Pace, PaceName


@pytest.mark.parametrize(
    ("name", "at"), [("auto", 100 + 60 - 24), ("realtime", 100 + 60), ("fast", 100)]
)
def test_a_segment_that_ends_after_a_minute_goes_then(name: str, at: float) -> None:
    assert Pace(PaceName(name), now=100).send_at(60) == at


def test_what_the_service_drops_holds_the_rest_back() -> None:
    pace = Pace(PaceName.AUTO, now=0)
    pace.dropped(5)
    assert pace.send_at(60) == 60 - 24 + 5
