"""What is heard, against sounds whose truth is known (study, section 7, level 1)."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from ih_mcp.standin.cues.detectors import make_detector
from ih_mcp.standin.cues.phrases import PAUSE_SECONDS
from ih_mcp.standin.cues.voice import Voice

from .stimuli import HERTZ, Floats, in_noise, music, noise, silence, sounds, speech, tone, um, vowel

PAUSES = (0.3, 0.5, 1.0, 2.0, 0.8)


def always(_samples: object) -> float:
    return 1.0


def heard(samples: Floats, *, piece_seconds: float = 0.1, hertz: int = HERTZ) -> Voice:
    detector = make_detector()
    assert detector is not None
    voice = Voice(detector)
    for sound in sounds(samples, piece_seconds=piece_seconds, hertz=hertz):
        voice.add_sound(sound)
    return voice


def halting() -> Floats:
    parts = [silence(1.0)]
    for seed, pause in enumerate(PAUSES):
        parts += [speech(6, seed=seed), silence(pause)]
    return np.concatenate([*parts, speech(6, seed=9), silence(1.5)])


@cache
def plain() -> Voice:
    return heard(halting())


def pauses(voice: Voice) -> list[float]:
    phrases = voice.events.phrases
    return [b.start_seconds - a.end_seconds for a, b in pairwise(phrases)]


def test_inserted_pauses_are_found_within_a_tenth_of_a_second() -> None:
    assert pauses(plain()) == pytest.approx(PAUSES, abs=0.1)


def test_inserted_pauses_are_found_in_noise_ten_decibels_down() -> None:
    assert pauses(heard(in_noise(halting(), decibels=10))) == pytest.approx(PAUSES, abs=0.2)


@pytest.mark.parametrize("decibels", [-18, -6, 6])
def test_gain_moves_neither_pauses_nor_pitch(decibels: int) -> None:
    louder = heard(halting() * 10 ** (decibels / 20))
    assert pauses(louder) == pytest.approx(pauses(plain()), abs=0.021)
    pitch = [np.nanmedian(voice.frames.between(1, 10).pitch) for voice in (plain(), louder)]
    assert pitch[1] == pytest.approx(pitch[0], abs=0.05)


@pytest.mark.parametrize("hertz", [80, 110, 150, 200, 260, 330, 440])
def test_the_pitch_of_a_buzz_and_of_a_vowel_is_right(hertz: float) -> None:
    voice = Voice(always)
    for sound in sounds(
        np.concatenate([tone(hertz, 1), silence(0.5), vowel("a", 1, hertz), silence(1)])
    ):
        voice.add_sound(sound)
    true = 12 * np.log2(hertz / 100)
    for start in (0.1, 1.6):
        pitch = voice.frames.between(start, start + 0.8).pitch
        assert np.isfinite(pitch).mean() > 0.9
        assert np.nanmedian(pitch) == pytest.approx(true, abs=0.1)


@pytest.mark.parametrize("semitones", [-4, -2, 2, 4, 7])
def test_a_step_of_pitch_is_a_step_of_pitch(semitones: int) -> None:
    after = 130 * 2 ** (semitones / 12)
    voice = heard(np.concatenate([speech(10), silence(0.5), speech(10, hertz=after), silence(1)]))
    first, second = (voice.frames.between(*span).pitch for span in ((0.2, 2.0), (2.8, 4.6)))
    assert np.nanmedian(second) - np.nanmedian(first) == pytest.approx(semitones, abs=0.3)


@pytest.mark.parametrize("per_second", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("hertz", [110, 210])
def test_syllables_are_counted(per_second: float, hertz: float) -> None:
    voice = heard(np.concatenate([speech(24, per_second=per_second, hertz=hertz), silence(1)]))
    assert len(voice.events.syllables) == pytest.approx(24, abs=1)


def test_a_held_um_is_a_filler_and_syllables_are_none() -> None:
    voice = heard(
        np.concatenate([speech(12), silence(0.4), um(), silence(0.4), speech(12), silence(1)])
    )
    (filler,) = voice.events.fillers
    assert filler.start_seconds == pytest.approx(12 / 4.76 + 0.4 - 0.05, abs=0.1)


@pytest.mark.parametrize(("end_hertz", "rises"), [(210.0, True), (80.0, False)])
def test_the_last_syllable_rises_or_falls(end_hertz: float, *, rises: bool) -> None:
    voice = heard(np.concatenate([speech(8, end_hertz=end_hertz), silence(1.0)]))
    (phrase,) = voice.events.phrases
    assert phrase.ending_semitones >= 2.5 if rises else phrase.ending_semitones <= -3


@pytest.mark.parametrize(
    "sound", [music(4), noise(4), tone(220, 4)], ids=["music", "noise", "tone"]
)
def test_other_sounds_are_no_speech(sound: Floats) -> None:
    frames = heard(np.concatenate([sound, silence(1)])).frames.between(0, 4)
    assert frames.speech.mean() < 0.05
    assert frames.loud.mean() > 0.8


def test_what_is_heard_does_not_depend_on_how_the_sound_was_cut() -> None:
    whole, cut = plain(), heard(halting(), piece_seconds=0.0217)
    assert whole.events == cut.events
    for name in ("level", "pitch", "speech", "loud"):
        np.testing.assert_array_equal(
            getattr(whole.frames.between(0, 12), name), getattr(cut.frames.between(0, 12), name)
        )


def test_sound_of_24_khz_is_heard_as_that_of_16() -> None:
    samples = halting()
    times = np.arange(round(len(samples) * 1.5)) / 1.5
    faster = np.interp(times, np.arange(len(samples)), samples)
    voice = heard(faster, hertz=24_000)
    assert pauses(voice) == pytest.approx(PAUSES, abs=0.1)
    pitch = np.nanmedian(plain().frames.between(1, 10).pitch)
    assert np.nanmedian(voice.frames.between(1, 10).pitch) == pytest.approx(pitch, abs=0.1)


def test_missing_sound_is_no_pause() -> None:
    detector = make_detector()
    assert detector is not None
    voice = Voice(detector)
    items = list(sounds(np.concatenate([speech(10), silence(0.5)])))
    for sound in items:
        voice.add_sound(sound)
    for sound in items:
        voice.add_sound(type(sound)(sound.start_seconds + 5, HERTZ, sound.samples))
    assert voice.events.breaks
    gap = voice.frames.between(3.0, 4.5)
    assert not gap.present.any()


def test_pauses_are_longer_than_a_stop_inside_a_word() -> None:
    closure = PAUSE_SECONDS - 0.1
    voice = heard(np.concatenate([speech(6), silence(closure), speech(6, seed=2), silence(1)]))
    assert len(voice.events.phrases) == 1
