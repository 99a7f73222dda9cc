"""What people ask of an agent that has the tool list alone: the right answer, and what it costs.

Each job makes the calls that the answers name, and rests on block 0 where that is enough.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.stand_in import STAND_IN
from tests.road.host import Answer, Host, open_memory_host

from .day import Day

SCENARIO = """
{"from": 0, "to": 25, "engagement": "engaged"}
{"from": 12, "to": 18, "signal": "hesitation", "probability": "high", "rationale": "A long pause."}
{"from": 14, "to": 20, "signal": "agreement", "probability": "medium", "rationale": "A nod."}
"""
NOTHING = {"segments": 0, "bytes": 0}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "scenario.jsonl"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
async def host(
    scenario: Path, tmp_path_factory: pytest.TempPathFactory, short_clip: Path, dialogue: Path
) -> AsyncIterator[Host]:
    """One server for all jobs, as a host keeps it for a day."""
    folders = os.pathsep.join(map(str, (dialogue.parent, short_clip.parent)))
    async with open_memory_host(
        tmp_path_factory.mktemp("data"),
        endpoint="local",
        analyst="replay",
        scenario=str(scenario),
        media_dirs=folders,
        key_id="id",
        key_secret="not-a-secret",
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
async def sent(host: Host, dialogue: Path) -> Answer:
    """The end of a recording that was analysed, as its reader saw it."""
    started = await host.call("stream_file", path=str(dialogue))
    _, last = await host.read_all(started.status["stream_id"], wait_s=25)
    return last


@pytest.fixture
def day(host: Host) -> Day:
    return Day(host)


def stream_of(answer: Answer) -> dict[str, Any]:
    return {"stream_id": answer.status["stream_id"]}


def data_of(answer: Answer, kind: str) -> list[Mapping[str, Any]]:
    messages = map(json.loads, answer.messages)
    return [message["data"] for message in messages if message["type"] == kind]


# --- a recording ---------------------------------------------------------------------------------


async def test_1_what_was_seen_in_this_recording(day: Day, dialogue: Path) -> None:
    started = await day.call("stream_file", path=str(dialogue))
    last = await day.follow_to_the_end(started, wait_s=25)
    assert last.status["summary"] == {
        "signals": {"hesitation": 1, "agreement": 1},
        "engagement": ["engaged"],
        "dropped_s": 0,
        "lost_s": 0,
        "not_sent_s": 0,
        "minutes_analysed": pytest.approx(24.7 / 60, abs=0.01),
    }
    day.cost_at_most(calls=10, characters=14_000)


async def test_2_nothing_was_seen_is_a_statement(day: Day, short_clip: Path) -> None:
    started = await day.call("stream_file", path=str(short_clip))
    last = await day.follow_to_the_end(started, wait_s=25)
    assert last.status["summary"]["signals"] == {}
    assert last.status["summary"]["dropped_s"] == last.status["summary"]["lost_s"] == 0
    day.cost_at_most(calls=5, characters=6_000)


async def test_3_which_model_said_so_is_not_the_one_that_a_message_names(
    day: Day, short_clip: Path
) -> None:
    started = await day.call("analyze_file", path=str(short_clip))
    last = await day.follow_to_the_end(started, wait_s=25)
    assert json.loads(last.messages[0])["model"] == "inter-2"
    assert (last.status["stand_in"], last.status["analyst"]) == (STAND_IN, "replay")
    about_analyst, about_model = last.status["notes"]
    assert about_analyst.startswith("Its analyst is replay. It plays scenario.jsonl")
    assert about_model == (
        "A model that the result names is the one that was asked for; it did not run."
    )
    day.cost_at_most(calls=3, characters=4_000)


async def test_4_how_many_minutes_would_it_take(day: Day, dialogue: Path) -> None:
    found = await day.call("check_setup", path=str(dialogue))
    assert found.status["file"]["minutes"]["needed"] == 0.42
    assert found.status["file"]["works"] is True
    day.cost_at_most(calls=1, characters=2_500)


async def test_5_would_this_text_work(day: Day, scenario: Path) -> None:
    found = await day.call("check_setup", path=str(scenario))
    assert found.status["file"]["works"] is False
    assert found.status["file"]["code"] == "path_not_allowed"
    day.cost_at_most(calls=1, characters=2_500)


async def test_6_say_when_the_first_hesitation_comes(day: Day, dialogue: Path) -> None:
    started = await day.call("stream_file", path=str(dialogue))
    answer = started
    found: list[Mapping[str, Any]] = []
    while not found:
        answer = await day.follow(answer, until=["signal.detected"], wait_s=25)
        found = [s for s in data_of(answer, "signal.detected") if s["signal_type"] == "hesitation"]
        assert answer.status["until_met"] or found, "the end came first"
    assert found[0]["rationale"].endswith("A long pause.")
    ended = await day.call("end_stream", **stream_of(started))
    await day.follow_to_the_end(ended, wait_s=25)
    day.cost_at_most(calls=7, characters=14_000)


async def test_7_messages_three_to_five(day: Day, sent: Answer) -> None:
    answer = await day.call("poll_events", **stream_of(sent), cursor=2, limit=3)
    assert (answer.status["first"], answer.status["last"]) == (3, 5)
    assert answer.status["returned"] == len(answer.messages) == 3
    day.cost_at_most(calls=1, characters=3_000)


async def test_8_did_it_run_to_its_end(day: Day, sent: Answer) -> None:
    found = await day.call("list_streams", **stream_of(sent))
    assert (found.status["state"], found.status["reason"]) == ("ended", "end_of_file")
    assert (found.status["source"], found.status["pace"]) == ("dialogue.mp4", "auto")
    day.cost_at_most(calls=1, characters=2_500)


async def test_9_stop_the_file_that_is_being_sent(day: Day, dialogue: Path) -> None:
    started = await day.call("stream_file", path=str(dialogue), pace="realtime")
    first = await day.follow(started, wait_s=25)
    assert first.status["next"].startswith("poll_events")
    ended = await day.call("end_stream", **stream_of(started), wait_s=25)
    assert (ended.status["ended"], ended.status["reason"]) == (True, "stopped")
    day.cost_at_most(calls=3, characters=5_000)


async def test_10_draw_it_for_a_person_and_say_whose_reading_it_is(day: Day, sent: Answer) -> None:
    drawn = await day.call("render_timeline", **stream_of(sent), format="html")
    page = Path(drawn.status["path"]).read_text(encoding="utf-8")  # noqa: ASYNC240 - it is small
    assert STAND_IN in page
    assert drawn.status["stand_in"] == STAND_IN
    day.cost_at_most(calls=1, characters=1_000)


# --- live video ----------------------------------------------------------------------------------


@pytest.fixture
async def live(day: Day) -> Answer:
    return await day.call("start_stream", label="a rehearsal")


async def test_11_push_what_was_recorded_and_say_what_became_of_it(
    day: Day, live: Answer, short_clip: Path
) -> None:
    assert live.status["next"].startswith("push_segment(seq=1)")
    pushed = await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    assert pushed.status["pushed"]["segments"] == 1
    assert pushed.status["next"].startswith("push_segment(seq=2)")
    ended = await day.call("end_stream", **stream_of(live), wait_s=25)
    assert (ended.status["sent"]["segments"], ended.status["waiting"]) == (1, NOTHING)
    assert (ended.status["ended"], ended.status["reason"]) == (True, "by_request")
    assert ended.status["segments"] == {"completed": 1}
    assert ended.status["summary"]["minutes_analysed"] == pytest.approx(0.1, abs=0.02)
    day.cost_at_most(calls=3, characters=6_000)


async def test_12_another_chunk_under_a_number_that_is_taken(
    day: Day, live: Answer, short_clip: Path, dialogue: Path
) -> None:
    await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    other = await day.call("push_segment", **stream_of(live), path=str(dialogue), seq=1)
    assert (other.error["code"], other.error["kept"]) == ("seq_taken", False)
    assert other.error["next_seq"] == 2
    again = await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    assert (again.status["accepted"], again.status["duplicate"]) == (True, True)
    assert again.status["pushed"]["segments"] == 1
    day.cost_at_most(calls=4, characters=6_000)


async def test_13_a_repeat_without_a_number_is_said(
    day: Day, live: Answer, short_clip: Path
) -> None:
    await day.call("push_segment", **stream_of(live), path=str(short_clip))
    pushed = await day.call("push_segment", **stream_of(live), path=str(short_clip))
    assert pushed.status["pushed"]["segments"] == 2
    assert any("only the same seq tells a repeat" in note for note in pushed.status["notes"])
    day.cost_at_most(calls=3, characters=6_000)


async def test_14_no_media_first_then_the_right_chunk(
    day: Day, live: Answer, short_clip: Path
) -> None:
    wrong = await day.call("push_segment", **stream_of(live), data_base64="AAAA", seq=1)
    assert (wrong.error["kept"], wrong.error["next_seq"]) == (False, 1)
    right = await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    assert right.status["accepted"] is True
    day.cost_at_most(calls=3, characters=5_000)


async def test_15_the_recorder_s_last_chunk_is_empty(
    day: Day, live: Answer, short_clip: Path
) -> None:
    await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    empty = await day.call("push_segment", **stream_of(live), data_base64="", seq=2)
    assert empty.error["code"] == "empty_file"
    assert "call end_stream" in empty.text
    ended = await day.call("end_stream", **stream_of(live), wait_s=25)
    assert ended.status["ended"] is True
    assert "lost" not in ended.status
    day.cost_at_most(calls=4, characters=7_000)


async def test_16_ask_for_quality_from_now_on(day: Day, live: Answer, short_clip: Path) -> None:
    await day.call("push_segment", **stream_of(live), path=str(short_clip), seq=1)
    wanted = ["conversation_quality_overall"]
    changed = await day.call("configure_stream", **stream_of(live), include=wanted)
    assert changed.status["confirmed"] is True
    assert changed.status["options"]["include"] == wanted
    assert changed.status["from_s"] == pytest.approx(6, abs=0.2)
    assert "from the beginning of the session" in changed.status["notes"][-1]
    day.cost_at_most(calls=3, characters=5_000)


async def test_17_a_link_for_a_person_and_not_for_a_stream_that_is_over(
    day: Day, sent: Answer
) -> None:
    refused = await day.call("start_capture", **stream_of(sent))
    assert refused.error["code"] == "stream_ended"
    assert "start_capture without a stream_id" in refused.text
    link = await day.call("start_capture")
    assert link.status["link"].startswith("http://127.0.0.1:")
    assert (link.status["link_uses"], link.status["link_valid_s"]) == (1, 600)
    day.cost_at_most(calls=2, characters=2_500)


# --- around --------------------------------------------------------------------------------------


async def test_18_a_token_for_ten_minutes_of_a_page(day: Day) -> None:
    first = await day.call("create_token", max_video_seconds=600)
    assert "ask for a longer expires_in" in first.status["notes"][0]
    better = await day.call(
        "create_token",
        expires_in=900,
        max_video_seconds=600,
        allowed_origins=["https://app.example.com"],
    )
    assert json.loads(better.messages[0])["expires_in"] == 900
    assert better.status["notes"] == ["max_video_seconds bounds all sessions and uploads together."]
    assert better.status["stand_in"] == STAND_IN
    day.cost_at_most(calls=2, characters=2_500)


async def test_19_caps_are_of_client_tokens_only(day: Day) -> None:
    refused = await day.call("create_token", kind="access", expires_in=600)
    assert "expires_in: the service bounds tokens of the kind client only" in refused.text
    granted = await day.call("create_token", kind="access")
    assert json.loads(granted.messages[0])["token_type"] == "Bearer"
    day.cost_at_most(calls=2, characters=2_000)


async def test_20_find_a_stream_whose_id_was_lost(day: Day, live: Answer, sent: Answer) -> None:
    listed = (await day.call("list_streams")).status
    rows = listed["streams"]
    found = {row["stream_id"]: row for row in rows}
    mine = found[live.status["stream_id"]]
    assert (mine["label"], mine["next_seq"]) == ("a rehearsal", 1)
    assert found[sent.status["stream_id"]]["source"] == "dialogue.mp4"
    assert all(row["stand_in"] is True for row in rows)
    assert listed["stand_in"].startswith(STAND_IN)
    day.cost_at_most(calls=2, characters=40_000)


async def test_20_how_many_minutes_were_used_today(day: Day, sent: Answer) -> None:
    listed = await day.call("list_streams")
    counted = sum(row["usage"]["delivered_s"] for row in listed.status["streams"] if "usage" in row)
    assert sent.status["summary"]["minutes_analysed"] <= listed.status["minutes"]["used_today"]
    assert listed.status["minutes"]["used_today"] >= counted / 60 - 0.01
    day.cost_at_most(calls=1, characters=40_000)


async def test_21_a_stream_is_no_analysis_and_its_reader_is_named(day: Day, sent: Answer) -> None:
    refused = await day.call("get_analysis", analysis_id=sent.status["stream_id"])
    assert refused.text.startswith(
        f"{sent.status['stream_id']} is the id of a stream, not of an analysis.\n"
        "Read its messages with poll_events.\n"
    )
    day.cost_at_most(calls=1, characters=500)


async def test_21_read_an_upload_again_whose_id_was_lost(day: Day, short_clip: Path) -> None:
    started = await day.call("analyze_file", path=str(short_clip))
    first = await day.follow_to_the_end(started, wait_s=25)
    row = (await day.call("list_streams")).status["analyses"][0]
    assert row["analysis_id"] == started.status["analysis_id"]
    assert row["started_at"]
    again = await day.call("get_analysis", analysis_id=row["analysis_id"])
    assert again.messages == first.messages
    day.cost_at_most(calls=5, characters=45_000)


async def test_22_a_name_that_is_no_path_here(day: Day) -> None:
    for given, words in (
        ("https://example.com/talk.mp4", "it is a URL"),
        ('"dialogue.mp4"', "it begins with a quotation mark"),
        ("dialog.mp4", "Did you mean dialogue.mp4"),
    ):
        refused = await day.call("stream_file", path=given)
        assert refused.error["code"] == "file_not_found"
        assert words in refused.text
    day.cost_at_most(calls=3, characters=1_500)


# --- what readers of the tool list alone stumbled over -------------------------------------------


async def test_23_chunks_that_lie_outside_the_allowed_folders(
    day: Day, live: Answer, short_clip: Path, tmp_path: Path
) -> None:
    chunk, recorded = tmp_path / "chunk-000.mp4", await anyio.Path(short_clip).read_bytes()
    chunk.write_bytes(recorded)
    refused = await day.call("push_segment", **stream_of(live), path=str(chunk), seq=1)
    assert refused.error["code"] == "path_not_allowed"
    assert "push_segment takes its bytes as data_base64" in refused.text.splitlines()[1]
    data = base64.b64encode(recorded).decode()
    pushed = await day.call("push_segment", **stream_of(live), data_base64=data, seq=1)
    assert pushed.status["pushed"] == {"segments": 1, "bytes": len(recorded)}
    day.cost_at_most(calls=3, characters=2_400 + 2 * len(str(chunk)) + len(data))


async def test_24_say_whether_the_engagement_changes(day: Day, dialogue: Path) -> None:
    answer = await day.call("stream_file", path=str(dialogue))
    changed = []
    while not answer.status["next"].startswith("done"):
        answer = await day.follow(answer, until=["engagement.updated"], wait_s=25)
        notes = " ".join(answer.status.get("notes", ()))
        met = answer.status.get("until_met_by", ())
        changed += [cursor for cursor in met if f"message {cursor} is the first" not in notes]
    assert changed == []
    assert answer.status["summary"]["engagement"] == ["engaged"]
    day.cost_at_most(calls=10, characters=16_000)


async def test_25_a_recording_of_a_moment_has_no_analysis(
    day: Day, live: Answer, short_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    chunk = tmp_path / "moment.mp4"
    cut = [str(ffmpeg.path), "-v", "error", "-i", str(short_clip), "-c", "copy", "-t", "2"]
    await anyio.run_process([*cut, "-movflags", "frag_keyframe+empty_moov", str(chunk)])
    data = base64.b64encode(chunk.read_bytes()).decode()
    await day.call("push_segment", **stream_of(live), data_base64=data, seq=1)
    ended = await day.call("end_stream", **stream_of(live), wait_s=25)
    (note,) = [each for each in ended.status["notes"] if "Nothing was analysed" in each]
    assert "less than 3 seconds of media" in note
    day.cost_at_most(calls=3, characters=5_000 + len(data))


async def test_26_delete_it_and_how_many_minutes_did_it_have(day: Day, sent: Answer) -> None:
    found = await day.call("list_streams", **stream_of(sent))
    assert found.status["to_delete"].endswith(f" forget {sent.status['stream_id']}")
    assert found.status["minutes_sent"] == pytest.approx(24.7 / 60, abs=0.02)
    day.cost_at_most(calls=1, characters=2_500)


async def test_27_one_table_of_all_streams_and_what_is_missing(day: Day, sent: Answer) -> None:
    drawn = await day.call("render_timeline", **stream_of(sent), format="csv")
    assert drawn.status["wrote"].startswith("a table for a spreadsheet")
    assert drawn.status["several"].endswith(" export --all --as csv")
    assert (drawn.status["summary"]["dropped_s"], drawn.status["summary"]["lost_s"]) == (0, 0)
    day.cost_at_most(calls=1, characters=1_500)


async def test_28_where_does_the_page_connect_to_with_this_token(day: Day) -> None:
    token = await day.call("create_token", allowed_origins=["https://app.example.com"])
    assert token.status["websocket"].startswith("ws://127.0.0.1:")
    assert "['access_token', TOKEN]" in token.status["connect"]
    day.cost_at_most(calls=1, characters=1_500)
