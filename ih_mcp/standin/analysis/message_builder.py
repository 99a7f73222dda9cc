"""Makes the messages of a session from what was observed in each window. Pure.

For each window: first the media before it that was not analysed, then signals, engagement,
quality and feedback. Windows come in order. Only media that was analysed and delivered is billed,
each second once (docs: launch blog; sdk 1.3.4: dropped seconds are not billed, degraded ones are).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import Config, Reading
from ih_mcp.wire.ranges import Ranges
from ih_mcp.wire.spans import MediaRange

from .analyst import Observations
from .quality import Quality
from .signal_messages import SignalMessages
from .windows import Window

_SECTIONS = {  # of `include`: the field of the message
    "conversation_quality_overall": "overall",
    "conversation_quality_timeline": "timeline",
}


class MessageBuilder:
    """The messages of one session, made as its windows are done.

    Args:
        min_window_seconds: The shortest last period that gets a quality score.
    """

    def __init__(self, dialect: Dialect, *, min_window_seconds: float) -> None:
        self._min_window_seconds = min_window_seconds
        self._emission = SignalMessages(dialect)
        self._quality = Quality()
        self._covered_seconds = 0.0
        """Up to here, all media that was not analysed has been reported as dropped."""
        self.billed = Ranges()
        self.dropped = Ranges()

    def window(
        self,
        window: Window,
        observations: Observations,
        *,
        present: Ranges,
        degraded: Ranges,
        config: Config,
        published: Sequence[str],
    ) -> list[Reading]:
        """The messages for a window that was analysed.

        Args:
            published: The signal types this session can report; others are left out.
            present: Where in the window there was media.
            degraded: Where in it the picture was missing.
        """
        begins = next(iter(present)).start_seconds if list(present) else window.start_seconds
        messages = self._report_dropped(begins)
        for item in present:
            self.billed.add(item.start_seconds, item.end_seconds)
        if list(degraded):
            messages.append(_make_coverage("coverage.degraded", degraded, reason="video_gap"))
        return messages + self._window_messages(window, observations, config, published)

    def finish(self, end_seconds: float, *, config: Config) -> list[Reading]:
        """The last messages, when the media has ended."""
        return self._report_dropped(end_seconds) + self._closing_messages(end_seconds, config)

    def _window_messages(
        self,
        window: Window,
        observations: Observations,
        config: Config,
        published: Sequence[str],
    ) -> list[Reading]:
        signals = [s for s in observations.signals if s.signal_type in published]
        scores = self._quality.window(window.end_seconds, signals, observations.engagement)
        messages = self._emission.window(
            round_seconds(window.start_seconds),
            round_seconds(window.end_seconds),
            signals,
            engagement=observations.engagement,
            quality=_select_sections(scores, config),
        )
        return messages + self._feedback(scores, config)

    def _closing_messages(self, end_seconds: float, config: Config) -> list[Reading]:
        scores = self._quality.finish(min_seconds=self._min_window_seconds)
        messages = self._emission.finish(round_seconds(end_seconds))
        if asked := _select_sections(scores, config):
            messages.append(Reading("conversation_quality.updated", asked))
        return messages + self._feedback(scores, config)

    def _report_dropped(self, until_seconds: float) -> list[Reading]:
        missing = Ranges(
            item
            for item in self.billed.missing(self._covered_seconds, until_seconds)
            if round_seconds(item.start_seconds) < round_seconds(item.end_seconds)
        )
        self._covered_seconds = max(self._covered_seconds, until_seconds)
        for item in missing:
            self.dropped.add(item.start_seconds, item.end_seconds)
        return [_make_coverage("coverage.dropped", missing)] if list(missing) else []

    def _feedback(self, scores: Mapping[str, object] | None, config: Config) -> list[Reading]:
        """With each period of quality, where goals are set (chosen; no source says when)."""
        if scores is None or not config.goal_dimensions:
            return []
        goals = ", ".join(config.goal_dimensions)
        return [
            Reading(
                "feedback.generated",
                {"feedback": f"[ih-mcp stand-in: no AI model] A note on {goals} would stand here."},
            )
        ]


def _select_sections(
    scores: Mapping[str, object] | None, config: Config
) -> dict[str, object] | None:
    sections = [_SECTIONS[name] for name in config.include or () if name in _SECTIONS]
    if scores is None or not sections:
        return None
    return {name: scores[name] for name in ("overall", "timeline") if name in sections}


def _make_coverage(kind: str, ranges: Ranges, **fields: object) -> Reading:
    return Reading(kind, {"ranges": _spans(ranges), **fields})


def _spans(ranges: Ranges) -> Sequence[Mapping[str, float]]:
    return [_span(item) for item in ranges]


def _span(item: MediaRange) -> Mapping[str, float]:
    return {"start": round_seconds(item.start_seconds), "end": round_seconds(item.end_seconds)}


def round_seconds(seconds: float) -> float:
    """The time in milliseconds, which is exact enough for a reader."""
    return round(seconds, 3)
