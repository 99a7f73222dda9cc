"""Phrases, pauses, syllables and fillers, found as frames of sound come in.

Each event keeps when it became known, so that what a window sees never depends on what was
already fed beyond its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan

import numpy as np

from .series import FRAME_SECONDS, SILENCE_DB, Floats, Frames

PAUSE_SECONDS = 0.25  # de Jong and Wempe 2009; shorter gaps belong to articulation
MIN_PHRASE_SECONDS = 0.06  # chosen: a shorter one is a click
_DIP_DB = 2.0  # de Jong and Wempe 2009
_MIN_VOICED_FRAMES = 3
_MIN_FILLER_SECONDS = 0.25  # after Goto et al. 1999, limits chosen on known sounds and real clips
_FLAT_SEMITONES = 1.0
_STABLE_DB = 1.6
_ENDING_SECONDS = 0.25
_ENDING_REACH_SECONDS = 0.45
_MIN_ENDING_FRAMES = 12


@dataclass(frozen=True, slots=True)
class Phrase:
    """Speech without a pause in it."""

    start_seconds: float
    end_seconds: float
    ending_semitones: float
    """How far the pitch moved in its last voiced quarter of a second; NaN if unknown."""

    @property
    def seconds(self) -> float:
        return self.end_seconds - self.start_seconds

    @property
    def known_seconds(self) -> float:
        """When it could be known that it ended here."""
        return self.end_seconds + PAUSE_SECONDS


@dataclass(frozen=True, slots=True)
class Syllable:
    time_seconds: float
    known_seconds: float


@dataclass(frozen=True, slots=True)
class Filler:
    """A flat, unchanging voiced sound: "uh", "um", or a long vowel."""

    start_seconds: float
    end_seconds: float
    known_seconds: float


@dataclass(slots=True)
class _HeldSound:
    """A voiced sound that has not changed so far."""

    start: int
    pitch: list[float]
    bands: Floats


@dataclass(slots=True)
class Events:
    """What was found, in order of time. Feed `add_frames` with frames, in order, each once."""

    phrases: list[Phrase] = field(default_factory=list)
    syllables: deque[Syllable] = field(default_factory=deque)
    fillers: deque[Filler] = field(default_factory=deque)
    breaks: deque[float] = field(default_factory=deque)
    """Where sound was missing."""
    open_start: int | None = None
    """The first frame of the phrase that has not ended."""
    _last_speech: int = 0
    _endings: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=60))
    _peak_db: float | None = None
    _peak: int = 0
    _voiced: int = 0
    _dip_db: float = SILENCE_DB
    _held: _HeldSound | None = None

    def add_frames(self, frames: Frames, bands: Floats) -> None:
        """Take the next frames.

        Args:
            bands: How each sounds; see `pitch.bands`.
        """
        rows = zip(
            frames.level.tolist(),
            frames.pitch.tolist(),
            frames.speech.tolist(),
            frames.present.tolist(),
            strict=True,
        )
        for offset, (level, pitch, is_speech, is_present) in enumerate(rows):
            frame = frames.first + offset
            if not is_present:
                self.interrupt(frame)
            voiced = is_speech and not isnan(pitch)
            self._phrase(frame, pitch, is_speech=is_speech)
            self._syllable(frame, level, is_speech=is_speech, is_voiced=voiced)
            self._hold(frame, pitch if voiced else None, bands[offset])

    def interrupt(self, frame: int) -> None:
        """Sound is missing here: what lies around it does not belong together."""
        at = frame * FRAME_SECONDS
        if not self.breaks or at - self.breaks[-1] > PAUSE_SECONDS:
            self.breaks.append(at)

    def forget(self, before_seconds: float) -> None:
        """Forget small events. Phrases stay, because they hold the habits of the speaker."""
        for kept in (self.syllables, self.fillers):
            while kept and kept[0].known_seconds < before_seconds:
                kept.popleft()
        while len(self.phrases) > _MAX_PHRASES:
            self.phrases.pop(0)

    def _phrase(self, frame: int, pitch: float, *, is_speech: bool) -> None:
        if is_speech:
            if self.open_start is None:
                self.open_start = frame
            self._last_speech = frame
            if not isnan(pitch):
                self._endings.append((frame, pitch))
            return
        silence = (frame - self._last_speech) * FRAME_SECONDS
        if self.open_start is not None and silence >= PAUSE_SECONDS:
            self._close()

    def _close(self) -> None:
        assert self.open_start is not None
        start, end = self.open_start, self._last_speech + 1
        if (end - start) * FRAME_SECONDS >= MIN_PHRASE_SECONDS:
            ending = _ending([item for item in self._endings if item[0] >= start], end)
            self.phrases.append(Phrase(_seconds(start), _seconds(end), ending))
        self.open_start = None

    def _syllable(self, frame: int, level: float, *, is_speech: bool, is_voiced: bool) -> None:
        """A peak of loudness between dips of 2 dB, with voice in it."""
        if not is_speech:
            self._count(frame)
            self._dip_db = SILENCE_DB
            return
        if self._peak_db is None:
            self._dip_db = min(self._dip_db, level)
            if level >= self._dip_db + _DIP_DB:
                self._peak_db, self._peak, self._voiced = level, frame, 0
        elif level > self._peak_db:
            self._peak_db, self._peak = level, frame
        elif level <= self._peak_db - _DIP_DB:
            self._count(frame)
            self._dip_db = level
        self._voiced += is_voiced

    def _count(self, frame: int) -> None:
        if self._peak_db is not None and self._voiced >= _MIN_VOICED_FRAMES:
            self.syllables.append(Syllable(_seconds(self._peak), _seconds(frame)))
        self._peak_db = None

    def _hold(self, frame: int, pitch: float | None, bands: Floats) -> None:
        if self._held is not None and (pitch is None or self._changes(pitch, bands)):
            self._end_held(frame)
        if pitch is None:
            return
        if self._held is None:
            self._held = _HeldSound(frame, [], bands)
        self._held.pitch.append(pitch)
        self._held.bands = 0.8 * self._held.bands + 0.2 * bands

    def _changes(self, pitch: float, bands: Floats) -> bool:
        assert self._held is not None
        low, high = min(self._held.pitch), max(self._held.pitch)
        is_flat = max(high, pitch) - min(low, pitch) <= _FLAT_SEMITONES
        return not is_flat or float(np.abs(bands - self._held.bands).mean()) > _STABLE_DB

    def _end_held(self, frame: int) -> None:
        assert self._held is not None
        start, self._held = self._held.start, None
        if (frame - start) * FRAME_SECONDS >= _MIN_FILLER_SECONDS:
            self.fillers.append(Filler(_seconds(start), _seconds(frame), _seconds(frame)))


_MAX_PHRASES = 400


def _seconds(frame: int) -> float:
    return round(frame * FRAME_SECONDS, 2)


def _ending(voiced: Sequence[tuple[int, float]], end: int) -> float:
    """The straight line through the last quarter of a second, from its start to its end."""
    reach = [item for item in voiced if (end - item[0]) * FRAME_SECONDS <= _ENDING_REACH_SECONDS]
    last = reach[-round(_ENDING_SECONDS / FRAME_SECONDS) :]
    if len(last) < _MIN_ENDING_FRAMES:
        return float("nan")
    times, pitch = np.array(last).T
    slope = np.polyfit(times - times[0], pitch, 1)[0]
    return float(slope * _ENDING_SECONDS / FRAME_SECONDS)
