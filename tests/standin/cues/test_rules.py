"""What may be said, and in which words (study, section 7, level 7)."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.standin.analysis.analyst import Observations, check_observations
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.cues import NEVER, ROWS, Cues
from ih_mcp.standin.cues.baseline import Baseline, UsualValue
from ih_mcp.standin.cues.gestures import Gesture
from ih_mcp.standin.cues.measures import HeadMeasures, Measures, Pause, VoiceMeasures
from ih_mcp.standin.cues.phrases import Phrase
from ih_mcp.standin.cues.rules import RULES, apply_rules, decide_engagement
from ih_mcp.wire.dialects import PROBABILITIES

WINDOW = Window(4, 12, 20)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

_share = st.floats(0, 1)
_usual = st.builds(UsualValue, st.floats(-20, 20), st.floats(0.3, 4))


@st.composite
def _pauses(draw: st.DrawFn) -> Pause:
    start = draw(st.floats(12, 15))
    return Pause(start, start + draw(st.floats(0.25, 4)), draw(st.booleans()))


@st.composite
def _gestures(draw: st.DrawFn, kind: str) -> Gesture:
    start = draw(st.floats(12, 15))
    return Gesture(
        kind=kind,
        start_seconds=start,
        end_seconds=start + draw(st.floats(0.5, 4)),
        cycles=draw(st.integers(4, 20)) / 2,
        size=draw(st.floats(0.022, 0.4)),
        hertz=draw(st.floats(0.7, 5)),
        turns=True,
    )


@st.composite
def _phrases(draw: st.DrawFn) -> Phrase:
    start = draw(st.floats(12, 18))
    return Phrase(start, start + draw(st.floats(0.1, 1)), draw(st.floats(-9, 9)))


_voices = st.builds(
    VoiceMeasures,
    speech_share=_share,
    speech_seconds=st.floats(0, 8),
    pauses=st.lists(_pauses(), max_size=4).map(tuple),
    fillers=st.integers(0, 5),
    rises=st.integers(0, 4),
    syllables_per_second=st.floats(0, 9),
    pitch_semitones=st.floats(-5, 25),
    pitch_range_semitones=st.floats(0, 18),
    level_db=st.floats(-60, 0),
    vocalisations=st.lists(_phrases(), max_size=2).map(tuple),
    usual=st.none() | st.builds(Baseline, _usual, _usual, _usual),
)
_heads = st.builds(
    HeadMeasures,
    face_checks=st.integers(5, 14),
    found_share=_share,
    was_seen=st.booleans(),
    has_cut=st.booleans(),
    movement=st.floats(0, 0.2),
    nods=st.lists(_gestures("nod"), max_size=3).map(tuple),
    shakes=st.lists(_gestures("shake"), max_size=3).map(tuple),
)
_measures = st.builds(
    Measures,
    voice=st.none() | _voices,
    head=st.none() | _heads,
    no_voice=st.sampled_from(["", "no sound", "no voice cues in music or noise"]),
    no_head=st.sampled_from(["", "no picture"]),
)

QUIET = VoiceMeasures(
    speech_share=0.0,
    speech_seconds=0.0,
    pauses=(),
    fillers=0,
    rises=0,
    syllables_per_second=0.0,
    pitch_semitones=float("nan"),
    pitch_range_semitones=0.0,
    level_db=0.0,
    vocalisations=(),
    usual=None,
)
AWAY = HeadMeasures(
    face_checks=13, found_share=0.0, was_seen=True, has_cut=False, movement=0.0, nods=(), shakes=()
)


@given(_measures)
def test_every_number_in_a_rationale_is_a_measured_one(measures: Measures) -> None:
    for item in apply_rules(measures, ROWS):
        figures = list(item.evidence.values())
        for number in _NUMBER.findall(item.rationale):
            digits = len(number.partition(".")[2])
            tolerance = 0.5 * 10**-digits + 0.0011  # evidence is kept to a thousandth
            assert any(abs(abs(figure) - float(number)) <= tolerance for figure in figures), (
                number,
                item,
            )


@given(_measures)
def test_whatever_is_measured_the_core_accepts_what_is_said(measures: Measures) -> None:
    seen = apply_rules(measures, ROWS)
    description = Cues(reports_stress=True).describe()
    for item in seen:
        placed = replace(item, start_seconds=None, end_seconds=None)
        assert placed.signal_type not in NEVER
        assert item.rationale.startswith("[local cue engine, no AI model; ")
    state = decide_engagement(measures, seen, was_disengaged=False)
    assert state in {None, "engaged", "neutral"}
    names = [item.signal_type for item in seen]
    assert len(names) == len(set(names))
    assert set(names) <= set(description.signals)


@given(_measures)
def test_no_signal_goes_over_its_cap(measures: Measures) -> None:
    caps = {row.signal: row.cap for row in ROWS}
    for item in apply_rules(measures, ROWS):
        cap = PROBABILITIES.index(caps[item.signal_type])
        assert PROBABILITIES.index(item.probability) <= cap


@given(_heads)
def test_without_a_voice_nothing_is_said_about_one(head: HeadMeasures) -> None:
    measures = Measures(voice=None, head=head, no_voice="no sound")
    seen = {item.signal_type: item for item in apply_rules(measures, ROWS)}
    assert not seen.keys() & {"hesitation", "confidence", "uncertainty", "stress"}
    assert all("; measured: video; no sound]" in item.rationale for item in seen.values())


@given(_voices)
def test_without_a_picture_nothing_is_said_about_a_head(voice: VoiceMeasures) -> None:
    measures = Measures(voice=voice, head=None, no_head="no picture")
    seen = {item.signal_type: item for item in apply_rules(measures, ROWS)}
    assert not seen.keys() & {"agreement", "disagreement", "engagement", "disengagement"}
    assert all("; measured: voice; no picture]" in item.rationale for item in seen.values())


@given(st.lists(_pauses(), min_size=1, max_size=6).map(tuple))
def test_pauses_alone_are_never_more_than_low(pauses: tuple[Pause, ...]) -> None:
    measures = Measures(voice=replace(QUIET, pauses=pauses), head=None)
    assert {item.probability for item in apply_rules(measures, ROWS)} <= {"low"}


def test_without_usable_sound_disengagement_stays_low() -> None:
    (quiet,) = apply_rules(Measures(voice=QUIET, head=AWAY), ROWS)
    (deaf,) = apply_rules(Measures(voice=None, head=AWAY, no_voice="no sound"), ROWS)
    assert (quiet.probability, deaf.probability) == ("high", "low")
    assert quiet.rationale == (
        "[local cue engine, no AI model; measured: voice, video] No frontal face found in 100% "
        "of 13 samples (absent or turned far away), 0% speech."
    )


def test_two_windows_of_disengagement_make_the_state() -> None:
    measures = Measures(voice=QUIET, head=AWAY)
    seen = apply_rules(measures, ROWS)
    assert decide_engagement(measures, seen, was_disengaged=False) == "neutral"
    assert decide_engagement(measures, seen, was_disengaged=True) == "disengaged"


def test_each_row_has_a_judge_and_each_judge_a_row() -> None:
    assert [row.signal for row in ROWS] == list(RULES)
    assert not RULES.keys() & set(NEVER)


def test_what_is_said_passes_the_core() -> None:
    seen = Observations(signals=apply_rules(Measures(voice=QUIET, head=AWAY), ROWS))
    assert check_observations(seen, Cues().describe(), WINDOW) is seen
