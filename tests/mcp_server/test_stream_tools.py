"""What is said of a stream's configuration."""

from __future__ import annotations

from ih_mcp.mcp_server.stream_tools import _OVERALL_NOTE, _notes_on
from ih_mcp.wire.messages import Config


def test_overall_values_are_said_to_count_from_the_beginning() -> None:
    for include in (("signals",), ("signals", "conversation_quality_overall")):
        asked = Config(include=include, goal_dimensions=())
        assert _notes_on(asked, asked) == [_OVERALL_NOTE] * (len(include) - 1)
