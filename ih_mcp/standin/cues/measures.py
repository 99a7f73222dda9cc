"""What is measured in one window, put together from frames, events, looks and poses.

Nothing here looks at media again, and nothing beyond the window's end is used, though it may
have been fed already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ih_mcp.standin.analysis.windows import Window

from .baseline import Baseline, SpeechHistory
from .gestures import Gesture, find_gestures, measure_movement
from .phrases import MIN_PHRASE_SECONDS, Events, Phrase
from .series import FRAME_SECONDS, Frames
from .sight import Sight
from .voice import Voice, settled_seconds

MAX_PAUSE_SECONDS = 4.0  # a longer one is a turn's end
FINAL_FALL_SEMITONES = 3.0  # Gravano and Hirschberg 2011: a clear fall yields the turn
FINAL_RISE_SEMITONES = 2.5  # chosen: questions rose by 2.8 to 7.1 against statements
VOCALISATION_SECONDS = 1.0
LISTENING_SECONDS = 1.0
_ALONE_SECONDS = 1.0
_MIN_SOUND_SHARE = 0.5
_MAX_OTHER_SHARE = 0.35  # study: music clips lie above, speech in noise below
_MIN_LOUD_SECONDS = 0.5
_MAX_RANGE_SEMITONES = 18.0  # beyond, it is the tracking that jumps
_EDGE_SECONDS = 0.12
_MIN_USUAL_PAUSES = 5
_PAUSE_LIMITS_SECONDS = (0.8, 1.0, 1.5)  # least; with few pauses known; after a final fall
_OVER_USUAL = 1.8
_KEPT_PAUSES = 30
_MIN_LOOKS = 5
_MIN_POSES_PER_SECOND = 5


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence with the same sound track's speech on both sides."""

    start_seconds: float
    end_seconds: float
    is_long: bool
    """Longer than this speaker's pauses usually are."""

    @property
    def seconds(self) -> float:
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceMeasures:
    speech_share: float
    speech_seconds: float
    pauses: tuple[Pause, ...]
    fillers: int
    rises: int
    """Phrases that end with a rising pitch."""
    syllables_per_second: float
    """Of speech, pauses left out."""
    pitch_semitones: float
    """Over 100 Hz; NaN where nothing is voiced."""
    pitch_range_semitones: float
    level_db: float
    vocalisations: tuple[Phrase, ...]
    """Short ones, alone in silence: "mm hm"."""
    usual: Baseline | None
    """What the speaker's earlier speech was like; None while too little is known."""

    @property
    def long_pauses(self) -> tuple[Pause, ...]:
        return tuple(pause for pause in self.pauses if pause.is_long)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMeasures:
    face_checks: int
    found_share: float
    """Of the looks that found a face towards the camera."""
    was_seen: bool
    """Whether there was a face before, in the same scene."""
    has_cut: bool
    movement: float
    """Root mean square, in heights of the face."""
    nods: tuple[Gesture, ...]
    shakes: tuple[Gesture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """A window, measured."""

    voice: VoiceMeasures | None
    head: HeadMeasures | None
    no_voice: str = ""
    """Why there is no voice; empty where there is."""
    no_head: str = ""
    is_acquainted: bool = True
    """Whether a face or a voice was met in this session so far."""


def measure_voice(voice: Voice, history: SpeechHistory, window: Window) -> VoiceMeasures | str:
    """The voice in a window; or why it cannot be used."""
    until = settled_seconds(window.end_seconds)
    frames = voice.frames.between(window.start_seconds, until)
    if not len(frames.level) or frames.present.mean() < _MIN_SOUND_SHARE:
        return "no sound"
    if _is_other_sound(frames):
        return "no voice cues in music or noise"
    events = voice.events
    phrases = find_phrases(voice, until)
    ended = [item for item in phrases if item.known_seconds <= until]
    speech_seconds = float(frames.speech.sum()) * FRAME_SECONDS
    voiced = frames.pitch[frames.speech & np.isfinite(frames.pitch)]
    low, middle, high = np.percentile(voiced, (5, 50, 95)) if len(voiced) else (np.nan,) * 3
    inside = [item for item in phrases if item.end_seconds > window.start_seconds]
    syllables = sum(
        window.start_seconds <= item.time_seconds and item.known_seconds <= until
        for item in events.syllables
    )
    return VoiceMeasures(
        speech_share=float(frames.speech.mean()),
        speech_seconds=speech_seconds,
        pauses=tuple(_find_pauses(phrases, events, window.start_seconds)),
        fillers=_count_fillers(events, inside, until),
        rises=sum(
            item.ending_semitones >= FINAL_RISE_SEMITONES for item in inside if item in ended
        ),
        syllables_per_second=syllables / speech_seconds if speech_seconds > 0 else 0.0,
        pitch_semitones=float(middle),
        pitch_range_semitones=float(high - low) if high - low <= _MAX_RANGE_SEMITONES else 0.0,
        level_db=float(np.median(frames.level[frames.speech])) if speech_seconds else 0.0,
        vocalisations=tuple(item for item in inside if _is_alone(item, phrases, until)),
        usual=history.baseline(window.start_seconds),
    )


def find_phrases(voice: Voice, until_seconds: float) -> list[Phrase]:
    """Phrases as far as they are known at a time; one that has not ended reaches up to there."""
    events = voice.events
    phrases = [item for item in events.phrases if item.known_seconds <= until_seconds]
    going_on = [item.start_seconds for item in events.phrases if item not in phrases]
    if events.open_start is not None:
        going_on.append(round(events.open_start * FRAME_SECONDS, 2))
    for start in going_on[:1]:
        heard = voice.frames.between(start, max(start, until_seconds)).speech
        if heard.sum() * FRAME_SECONDS >= MIN_PHRASE_SECONDS:
            phrases.append(Phrase(start, until_seconds, float("nan")))
    return phrases


def measure_head(sight: Sight, window: Window, listening: ListeningFilter) -> HeadMeasures | str:
    """The head in a window; or why it cannot be used."""
    start, end = window.start_seconds, window.end_seconds
    checks = [item for item in sight.face_checks if start <= item.time_seconds < end]
    if len(checks) < min(_MIN_LOOKS, (end - start)):
        return "no picture"
    poses = [item for item in sight.poses if start <= item.time_seconds < end]
    found = find_gestures(poses)
    listened = [item for item in found if item.turns and listening.accepts(item)]
    return HeadMeasures(
        face_checks=len(checks),
        found_share=sum(item.is_found for item in checks) / len(checks),
        was_seen=sight.was_seen_before(end),
        has_cut=any(start <= cut < end for cut in sight.cuts),
        movement=measure_movement(poses) if len(poses) >= _MIN_POSES_PER_SECOND else 0.0,
        nods=tuple(item for item in listened if item.kind == "nod"),
        shakes=tuple(item for item in listened if item.kind == "shake"),
    )


class ListeningFilter:
    """Says whether somebody listens during a gesture: people also move the head while they talk.

    Args:
        voice: None if no voice can be detected; then no gesture is accepted.
        until_seconds: Up to where speech is known.
    """

    def __init__(self, voice: Voice | None, until_seconds: float) -> None:
        self._voice = voice
        self._until_seconds = until_seconds
        self._phrases = [] if voice is None else find_phrases(voice, until_seconds)

    def accepts(self, gesture: Gesture) -> bool:
        """Whether hardly anything was said from 1 s before to 1 s after."""
        if self._voice is None:
            return False
        start, end = (
            gesture.start_seconds - LISTENING_SECONDS,
            gesture.end_seconds + LISTENING_SECONDS,
        )
        if end > self._until_seconds:
            return False  # not known yet; a later window will see it whole
        frames = self._voice.frames.between(max(0.0, start), end)
        return bool(
            frames.present.mean() > _MIN_SOUND_SHARE
            and frames.speech.sum() * FRAME_SECONDS <= VOCALISATION_SECONDS
            and not any(_is_near(item, gesture) for item in self._phrases)
        )


def _is_near(phrase: Phrase, gesture: Gesture) -> bool:
    """Whether speech that is more than a short vocalisation lies around a gesture."""
    return (
        phrase.seconds > VOCALISATION_SECONDS
        and phrase.start_seconds < gesture.end_seconds + LISTENING_SECONDS
        and phrase.end_seconds > gesture.start_seconds - LISTENING_SECONDS
    )


def _is_other_sound(frames: Frames) -> bool:
    """Whether much of what is loud is not speech."""
    loud = int(frames.loud.sum())
    other = int((frames.loud & ~frames.speech).sum())
    return loud * FRAME_SECONDS >= _MIN_LOUD_SECONDS and other > _MAX_OTHER_SHARE * loud


def _find_pauses(phrases: Sequence[Phrase], events: Events, start_seconds: float) -> list[Pause]:
    """Those that begin in the window and have ended."""
    pauses: list[Pause] = []
    durations: list[float] = []
    for before, after in pairwise(phrases):
        seconds = after.start_seconds - before.end_seconds
        gaps = any(before.end_seconds <= at <= after.start_seconds for at in events.breaks)
        if seconds > MAX_PAUSE_SECONDS or gaps:
            continue
        if before.end_seconds >= start_seconds:
            is_long = seconds >= _long_pause_limit(durations, before)
            pauses.append(Pause(before.end_seconds, after.start_seconds, is_long))
        durations = [*durations[-_KEPT_PAUSES:], seconds]
    return pauses


def _long_pause_limit(durations: Sequence[float], before: Phrase) -> float:
    """From how many seconds on a pause is more than this speaker's usual one."""
    least, with_few, after_fall = _PAUSE_LIMITS_SECONDS
    limit = with_few
    if len(durations) >= _MIN_USUAL_PAUSES:
        limit = max(least, _OVER_USUAL * float(np.median(durations)))
    if before.ending_semitones <= -FINAL_FALL_SEMITONES:
        limit = max(limit, after_fall)
    return limit


def _count_fillers(events: Events, phrases: Sequence[Phrase], until_seconds: float) -> int:
    """Held sounds at the edge of a phrase that is more than a vocalisation, or beside one."""
    edges = [
        edge
        for item in phrases
        for edge in (item.start_seconds, item.end_seconds)
        if edge < until_seconds  # what goes on has no end yet
        if item.seconds > VOCALISATION_SECONDS or _is_near_others(item, phrases)
    ]
    return sum(
        item.known_seconds <= until_seconds
        and any(
            abs(edge - at) <= _EDGE_SECONDS
            for edge in edges
            for at in (item.start_seconds, item.end_seconds)
        )
        for item in events.fillers
    )


def _is_near_others(phrase: Phrase, phrases: Sequence[Phrase]) -> bool:
    return any(
        item is not phrase
        and max(item.start_seconds - phrase.end_seconds, phrase.start_seconds - item.end_seconds)
        < MAX_PAUSE_SECONDS / 2
        for item in phrases
    )


def _is_alone(phrase: Phrase, phrases: Sequence[Phrase], until_seconds: float) -> bool:
    """Whether it is short, with a second of silence on both sides."""
    start, end = phrase.start_seconds - _ALONE_SECONDS, phrase.end_seconds + _ALONE_SECONDS
    return (
        phrase.seconds <= VOCALISATION_SECONDS
        and end <= until_seconds
        and not any(
            item is not phrase and item.start_seconds < end and item.end_seconds > start
            for item in phrases
        )
    )
