"""Places in a file whose clock jumps, as times of its media."""

from __future__ import annotations

import pytest

from ih_mcp.journal import Entry
from ih_mcp.streams.status import StreamStatus
from ih_mcp.timeline.exports.readings import make_export_rows
from ih_mcp.timeline.media_time import media_seconds
from ih_mcp.timeline.model import Timeline
from ih_mcp.wire.dialects import V1

from .known import signal

JUMPS = [{"at_s": 2, "left_out_s": 20}, {"at_s": 3, "left_out_s": 3600}]
STATUS = StreamStatus.from_json(
    {
        "state": "ended", "api": "v1", "media_seconds": 12, "clock_jumps": JUMPS,
        "gaps": [{"legs": [0, 1], "media_offset_s": 3626, "clock": "from_zero"}],
        "lost": {"media_s": [[22.5, 3626]], "segments_unknown": 1},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("place", "media"),
    [(0, 0), (2, 2), (12, 2), (22, 2), (22.5, 2.5), (23, 3), (100, 3), (3623, 3), (3626, 6)],
)
def test_a_place_in_the_file_is_a_time_of_media(place: float, media: float) -> None:
    assert media_seconds(STATUS, place) == media


def test_a_leg_after_a_jump_goes_on_where_the_media_before_it_ended() -> None:
    timeline = Timeline(V1)
    first, second = signal("detected", "one", 1, "high"), signal("detected", "two", 1, "high")
    timeline.fold_all([Entry(1, 0, 0, first), Entry(2, 1, 0, second)], STATUS)
    timeline.close(STATUS)
    drawing = timeline.as_json(STATUS, stream_id="st_1")
    assert [(p["start"], p["end"]) for p in drawing["phases"]] == [(1, 6), (7, 12)]  # type: ignore[attr-defined]
    assert drawing["lost"] == {"media_s": [(2.5, 6)], "segments_unknown": 1}
    assert drawing["seconds"] == 12
    gaps = [row for row in make_export_rows(timeline.lifecycle, STATUS) if row.kind == "gap"]
    assert [(row.start_seconds, row.end_seconds) for row in gaps] == [(2.5, 6)]
