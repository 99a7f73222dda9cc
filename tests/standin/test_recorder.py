from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from ih_mcp.standin import recorder as recorder_module
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.recorder import Recorder

TEXTS = ['{"a" :  1}', "ä\u2028\n\\u00e4", '{"a":1,"a":2}', "x" * 200_000]


async def test_each_text_is_a_line_of_the_file_before_it_leaves(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    recorder = Recorder()
    async with recorder.writing(path):
        for number, text in enumerate(TEXTS, 1):
            await recorder.write(text)
            lines = path.read_text(encoding="utf-8").splitlines()
            assert [json.loads(line) for line in lines] == TEXTS[:number]
    async with recorder.writing(path):
        await recorder.write("more")
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) == "more"


async def test_without_a_file_nothing_is_written() -> None:
    recorder = Recorder()
    async with recorder.writing(None):
        await recorder.write("x")


async def test_a_session_is_told_as_json() -> None:
    record = Recorder().begin("/v1/stream/analyze", "c1", {"user-agent": "x"})
    record.keep_text("a")
    record.keep_text("b")
    record.forget_last_text()
    await record.keep_segment(b"abc")
    record.billed.add(0, 8)
    record.ended("session.ended", 1000)
    record.ended("later words do not count", 1006)
    assert record.as_json() == {
        "number": 1,
        "correlation_id": "c1",
        "path": "/v1/stream/analyze",
        "headers": {"user-agent": "x"},
        "texts": ["a"],
        "texts_left_out": 0,
        "received_left_out": 0,
        "received": [],
        "segments": [{"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}],
        "segments_left_out": 0,
        "end": "session.ended",
        "close_code": 1000,
        "billed_seconds": 8,
        "billed": [[0, 8]],
        "dropped": [],
        "analysis": {"windows": 0, "windows_shed": 0, "seconds": 0.0},
    }


async def test_what_sessions_keep_is_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "12345"
    monkeypatch.setattr(recorder_module, "_MAX_KEPT_BYTES", 4 * sys.getsizeof(text))
    monkeypatch.setattr(recorder_module, "_SEGMENT_BYTES", sys.getsizeof(text))
    recorder = Recorder()
    older, newer = recorder.begin("/", "c", {}), recorder.begin("/", "c", {})
    older.keep_text(text)
    older.keep_received(text)
    await older.keep_segment(b"abc")
    newer.keep_text(text)
    assert (older.texts, older.received, len(older.segments)) == ([text], [text], 1)
    newer.keep_received(text)  # there is no room beside what the older one keeps
    assert (older.texts, older.received, older.segments) == ([], [], [])
    assert (older.texts_left_out, older.received_left_out, older.segments_left_out) == (1, 1, 1)
    for _ in range(2):
        await newer.keep_segment(b"abc")
    for record in (older, newer):  # an older one takes no room from a newer one
        record.keep_text(text)
        record.keep_received(text)
        await record.keep_segment(b"abc")
        assert record.texts_left_out == (2 if record is older else 1)
        record.forget_last_text()
        assert record.texts_left_out == (1 if record is older else 0)
    assert (newer.texts, newer.received, len(newer.segments)) == ([text], [text], 2)
    assert (newer.received_left_out, newer.segments_left_out) == (1, 1)


def test_headers_count_too_and_an_empty_text_is_not_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder_module, "_MAX_KEPT_BYTES", 10_000)
    recorder = Recorder()
    assert recorder.begin("/", "c", {"x": "y" * 20_000}).headers == {}
    record = recorder.begin("/", "c", {"x": "y" * 5000})
    assert record.headers
    for _ in range(1000):
        record.keep_text("")
    assert 0 < len(record.texts) < 200
    for _ in range(200):
        recorder.begin("/", "c", {})
    record.keep_text("")  # a session that goes on, and is too long ago to be told
    assert record.texts == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    for _ in range(301):
        recorder.begin("/", "c", {})
    assert [record.number for record in recorder.sessions] == list(range(102, 302))
    windows = [(Window(index, 3.0 * index, 3.0 * index + 8), Observations()) for index in range(3)]
    monkeypatch.setattr(recorder_module, "_MAX_WINDOWS", 2)
    for number in range(300):
        recorder.keep_upload("/", str(number), windows)
    assert [upload.correlation_id for upload in recorder.uploads] == list(map(str, range(100, 300)))
    assert list(recorder.uploads[-1].seen) == windows[1:]
