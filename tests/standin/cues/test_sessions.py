"""Whole sessions with known truth: which signals, when, and none else (study, section 7)."""

from __future__ import annotations

import numpy as np

from ih_mcp.standin.cues.table import NEVER
from tests.reliability.budget import often

from .session import Told, played, signals
from .stimuli import (
    HERTZ,
    STILL,
    Floats,
    Motion,
    Scene,
    mm_hm,
    music,
    silence,
    speech,
    still,
    swing,
    turned,
    um,
)


def _talk(phrases: int, **how: float) -> Floats:
    """Phrases of twelve syllables with breaths of 0.35 s between them."""
    return np.concatenate(
        [np.concatenate([speech(12, seed=index, **how), silence(0.35)]) for index in range(phrases)]
    )


def _either(*motions: Motion) -> Motion:
    def motion(seconds: float) -> Scene:
        return next((s for one in motions if (s := one(seconds)) != STILL), STILL)

    return motion


NODS = _either(swing(5, 2, start=13), swing(5, 2, start=25, cycles=4))


def _states(told: list[Told]) -> list[str | None]:
    return [item.engagement for item in told]


def test_nods_while_listening_are_agreement_and_more_so_with_a_vocalisation() -> None:
    told = played(np.concatenate([silence(25.5), mm_hm(), silence(7)]), NODS)
    found = signals(told)
    assert found.keys() == {"agreement", "engagement"}
    assert dict(found["agreement"]) == {9: "medium", 12: "medium", 21: "high", 24: "high"}
    assert {
        state for item, state in zip(told, _states(told), strict=True) if "agreement" in item.names
    } == {"engaged"}


def test_the_same_nods_while_talking_are_no_agreement() -> None:
    assert signals(played(_talk(7), NODS)).keys() <= {"engagement"}


def test_shakes_while_listening_are_disagreement() -> None:
    found = signals(played(silence(26), turned(swing(6, 2, start=16))))
    assert found == {"disagreement": [(12.0, "medium"), (15.0, "medium")]}


def test_who_leaves_the_picture_is_disengaged_until_back() -> None:
    def leaves(seconds: float) -> Scene:
        gone = max(0.0, min(1.0, (seconds - 12) / 1.5, (26 - seconds) / 1.5))
        return Scene(camera_right=-400 * gone)

    told = played(silence(36), leaves)
    found = signals(told)
    assert found.keys() == {"disengagement"}
    assert dict(found["disengagement"])[15.0] == "high"
    assert [
        (item.window.start_seconds, item.engagement)
        for item in told
        if item.engagement == "disengaged"
    ]
    assert _states(told)[0] == _states(told)[-1] == "neutral"


def test_halting_speech_is_hesitation_and_fluent_speech_is_not() -> None:
    fluent = _talk(11)[: 29 * HERTZ]
    halting = [
        part
        for seed in range(6)
        for part in (speech(3, per_second=3.2, seed=50 + seed), silence(0.3), um(), silence(1.3))
    ]
    found = signals(played(np.concatenate([fluent, *halting, silence(2)])))
    assert found.keys() == {"hesitation"}
    windows = dict(found["hesitation"])
    assert min(windows) >= 24
    assert windows[30.0] == windows[33.0] == "high"


def test_pauses_alone_stay_low() -> None:
    parts = [part for seed in range(6) for part in (speech(9, seed=seed), silence(2.2))]
    found = signals(played(np.concatenate(parts)))
    assert found.keys() == {"hesitation"}
    assert {probability for _, probability in found["hesitation"]} == {"low"}


def test_a_raised_fast_voice_is_stress_where_asked_for() -> None:
    sound = np.concatenate([_talk(11)[: 29 * HERTZ], _talk(6, hertz=164.0, per_second=6.2)])
    found = signals(played(sound, reports_stress=True))
    assert found.keys() == {"stress"}
    assert {probability for _, probability in found["stress"]} == {"low"}
    assert min(start for start, _ in found["stress"]) >= 24


def test_who_is_there_silent_and_still_is_neutral() -> None:
    told = played(silence(14), still)
    assert signals(told) == {}
    assert _states(told) == ["neutral"] * 3


def test_before_anybody_was_met_nothing_is_said_of_engagement() -> None:
    told = played(silence(11), lambda _: Scene(camera_right=-400))
    assert _states(told) == [None, None]


def test_one_who_never_stops_talking_was_met() -> None:
    told = played(speech(60))
    assert _states(told) == ["neutral"] * len(told)


def test_a_louder_fluent_voice_is_confidence() -> None:
    sound = np.concatenate([_talk(8) * 0.4, _talk(5)])
    found = signals(played(sound))
    assert found.keys() == {"confidence"}
    assert {probability for _, probability in found["confidence"]} <= {"low", "medium"}


def test_halting_speech_with_rising_endings_is_uncertainty() -> None:
    parts = [
        part
        for seed in range(6)
        for part in (speech(5, end_hertz=200, seed=seed), silence(0.4), um(), silence(1.4))
    ]
    found = signals(played(np.concatenate(parts)))
    assert {"hesitation", "uncertainty"} == found.keys()
    assert {probability for _, probability in found["uncertainty"]} == {"low"}


def test_music_gives_no_voice_cue_and_the_text_says_so() -> None:
    told = played(np.concatenate([music(14)]), NODS)
    assert signals(told) == {}
    sung = played(np.concatenate([music(12) + np.resize(speech(40), 12 * HERTZ) * 0.2]))
    assert not {"hesitation", "confidence"} & signals(sung).keys()


def test_no_sound_gives_no_voice_cue_and_no_nod() -> None:
    told = played(None, NODS, seconds=20)
    assert signals(told) == {}


def test_signals_that_are_never_told_are_never_told() -> None:
    sound = np.concatenate([_talk(4), music(6), um(2), _talk(3, hertz=220.0)])
    found = signals(played(sound, NODS, reports_stress=True))
    assert not found.keys() & set(NEVER)


def test_how_the_media_was_cut_changes_nothing() -> None:
    sound = np.concatenate([_talk(1), silence(4), mm_hm(), silence(4)])
    motion = swing(5, 2, start=7)
    cuts = often((0.1, 3.0), nightly=(0.1, 0.25, 3.0))
    plain, *others = (played(sound, motion, piece_seconds=each) for each in cuts)
    assert signals(plain)
    assert all(other == plain for other in others)
