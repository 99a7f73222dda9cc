"""The server side of one realtime session: analyses to choose from, transcripts, recommendations.

All of it: sdk 1.3.4, `realtime`, which still has the endpoint; the documentation no longer names
it. Nothing here recognises words or gives advice: both texts say that they are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ih_mcp.standin.analysis.analyst import Observation, Observations
from ih_mcp.standin.analysis.message_builder import MessageBuilder, round_seconds
from ih_mcp.standin.analysis.signal_messages import PresentSignal
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.credential_store import RefusedError
from ih_mcp.wire.dialects import Coaching, Dialect
from ih_mcp.wire.messages import Config, Reading

from .envelope_session import EnvelopeSession
from .setup import SessionSetup, select_known

NO_GUIDANCE = "NO_GUIDANCE"  # sdk 1.3.4: there is nothing to say
_WORDS = "[ih-mcp stand-in: no speech recognition] What was said would stand here."
_HEARD, _SEEN = "audio", "visual"
_DEFAULT_FREQUENCY = "medium"  # chosen: not published
_SEEN_INSTEAD = {"frustration": "tension"}  # sdk 1.0.0: the same state, seen instead of heard


class RealtimeSession(EnvelopeSession):
    """One realtime session."""

    _builder: RealtimeMessageBuilder

    def _first_setup(self) -> RealtimeSetup:
        coaching = _coaching(self._call.dialect)
        return RealtimeSetup(
            dialect=self._call.dialect,
            served=(),
            has_feedback=True,
            config=Config(analysis_groups=coaching.groups),
        )

    def _make_builder(self) -> RealtimeMessageBuilder:
        least = self._options.min_window_seconds
        return RealtimeMessageBuilder(self._call.dialect, min_window_seconds=least)

    def _config(self) -> Config:
        """The configuration, without the analysis of sound if there is none."""
        config = self._setup.config
        if self._analysis.timeline.sounds.end_seconds is not None:
            return config
        groups = tuple(name for name in config.analysis_groups or () if name != _HEARD)
        return replace(config, analysis_groups=groups)

    def _missing_track(self) -> str | None:
        """A missing picture stops the analysis until `visual` is left out (sdk 1.3.4)."""
        lacks_picture = self._analysis.timeline.pictures.end_seconds is None
        return "ih5001" if lacks_picture and not self._setup.hears_only else None

    def _receive_transcript(self, segments: Sequence[Mapping[str, object]]) -> None:
        self._builder.transcript = segments


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSetup(SessionSetup):
    """The configuration of a realtime session."""

    @property
    def hears_only(self) -> bool:
        return _SEEN not in (self.config.analysis_groups or ())

    @property
    def signals(self) -> tuple[str, ...]:
        return self.dialect.signals

    @property
    def acknowledged(self) -> Config:
        """Goals are not acknowledged (sdk 1.3.4)."""
        return replace(self.config, goal_dimensions=None)

    def with_config(self, asked: Config, *, has_media: bool) -> RealtimeSetup:
        """With the configuration a client asks for; it may change at any time.

        Raises:
            RefusedError: `ih6001`, and the old configuration holds.
        """
        del has_media
        coaching, groups = _coaching(self.dialect), asked.analysis_groups
        often = asked.realtime_recommendation_frequency
        if groups is not None and not (groups and set(groups) <= set(coaching.groups)):
            raise _not_one_of("analysis_groups", coaching.groups)
        if often is not None and often not in coaching.frequencies:
            raise _not_one_of("realtime_recommendation_frequency", coaching.frequencies)
        config = Config(
            goal_dimensions=select_known(asked.goal_dimensions, self.dialect.goal_dimensions),
            analysis_groups=coaching.groups
            if groups is None
            else select_known(groups, coaching.groups),
            realtime_recommendation_frequency=often,
            realtime_recommendation_instructions=asked.realtime_recommendation_instructions,
        )
        return replace(self, config=config)


class RealtimeMessageBuilder(MessageBuilder):
    """The messages of a realtime session: no engagement, no quality."""

    def __init__(self, dialect: Dialect, *, min_window_seconds: float) -> None:
        super().__init__(dialect, min_window_seconds=min_window_seconds)
        self._frequencies = _coaching(dialect).frequencies
        self._transcribed_seconds = 0.0
        self._advised_seconds = 0.0
        self._is_eventful = False
        self.transcript: Sequence[Mapping[str, object]] = ()
        """The latest transcript that the client sent."""

    def _window_messages(
        self,
        window: Window,
        observations: Observations,
        config: Config,
        published: Sequence[str],
    ) -> list[Reading]:
        groups = config.analysis_groups or ()
        seen = [
            item
            for observation in observations.signals
            for item in _by_group(observation, groups)
            if item.signal_type in published
        ]
        self._is_eventful |= bool(seen)
        start, end = round_seconds(window.start_seconds), round_seconds(window.end_seconds)
        messages = self._emission.window(start, end, seen)
        if _HEARD in groups:
            messages.append(self._transcribe(window))
        return messages + self._advise(window.end_seconds, config)

    def _closing_messages(self, end_seconds: float, config: Config) -> list[Reading]:
        del config  # a last period that is not over gets no advice (chosen)
        return self._emission.finish(round_seconds(end_seconds))

    def _transcribe(self, window: Window) -> Reading:
        start = max(window.start_seconds, self._transcribed_seconds)
        self._transcribed_seconds = window.end_seconds
        times = {"start": round_seconds(start), "end": round_seconds(window.end_seconds)}
        return Reading("transcript.generated", {**times, "text": _WORDS, "speaker": 0})

    def _advise(self, end_seconds: float, config: Config) -> list[Reading]:
        """A recommendation where one is due, and asked for by instructions or goals."""
        often = config.realtime_recommendation_frequency or _DEFAULT_FREQUENCY
        start = self._advised_seconds
        if end_seconds - start < self._frequencies[often]:
            return []
        text = self._advice(config)
        self._advised_seconds, self._is_eventful = end_seconds, False
        if text is None:
            return []
        times = {"start": round_seconds(start), "end": round_seconds(end_seconds)}
        return [Reading("realtime_recommendation.generated", {"text": text, **times})]

    def _advice(self, config: Config) -> str | None:
        if not (config.realtime_recommendation_instructions or config.goal_dimensions):
            return None
        if not self._is_eventful:
            return NO_GUIDANCE
        return (
            "[ih-mcp stand-in: no AI model] Guidance would stand here, with "
            f"{len(self.transcript)} segments of your transcript in mind."
        )


def _by_group(item: Observation, groups: Sequence[str]) -> list[PresentSignal]:
    """What a signal is called by each analysis that reports it.

    One of the voice belongs to `audio`; any other stands on the recording as a whole, and so on
    the analyses in use.
    """
    reporting = [name for name in groups if name == _HEARD or item.modality != (_HEARD,)]
    if _SEEN in reporting and (name := _SEEN_INSTEAD.get(item.signal_type)):
        seen = replace(item, signal_type=name, modality=(_SEEN,))
        heard = [replace(item, modality=(_HEARD,))] if _HEARD in reporting else []
        return [*heard, seen]
    return [replace(item, modality=tuple(reporting))] if reporting else []


def _coaching(dialect: Dialect) -> Coaching:
    assert dialect.coaching is not None
    return dialect.coaching


def _not_one_of(name: str, values: Iterable[str]) -> RefusedError:
    return RefusedError("ih6001", f"{name} takes {' and '.join(values)}.")
