"""What of a file was not sent is a gap in every picture and export, and never 0 s not analysed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ih_mcp.cli.list import _cells
from ih_mcp.streams.status import StreamStatus
from ih_mcp.timeline.exports import EXPORTS, StreamReadings
from ih_mcp.timeline.exports.readings import make_export_rows
from ih_mcp.timeline.media_time import end_of_media, unsent_media
from ih_mcp.timeline.model import Drawing, Timeline
from ih_mcp.timeline.rows import make_rows
from ih_mcp.timeline.summary import describe_stop, lines, not_analysed_seconds, summarise, totals
from ih_mcp.timeline.terminal import TerminalTimeline
from ih_mcp.wire.dialects import V1

STOPPED: dict[str, object] = {
    "state": "ended", "reason": "stopped", "api": "v1", "source": "talk.mp4", "pace": "realtime",
    "duration_s": 24.667, "media_seconds": 4.667, "bytes_sent": 9,
    "usage": {"delivered_s": 4.667, "analysed_s": 4.667, "dropped_s": 0.0},
}  # fmt: skip
UNSENT = [(4.667, 24.667)]


def status(**values: object) -> StreamStatus:
    return StreamStatus.from_json({**STOPPED, **values})


def drawing(found: StreamStatus) -> Drawing:
    timeline = Timeline(V1)
    timeline.close(found)
    return timeline.as_json(found, stream_id="st_1")


@pytest.mark.parametrize(
    ("values", "unsent"),
    [
        ({}, UNSENT),
        ({"state": "sending", "reason": ""}, []),  # the rest may come
        ({"reason": "end_of_file"}, []),
        ({"reason": "end_of_file", "media_seconds": 24.5}, []),
        ({"pace": "", "source": "camera"}, []),  # has no end
        ({"duration_s": None}, []),
        ({"media_seconds": 0.0, "usage": None, "bytes_sent": 0}, [(0.0, 24.667)]),
        ({"media_seconds": 24.0}, [(24.0, 24.667)]),
        ({"state": "failed", "reason": "unauthorized", "media_seconds": 15.0, "usage": None,
            "bytes_sent": 0}, [(0.0, 24.667)]),  # accepted, and never given to a connection
        ({"state": "failed", "reason": "connection_lost", "media_seconds": 15.0}, UNSENT),
        ({"state": "failed", "reason": "connection_lost", "media_seconds": 24.6,
            "usage": {"delivered_s": 24.6}}, []),  # all: its tracks end before the file does
        ({"reason": "minutes_used_up"}, UNSENT),
        ({"clock_jumps": [{"at_s": 2.0, "left_out_s": 10.0}]}, [(4.667, 14.667)]),
    ],
)  # fmt: skip
def test_what_was_not_sent_reaches_from_what_was_to_the_end_of_the_file(
    values: dict[str, object], unsent: list[tuple[float, float]]
) -> None:
    found = status(**values)
    assert unsent_media(found) == unsent
    assert end_of_media(found) == (unsent[0][1] if unsent else found.media_seconds)


def test_a_stopped_stream_says_where_and_how_much_was_not_sent() -> None:
    found = drawing(status())
    assert describe_stop(found) == "stopped by you at 0:04.7 of 0:24.7; 20 s not sent"
    assert summarise(found) == "0 signals, no engagement told, 20 s not sent"
    assert (
        "stopped at 0:04.7 of 0:24.7: 0 signals, no engagement told, 20 s not sent."
        in (lines(found)[-1])
    )
    assert not_analysed_seconds(found) == pytest.approx(20.0)
    assert totals({**found, "usage": {}})["minutes_analysed"] == 0.08


def test_a_failed_stream_is_not_said_to_be_stopped_and_long_gaps_are_whole_seconds() -> None:
    found = drawing(status(state="failed", reason="connection_lost", duration_s=3604.667))
    assert lines(found)[-1].startswith("ended at 0:04.7 of 1:00:04.7: 0 signals")
    assert lines(found)[-1].endswith("3,600 s not sent.")


def test_a_stream_that_was_sent_whole_has_no_such_gap() -> None:
    found = drawing(status(reason="end_of_file", media_seconds=24.667))
    assert summarise(found) == "0 signals, no engagement told, 0 s not analysed"
    assert describe_stop(found) == "stopped by you at the end of the file"
    assert make_rows(found) == []


def test_pictures_hatch_what_was_not_sent_behind_all_lanes() -> None:
    found = drawing(status())
    assert found["seconds"] == 24.667
    (row,) = make_rows(found)
    assert [(mark.start_seconds, mark.end_seconds, mark.look) for mark in row.marks] == [
        (4.667, 24.667, "not_sent")
    ]
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(TerminalTimeline(found))
    shown = captured.get()
    assert "talk.mp4 · stopped" in shown
    assert "/ not sent" in shown
    lane = next(line for line in shown.splitlines() if line.startswith("not sent"))
    assert lane.count("/") == pytest.approx(79 * 20 / 24.667, abs=1)


def test_exports_have_the_gap_and_the_reason() -> None:
    found = status()
    timeline = Timeline(V1)
    timeline.close(found)
    reading = StreamReadings(
        stream_id="st_1", status=found, seconds=end_of_media(found),
        rows=list(make_export_rows(timeline.lifecycle, found)),
    )  # fmt: skip
    head, row = EXPORTS["csv"].write([reading]).decode().splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    names = ("stream_state", "reason", "kind", "name", "start_seconds", "end_seconds")
    assert [values[name] for name in names] == [
        "ended", "stopped", "gap", "not_sent", "4.667", "24.667",
    ]  # fmt: skip
    for kind in ("textgrid", "vtt"):
        assert b"not sent" in EXPORTS[kind].write([reading])


@pytest.mark.parametrize(
    ("state", "reason", "shown"),
    [("ended", "stopped", "stopped"), ("ended", "end_of_file", "ended"),
        ("failed", "connection_lost", "failed"), ("sending", "", "sending")],
)  # fmt: skip
def test_the_list_shows_that_a_stream_was_stopped(state: str, reason: str, shown: str) -> None:
    known = {"started_at": "2026-11-30T01:02:03", "state": state, "reason": reason,
        "endpoint": "", "source": "", "label": ""}  # fmt: skip
    assert _cells("st_1", known)[2] == shown
