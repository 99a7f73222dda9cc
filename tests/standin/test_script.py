from __future__ import annotations

import json
from pathlib import Path

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.standin.faults import script
from ih_mcp.standin.faults.script import (
    AnswerWith,
    At,
    Change,
    CloseWith,
    DelayJob,
    Refuse,
    Reset,
    Script,
    ScriptStep,
    Send,
    ShedWindow,
    SplitIntoFrames,
    Stall,
)


@pytest.mark.parametrize(
    ("at", "said", "act"),
    [
        ("segment", {"send": "x"}, Send("x")),
        ("segment", {"send": "x", "times": 3}, Send("x", 3)),
        ("segment", {"error": "ih6002"}, Refuse("ih6002")),
        ("segment", {"error": "ih6002", "close": 1001}, Refuse("ih6002", 1001)),
        ("segment", {"close": 1001, "reason": "r"}, CloseWith(1001, "r")),
        ("segment", {"reset": True}, Reset()),
        ("segment", {"stall": "reading"}, Stall("reading")),
        ("window", {"shed": True}, ShedWindow()),
        ("job", {"lingers": 2}, DelayJob(2)),
        ("message", {"frames": 7}, SplitIntoFrames(7)),
        (
            "request",
            {"status": 503, "error": "ih1002", "retry_after": 2, "path": "/p"},
            AnswerWith(status=503, error="ih1002", retry_after_seconds=2, path="/p"),
        ),
        (
            "message",
            {"change": {"type": "t", "null": ["a"], "repeat": 0}},
            Change(type="t", nulls=("a",), repeat=0),
        ),
    ],
)
def test_every_act_can_be_written_as_json(
    at: str, said: dict[str, object], act: script.Action
) -> None:
    assert Script.parse([{"at": at, **said}]).steps == (ScriptStep(at=At(at), action=act),)


def test_a_step_can_name_its_turn_and_its_session() -> None:
    parsed = Script.parse([{"at": "segment", "n": 2, "session": 1, "reset": True}])
    assert parsed.steps == (ScriptStep(at=At.SEGMENT, action=Reset(), n=2, session=1),)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({}, "list of steps"),
        ([3], "step 1"),
        ([{"at": "segment", "send": "x"}, {"at": "nowhere", "send": "x"}], "step 2"),
        ([{"at": "segment"}], "no action in it; known: send"),
        ([{"at": "segment", "send": 3}], "send has the wrong type"),
        ([{"at": "segment", "send": "x", "tims": 3}], "unknown field tims"),
        ([{"at": "message", "frames": 0}], "at least a byte"),
        ([{"at": "segment", "n": 0, "send": "x"}], "n is no count"),
        ([{"at": "segment", "stall": "breathing"}], "reading"),
        ([{"at": "segment", "send": "\ud800"}], "surrogates"),
        ([{"at": "message", "change": {"repeat": "x"}}], "repeat has the wrong type"),
        ([{"at": "ready", "send": "x", "times": True}], "times has the wrong type"),
        ([{"at": "ready", "reset": False}], "reset has the wrong type"),
        ([{"at": "ready", "close": 1006}], "cannot carry 1006"),
        ([{"at": "ready", "close": 99}], "cannot carry 99"),
        ([{"at": "ready", "close": 1000, "reason": "é" * 62}], "at most 123 bytes"),
        ([{"at": "request", "status": 101}], "from 200 to 599"),
    ],
)
def test_a_step_that_cannot_be_understood_is_named(steps: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Script.parse(steps)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"at": "window", "status": 503}], "status does nothing at window; known there: send"),
        ([{"at": "request", "shed": True}], "shed does nothing at request; known there: status"),
        ([{"at": "message", "send": "x"}], "send does nothing at message; known there: change"),
        ([{"at": "message", "n": 3, "frames": 7}], "n tells nothing at message"),
        ([{"at": "ready", "n": 1, "reset": True}], "n tells nothing at ready"),
        ([{"at": "job", "session": 1, "lingers": 1}], "session tells nothing at job"),
    ],
)
def test_a_step_that_would_never_act_is_named(steps: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Script.parse(steps)


def test_a_script_can_be_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps([{"at": "ready", "send": "ä"}]), encoding="utf-8")
    assert Script.load(path).actions(At.READY) == [Send("ä")]
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"script\.json cannot be read"):
        Script.load(path)
    with pytest.raises(ConfigurationError):
        Script.load(tmp_path / "none")


def test_steps_hold_where_they_say() -> None:
    steps = Script.parse(
        [
            {"at": "segment", "send": "each"},
            {"at": "segment", "n": 2, "send": "second"},
            {"at": "segment", "session": 3, "send": "third session"},
        ]
    )
    assert steps.actions(At.SEGMENT, n=1, session=1) == [Send("each")]
    assert steps.actions(At.SEGMENT, n=2, session=1) == [Send("each"), Send("second")]
    assert steps.actions(At.SEGMENT, n=1, session=3) == [Send("each"), Send("third session")]
    assert steps.actions(At.READY, session=3) == []


def test_times_can_be_written_as_integers() -> None:
    change = Change(type="a", whole_numbers=True)
    (text,) = change.texts('{"type":"a","data":{"start":3.0,"end":4.5,"probability":"high"}}')
    assert text == '{"type": "a", "data": {"start": 3, "end": 4.5, "probability": "high"}}'


def test_a_change_leaves_other_messages_as_they_are() -> None:
    text = '{"type" : "a",  "data": {}}'
    assert Change(type="b", repeat=3).texts(text) == [text]
    assert Change(type="a", repeat=0).texts(text) == []
    assert json.loads(Change(extra={"x": 1}).texts('{"status": "s"}')[0]) == {
        "status": "s",
        "x": 1,
    }
