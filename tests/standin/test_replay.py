from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import ConfigurationError
from ih_mcp.standin.analysis.analyst import check_observations
from ih_mcp.standin.analysis.replay import (
    MARK,
    Replay,
    Scene,
    make_replay,
    parse_scenario,
    parse_yaml_scenario,
)
from ih_mcp.standin.analysis.signal_messages import PresentSignal, SignalMessages
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Reading
from ih_mcp.wire.spans import Lifecycle

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


IN_YAML = """
# they agree, after a while
- {from: 4, to: 12.5, signal: agreement, probability: high, rationale: They nod.}
- from: 0
  to: 10
  engagement: neutral
- {"from": 10, "to": 40, "engagement": "engaged"}
"""


def _text(reading: Reading) -> str:
    return json.dumps({"type": reading.kind, "data": reading.fields, "correlation_id": "c"})


async def told(replay: Replay) -> list[tuple[list[tuple[str, str]], str | None]]:
    found = []
    for window in WINDOWS:
        seen = check_observations(await replay.observe(window), replay.describe(), window)
        names = [(item.signal_type, item.probability) for item in seen.signals]
        found.append((names, seen.engagement))
    return found


async def test_scenes_happen_at_their_seconds() -> None:
    assert await told(Replay(parse_scenario(WRITTEN.splitlines()))) == [
        ([("agreement", "high")], "neutral"),
        ([("agreement", "high")], "engaged"),
        ([("agreement", "high")], "engaged"),
        ([], "engaged"),
        ([], "engaged"),
        ([], "engaged"),
    ]


async def test_every_rationale_says_that_it_is_scripted() -> None:
    replay = Replay(parse_scenario(WRITTEN.splitlines()))
    (item,) = (await replay.observe(WINDOWS[0])).signals
    assert item.rationale == f"{MARK} They nod."
    assert item.evidence == {"from_seconds": 4.0, "to_seconds": 12.5}


async def test_a_recorded_session_is_played_again() -> None:
    scenario = parse_scenario([_text(reading) for reading in RECORDED])
    assert scenario.scenes == (
        Scene(
            signal="interest",
            start_seconds=8.0,  # the newest part of the window that begins at 3
            end_seconds=11.0,
            probability="medium",
            rationale="Leans in.",
        ),
    )
    shown = await told(Replay(scenario))
    assert shown[:3] == [([], None), ([("interest", "medium")], "engaged"), ([], "engaged")]


def test_the_stand_ins_own_record_is_read_too() -> None:
    lines = [json.dumps(_text(reading)) for reading in RECORDED]
    assert parse_scenario(lines) == parse_scenario([_text(reading) for reading in RECORDED])


async def test_a_session_played_again_says_the_same_from_and_to_the_same_seconds() -> None:
    emission = SignalMessages(V1)
    first: list[Reading] = []
    words = [None, "low", "medium", "low", None, "high"]
    for window, word in zip(WINDOWS, words, strict=True):
        item = PresentSignal(signal_type="interest", probability=word or "", rationale="So.")
        states = ["neutral", "neutral", "engaged", "engaged", "neutral", "neutral"]
        first += emission.window(
            window.start_seconds, window.end_seconds, [item] if word else [],
            engagement=states[window.index],
        )  # fmt: skip
    replay = Replay(parse_scenario([_text(reading) for reading in first]))
    again = SignalMessages(V1)
    second: list[Reading] = []
    for window in WINDOWS:
        seen_again = await replay.observe(window)
        second += again.window(
            window.start_seconds, window.end_seconds, seen_again.signals,
            engagement=seen_again.engagement,
        )  # fmt: skip
    assert _phases(second) == _phases(first)
    assert len(_phases(first)[0]) == 4


def _phases(readings: list[Reading]) -> tuple[list[object], list[object]]:
    """What was said from when to when: of signals, and of engagement."""
    life = Lifecycle()
    for reading in readings:
        life.receive(reading)
    signals = [
        (phase.signal_type, phase.start_seconds, phase.end_seconds, phase.probability)
        for phase in life.phases
    ]
    states = [(span.state, span.start_seconds, span.end_seconds) for span in life.engagement]
    return [*signals], [*states]


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
        parse_scenario(["", line])


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        parse_scenario(text.splitlines())


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        make_replay(tmp_path / "none.jsonl")


def test_a_scenario_is_chosen_by_name_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(WRITTEN)
    chosen = choose_analyst("replay", scenario=path)
    assert "scripted, not an analysis" in chosen.description
    assert chosen.make().describe().signals == ("agreement",)


async def test_a_scenario_in_yaml_plays_as_one_in_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "talk.YAML"
    path.write_text(IN_YAML, encoding="utf-8")
    assert parse_yaml_scenario(IN_YAML) == parse_scenario(WRITTEN.splitlines())
    make = await to_thread.run_sync(make_replay, path)
    for _ in range(2):
        replay = make()
        assert isinstance(replay, Replay)
        assert await told(replay) == await told(Replay(parse_scenario(WRITTEN.splitlines())))
    (item,) = (await make().observe(WINDOWS[0])).signals
    assert item.rationale == f"{MARK} They nod."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n- {from: 1, to: 2, signal: agreement, probability: sure}", "scene 1 .* not one of"),
        ("- {from: 1, to: 2, engagement: neutral}\n- {to: 2}", "scene 2 .* no time in seconds"),
        ("- {from: .inf, to: .nan}", "scene 1 .* no time in seconds"),
        ("from: 3\nto: 4", "begins with a dash"),
        ("\nhello", "begins with a dash"),
        ("- x", "scene 1 .* no mapping"),
        ("-\n  from: {a: 1}", "flat mappings"),
        (
            "- {from: 1, to: 2, signal: a, probability: low, rationale: 7}",
            "scene 1 .* no text",
        ),
        ("[" * 100_000, "flat mappings"),
        ("- &a {from: 1}\n- *a", "without aliases"),
        ("- from: 1\n  to: *a", "without aliases"),
        ("\n- !!python/object/apply:os.system [exit]", "line 2"),
        ("-\n\tfrom: 1", "(?s)cannot start any token.*line 2"),
        ("- {<<: x, from: 1}", "(?s)merging.*line 1"),
        ("- {from: 1\n", "(?s)expected.*line 2"),
        ("- {}\n---\n- {}", "(?s)another document.*line 2"),
        ("\n- {from: 1\0}", "(?s)#x0000.*position 11"),
        ("- {from: 2001-02-31, to: 3}", "day (31 must be in|is out of) range"),
        ("- {from: 1" + ":9" * 200 + ".5}", "too large"),
        ("- {from: " + "9" * 5000 + "}", "limit"),
    ],
)
def test_yaml_that_is_no_scenario_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        parse_yaml_scenario(text)
    assert refused.value.code == "bad_scenario"


@pytest.mark.parametrize("text", ["", "# nothing yet", "[]"])
def test_an_empty_list_is_a_scenario_in_which_nothing_happens(text: str) -> None:
    assert parse_yaml_scenario(text) == parse_scenario([])


@given(st.text(alphabet="-:{}[]!&*<?|>'\"%@#,. \n\t019aefortx\0", max_size=60))
def test_any_yaml_is_a_scenario_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        parse_yaml_scenario(text)


def test_without_pyyaml_the_way_to_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.yml"
    path.write_text(IN_YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match="needs PyYAML") as refused:
        choose_analyst("replay", scenario=path)
    assert "pip install pyyaml" in (refused.value.help or "")
    path.rename(lines := tmp_path / "talk.jsonl")
    lines.write_text(WRITTEN)
    assert choose_analyst("replay", scenario=lines).name == "replay"


def test_only_a_line_feed_ends_a_line_of_a_recorded_session(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    fields = {**RECORDED[0].fields, "rationale": "Leans in.\u2028Stays."}
    path.write_text(
        json.dumps({"type": "signal.detected", "data": fields}, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    assert choose_analyst("replay", scenario=path).make().describe().signals == ("interest",)
