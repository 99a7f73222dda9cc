"""The names by which a caller can wait for a message."""

from __future__ import annotations

import json

import pytest

from ih_mcp.wire.dialects import V0, V1, Dialect
from ih_mcp.wire.message_names import known_names, read_names


@pytest.mark.parametrize(
    ("dialect", "message", "names"),
    [
        (V1, {"type": "session.closing", "data": {"drain_seconds": 5}}, {"session.closing"}),
        (V1, {"type": "demo.new", "data": {}}, {"demo.new"}),
        (
            V1,
            {"type": "signal.detected", "data": {"signal_type": "hesitation", "start": 1.0}},
            {"signal.detected", "hesitation"},
        ),
        (
            V1,
            {"type": "engagement.updated", "data": {"state": "disengaged"}},
            {"engagement.updated", "disengaged"},
        ),
        (V1, {"type": "engagement.updated", "data": {"state": None}}, {"engagement.updated"}),
        (
            V0,
            {
                "status": "result",
                "segment": 1,
                "data": {
                    "signals": [{"type": "stress", "start": 0, "end": 1}],
                    "engagement_state": [{"state": "engaged", "start": 0, "end": 1}],
                },
            },
            {"result", "stress", "engaged"},
        ),
    ],
)
def test_a_message_has_its_type_and_what_it_reports(
    dialect: Dialect, message: dict[str, object], names: set[str]
) -> None:
    assert read_names(json.dumps(message), dialect) == names


@pytest.mark.parametrize("dialect", [V0, V1])
def test_the_names_that_are_known_are_types_signals_and_states(dialect: Dialect) -> None:
    known = known_names(dialect)
    assert {"error", "hesitation", "disengaged"} <= {*known}
    assert len({*known}) == len(known)
