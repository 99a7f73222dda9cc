"""Numbers in a message that can be no media time."""

from __future__ import annotations

import pytest

from ih_mcp.wire.codec import decode_server
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.spans import Lifecycle, MediaRange

MESSAGES = """
{"type": "signal.detected", "data": {"signal_type": "stress", "start": 3}}
{"type": "signal.updated", "data": {"signal_type": "stress", "start": NUMBER}}
{"type": "engagement.updated", "data": {"state": "neutral", "start": NUMBER}}
{"type": "coverage.dropped", "data": {"ranges": [{"start": 1, "end": NUMBER}]}}
{"type": "signal.ended", "data": {"signal_type": "stress", "end": NUMBER}}
"""


@pytest.mark.parametrize("number", [f"1{'0' * 400}", "1e999", "-1e999", "NaN", "1e300"])
def test_a_number_that_is_no_media_time_reads_as_not_said(number: str) -> None:
    lifecycle = Lifecycle()
    for text in MESSAGES.replace("NUMBER", number).strip().split("\n"):
        lifecycle.receive(decode_server(text, V1))
    lifecycle.close()
    told = [(span.start_seconds, span.end_seconds, span.changes) for span in lifecycle.spans]
    assert told == [(3, 3, 1)]
    assert [span.start_seconds for span in lifecycle.engagement] == [3]
    assert lifecycle.dropped == [MediaRange(1, 3)]
    assert lifecycle.latest_seconds == 3
