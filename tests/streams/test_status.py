from __future__ import annotations

import json

import pytest

from ih_mcp.stand_in import STAND_IN
from ih_mcp.streams.status import (
    GapStatus,
    HeldStatus,
    JumpStatus,
    LossStatus,
    StreamStatus,
    shown_state,
)

KEPT = {
    "state": "failed", "api": "v1", "endpoint": "https://api.example", "label": "call",
    "source": "talk.mp4", "notes": ["The file has no sound."],
    "started_at": "2026-11-21T10:00:00+00:00", "messages": 4, "irregular_messages": 1,
    "segments": {"completed": 2, "unknown": 1}, "bytes_sent": 9, "media_seconds": 3.5,
    "correlation_id": "c-1", "clock_jumps": [{"at_s": 1.5, "left_out_s": 60.0}],
    "held": {"from_s": 0.0, "for_s": 15.0, "until": "2026-11-21T10:00:15+00:00"},
    "gaps": [{"legs": [0, 1], "cursor": 0, "reason": "connection_lost", "segments": {},
        "close_code": 1011, "server_code": "ih7001", "media_offset_s": 0.0, "clock": "from_zero",
        "lost_media_s": [0.0, 1.0]}],
    "lost": {"media_s": [[0.0, 1.0]], "let_go_s": 1.5, "segments_unknown": 1,
        "segments_not_sent": 2},
    "what_now": "Nothing to do: reconnecting, try 1 of 6.", "reason": "connection_lost",
    "retry_after_s": 0.5, "error": {"code": "connection_lost", "what": "it was lost"},
    "retryable": False, "last_cursor": 0, "next_seq": 1, "process": {"pid": 1, "host": "h"},
}  # fmt: skip
"""A status with every key, as earlier versions kept it."""


def test_a_kept_status_is_read_whole_and_written_with_the_same_keys() -> None:
    status = StreamStatus.from_json(KEPT)
    assert status.gaps == (
        GapStatus(
            legs=(0, 1), cursor=0, reason="connection_lost", segments={}, close_code=1011,
            server_code="ih7001", media_offset_s=0.0, clock="from_zero", lost_media_s=(0.0, 1.0),
        ),
    )  # fmt: skip
    assert status.lost == LossStatus(
        media_s=((0.0, 1.0),), let_go_s=1.5, segments_unknown=1, segments_not_sent=2
    )
    assert (status.held, status.clock_jumps) == (
        HeldStatus(from_s=0.0, for_s=15.0, until="2026-11-21T10:00:15+00:00"),
        (JumpStatus(at_s=1.5, left_out_s=60.0),),
    )
    assert status.to_json() == KEPT
    assert json.loads(json.dumps(status.to_json())) == KEPT


def test_what_says_nothing_is_left_out_but_false_and_the_first_cursor_are_kept() -> None:
    assert StreamStatus(state="open").to_json() == {"state": "open"}
    status = StreamStatus(retryable=False, last_cursor=0)
    assert status.to_json() == {"retryable": False, "last_cursor": 0}


@pytest.mark.parametrize(
    ("record", "read"),
    [
        ({}, StreamStatus()),
        ({"state": "open", "of_a_later_version": [1]}, StreamStatus(state="open")),
        ({"state": "open", "gaps": "none", "media_seconds": []}, StreamStatus(state="open")),
        ({"state": 5, "label": "x", "lost": {"media_s": [[1]]}}, StreamStatus(label="x")),
        ({"state": "failed", "error": {"what": "the disk is full"}},
            StreamStatus(state="failed", error={"what": "the disk is full"})),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_left_out_and_the_rest_is_read(
    record: dict[str, object], read: StreamStatus
) -> None:
    assert StreamStatus.from_json(record) == read


def test_the_name_of_a_file_may_hold_half_a_character() -> None:
    assert StreamStatus.from_json({"source": "\udcff.mp4"}).source == "\udcff.mp4"


def test_a_status_knows_whether_its_stream_is_over() -> None:
    states = ("connecting", "open", "draining", "ended", "failed")
    assert [StreamStatus(state=state).is_over for state in states] == [False] * 3 + [True] * 2


def test_a_status_of_a_version_that_did_not_mark_the_stand_in_has_its_mark() -> None:
    assert StreamStatus.from_json({"endpoint": "local"}).stand_in == STAND_IN
    assert StreamStatus.from_json({"endpoint": "production"}).stand_in == StreamStatus().stand_in


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"state": "ended", "reason": "stopped"}, "stopped"),
        ({"state": "ended", "reason": "end_of_file"}, "ended"),
        ({"state": "failed"}, "failed"),
        ({}, ""),
    ],
)
def test_a_stream_that_was_stopped_is_shown_as_stopped(
    record: dict[str, object], shown: str
) -> None:
    assert shown_state(record) == shown
