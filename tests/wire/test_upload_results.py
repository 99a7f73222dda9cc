from __future__ import annotations

import json

import pytest

from ih_mcp.wire.codec import MAX_READ_CHARS
from ih_mcp.wire.messages import Reading
from ih_mcp.wire.spans import Lifecycle
from ih_mcp.wire.upload_results import read_upload_result

SIGNAL = {"type": "hesitation", "start": 5.0, "end": 10.0, "probability": "high"}
WINDOWS = [
    {"start_seconds": 0.0, "end_seconds": 5.0, "engagement_status": "neutral", "signals": []},
    {
        "start_seconds": 5.0,
        "end_seconds": 10.0,
        "engagement_status": "engaged",
        "signals": [SIGNAL],
    },
]
V1 = {"signals": [SIGNAL], "engagement_state": [{"state": "engaged", "start": 0, "end": 10}]}


def fold(answer: object) -> Lifecycle:
    reading = read_upload_result(json.dumps(answer))
    assert reading is not None
    lives = Lifecycle()
    lives.receive(reading)
    lives.close()
    return lives


@pytest.mark.parametrize(
    "answer",
    [
        V1,
        {"job_id": "j", "status": "completed", "result": {"windows": WINDOWS}},
        {"result": {"windows": WINDOWS, "signals": [SIGNAL]}},  # merged by the service
    ],
)
def test_each_version_gives_the_signals_and_the_engagement(answer: object) -> None:
    lives = fold(answer)
    (span,) = lives.spans
    assert (span.signal_type, span.start_seconds, span.end_seconds) == ("hesitation", 5, 10)
    assert lives.engagement[-1].state == "engaged"
    assert lives.latest_seconds == 10


def test_a_failed_job_and_an_odd_answer_draw_nothing() -> None:
    nothing = Reading("result", {"signals": [], "engagement_state": []})
    for answer in ("[]", "17", '{"status":"failed","error":{}}', '{"result":{"windows":[1,null]}}'):
        assert read_upload_result(answer) == nothing
    for unread in ("no json", "[" * 100_000, '{"x":"' + "y" * MAX_READ_CHARS + '"}'):
        assert read_upload_result(unread) is None
