from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import ConfigurationError
from ih_mcp.standin.analyst import checked
from ih_mcp.standin.choice import choose_analyst
from ih_mcp.standin.replay import MARK, Replay, Scene, read, replaying
from ih_mcp.standin.windows import Window
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.lifecycle import Emission, Lifecycle, Seen
from ih_mcp.wire.messages import Reading

WINDOWS = [Window(index, 3.0 * index, 3.0 * index + 8) for index in range(6)]

WRITTEN = """
# they agree, after a while
{"from": 4, "to": 12.5, "signal": "agreement", "probability": "high", "rationale": "They nod."}
{"from": 0, "to": 10, "engagement": "neutral"}
{"from": 10, "to": 40, "engagement": "engaged"}
"""

RECORDED = [
    Reading(
        "signal.detected",
        {
            "signal_type": "interest",
            "start": 3.0,
            "probability": "medium",
            "rationale": "Leans in.",
        },
    ),
    Reading("engagement.updated", {"state": "engaged", "start": 3.0}),
    Reading("signal.ended", {"signal_type": "interest", "end": 11.0}),
]


def _text(reading: Reading) -> str:
    return json.dumps({"type": reading.kind, "data": reading.fields, "correlation_id": "c"})


async def told(replay: Replay) -> list[tuple[list[tuple[str, str]], str | None]]:
    found = []
    for window in WINDOWS:
        seen = checked(await replay.observe(window), replay.describe(), window)
        names = [(item.signal_type, item.probability) for item in seen.signals]
        found.append((names, seen.engagement))
    return found


async def test_scenes_happen_at_their_seconds() -> None:
    assert await told(Replay(read(WRITTEN.splitlines()))) == [
        ([("agreement", "high")], "neutral"),
        ([("agreement", "high")], "engaged"),
        ([("agreement", "high")], "engaged"),
        ([], "engaged"),
        ([], "engaged"),
        ([], "engaged"),
    ]


async def test_every_rationale_says_that_it_is_scripted() -> None:
    replay = Replay(read(WRITTEN.splitlines()))
    (item,) = (await replay.observe(WINDOWS[0])).signals
    assert item.rationale == f"{MARK} They nod."
    assert item.evidence == {"from_seconds": 4.0, "to_seconds": 12.5}


async def test_a_recorded_session_is_played_again() -> None:
    scenario = read([_text(reading) for reading in RECORDED])
    assert scenario.scenes == (
        Scene(
            signal="interest",
            start_seconds=3.0,
            end_seconds=11.0,
            probability="medium",
            rationale="Leans in.",
        ),
    )
    assert (await told(Replay(scenario)))[0] == ([("interest", "medium")], "engaged")


def test_the_stand_ins_own_record_is_read_too() -> None:
    lines = [json.dumps(_text(reading)) for reading in RECORDED]
    assert read(lines) == read([_text(reading) for reading in RECORDED])


async def test_a_session_played_again_has_the_same_lives() -> None:
    emission = Emission(V1)
    first: list[Reading] = []
    for window in WINDOWS:
        item = Seen(signal_type="interest", probability="low", rationale="So.")
        seen = [item] if 1 <= window.index <= 3 else []
        first += emission.window(window.start_seconds, window.end_seconds, seen)
    replay = Replay(read([_text(reading) for reading in first]))
    again = Emission(V1)
    second: list[Reading] = []
    for window in WINDOWS:
        seen_again = (await replay.observe(window)).signals
        second += again.window(window.start_seconds, window.end_seconds, seen_again)
    assert _lives(second) == _lives(first)


def _lives(readings: list[Reading]) -> list[tuple[str, object]]:
    life = Lifecycle()
    for reading in readings:
        life.receive(reading)
    return [(span.signal_type, span.probability) for span in life.spans]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "line 2"),
        ("[1]", "no JSON object"),
        ('{"from": 3, "to": 2, "signal": "agreement", "probability": "low"}', "ends before"),
        ('{"from": 1, "to": 2, "signal": "agreement", "probability": "sure"}', "not one of"),
        ('{"from": "1", "to": 2, "signal": "agreement"}', "no time in seconds"),
        ('{"from": true, "to": 2, "signal": "agreement"}', "no time in seconds"),
        ('{"from": 1, "to": 2}', "neither a signal nor an engagement"),
        ('{"from": 1, "to": 2, "engagement": "thrilled"}', "not one of"),
        ('{"no": "type"}', "line 2"),
    ],
)
def test_a_line_that_says_nothing_is_named(line: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(["", line])


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        read(text.splitlines())


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        replaying(tmp_path / "none.jsonl")


def test_a_scenario_is_chosen_by_name_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(WRITTEN)
    chosen = choose_analyst("replay", scenario=path)
    assert "scripted, not an analysis" in chosen.told
    assert chosen.make().describe().signals == ("agreement",)
