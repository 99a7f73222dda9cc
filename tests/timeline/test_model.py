from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import UnknownStreamError
from ih_mcp.journal import Entry, open_journal
from ih_mcp.streams.status import GapStatus, StreamStatus
from ih_mcp.timeline.media_time import leg_offsets
from ih_mcp.timeline.model import (
    LISTS,
    Drawing,
    Timeline,
    changes,
    follow_timeline,
    read_timeline,
)
from ih_mcp.timeline.rows import make_rows
from ih_mcp.wire.dialects import V1

from .known import MESSAGES, RECORD, SPANS, STATUS, drawing, entries, message


def test_the_messages_add_up_to_what_they_say() -> None:
    found: dict[str, Any] = drawing()
    spans = [(s["signal"], s["start"], s["end"], s["probability"]) for s in found["spans"]]
    assert spans == SPANS
    assert found["spans"][1]["rationale"] == "nods twice"
    assert [(e["state"], e["start"], e["end"]) for e in found["engagement"]] == [
        ("engaged", 3.0, 21.0),
        ("neutral", 21.0, 40.0),
    ]
    assert [(q["start"], q["end"], q["values"]["quality_index"]) for q in found["quality"]] == [
        (0, 11, 60.4),
        (11, 20, 66),
    ]
    assert found["overall"] == {"quality_index": 63}
    assert (found["dropped"], found["degraded"]) == ([[12.0, 15.0]], [[15.0, 16.5]])
    assert (found["messages"], found["ended"], found["seconds"]) == (len(MESSAGES), True, 40.0)


@pytest.mark.parametrize(
    ("source", "pace", "is_camera"),
    [("camera", "", True), ("camera", "realtime", False), ("talk.mp4", "realtime", False),
     ("", "", False)],
)  # fmt: skip
def test_the_source_of_a_camera_is_no_file(source: str, pace: str, is_camera: bool) -> None:
    status = replace(STATUS, source=source, pace=pace)
    assert Timeline(V1).as_json(status, stream_id="st_1")["is_camera"] is is_camera


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 400])
def test_a_number_that_is_none_is_told_as_null_and_drawn_as_nothing(number: str) -> None:
    timeline = Timeline(V1)
    period = {"start": 0, "end": 5, "values": {"quality_index": 0.5, "clarity": [0.5]}}
    quality = message("conversation_quality.updated", overall={"a": 0.5}, timeline=[period])
    signal = message("signal.detected", signal_type="stress", start=1.0, probability=0.5)
    for entry in entries([text.replace("0.5", number) for text in (quality, signal)]):
        timeline.fold(entry)
    found: dict[str, Any] = timeline.as_json(STATUS, stream_id="st_1")
    json.dumps(found, allow_nan=False)
    assert found["quality"][0]["values"] == {"quality_index": None, "clarity": [None]}
    assert (found["overall"], found["spans"][0]["probability"]) == ({"a": None}, None)
    marks = {row.name: row.marks for row in make_rows(found)}
    assert [mark.values for mark in marks["conversation quality"]] == [{}]
    assert [mark.look for mark in marks["stress"]] == ["unknown"]


def test_a_signal_that_goes_on_has_no_end_yet() -> None:
    timeline = Timeline(V1)
    for entry in entries():
        timeline.fold(entry)
    found: dict[str, Any] = timeline.as_json(StreamStatus(state="open"), stream_id="st_1")
    assert [span["end"] for span in found["spans"]] == [9.0, None, None]
    assert found["ended"] is False


def test_a_new_leg_ends_what_was_open_and_counts_from_its_own_beginning() -> None:
    gap = GapStatus(legs=(0, 1), media_offset_s=30.0, clock="from_zero")
    status = StreamStatus(gaps=(gap,))
    assert leg_offsets(status) == {1: 30.0}
    as_recorded = replace(status, gaps=(replace(gap, clock="as_recorded"),))
    assert leg_offsets(as_recorded) == {}
    timeline = Timeline(V1)
    detected = message("signal.detected", signal_type="stress", start=4.0, probability="low")
    timeline.fold(Entry(1, 0, 0, detected))
    timeline.fold(Entry(2, 1, 0, detected), offset_seconds=30.0)
    found: dict[str, Any] = timeline.as_json(StreamStatus(), stream_id="st_1")
    assert [(span["start"], span["end"]) for span in found["spans"]] == [(4.0, 30.0), (34.0, None)]


def applied(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """As timeline.js applies it."""
    after = {**before, **change.get("set", {})}
    for name, told in change.get("lists", {}).items():
        items = [*before.get(name, [])][: told["length"]]
        items += [None] * (told["length"] - len(items))
        for index, item in told["items"]:
            items[index] = item
        after[name] = items
    return after


def _drawing(state: str, lists: dict[str, list[int]]) -> Drawing:
    return {"state": state, **lists}


_LISTS = st.lists(st.integers(0, 3), max_size=5)
_DRAWINGS = st.builds(
    _drawing,
    st.sampled_from(["open", "ended"]),
    st.fixed_dictionaries(dict.fromkeys(LISTS, _LISTS)),
)


@given(_DRAWINGS, _DRAWINGS)
def test_changes_lead_from_one_picture_to_the_next(before: Drawing, after: Drawing) -> None:
    assert applied({}, changes({}, before)) == before
    assert applied(before, changes(before, after)) == after
    assert changes(after, after) == {}


async def test_a_kept_stream_is_read_by_another_process_too(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        log = await journal.begin("st_1", {"state": "open", "api": "v1"})
        for text in MESSAGES:
            log.append(text, leg=0)
        await log.flush()
        async with open_journal(tmp_path) as other:
            found: dict[str, Any] = await read_timeline(other, "st_1")
            assert len(found["spans"]) == 3
            assert found["ended"] is False
            await log.write_record(RECORD, ended=True)
            over: dict[str, Any] = await read_timeline(other, "st_1")
            assert [span["end"] for span in over["spans"]] == [9.0, 40.0, 40.0]
            with pytest.raises(UnknownStreamError):
                await read_timeline(other, "st_2")


async def test_a_live_stream_is_drawn_anew_after_each_commit(tmp_path: Path) -> None:
    seen: list[Drawing] = []
    async with open_journal(tmp_path) as journal, anyio.create_task_group() as tasks:
        log = await journal.begin("st_1", {"state": "open", "api": "v1"})

        async def watch() -> None:
            seen.extend([json.loads(json.dumps(d)) async for d in follow_timeline(journal, "st_1")])

        tasks.start_soon(watch)
        for text in MESSAGES:
            log.append(text, leg=0)
            await log.flush()
            await anyio.lowlevel.checkpoint()
        await log.write_record(RECORD, ended=True)
        journal.release(log)
    counts = [int(str(found["messages"])) for found in seen]
    assert counts == sorted(counts)
    assert seen[-1]["ended"] is True
    assert seen[-1]["messages"] == len(MESSAGES)
    assert not any(found["ended"] for found in seen[:-1])
