"""What was observed in a file, in the shapes of the three API versions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ih_mcp.standin.analysis.analyst import Observation, Observations
from ih_mcp.standin.analysis.quality import Quality
from ih_mcp.standin.analysis.signal_messages import SignalMessages
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.wire.dialects import PROBABILITIES, Dialect
from ih_mcp.wire.spans import Lifecycle

from .files import FileAnalysis

Json = dict[str, object]

_OVERALL, _TIMELINE = "conversation_quality_overall", "conversation_quality_timeline"


def make_v0_segment(
    seen: FileAnalysis,
    *,
    quality: Quality,
    include: Sequence[str],
    base_seconds: float,
    signals: Sequence[str],
) -> Json:
    """The fields of a v0 `result`. docs: stream-analyze (late v0); asyncapi 2026-05-07.

    Args:
        quality: Of the session so far; this segment is added to it.
        base_seconds: Where the segment begins.
    """
    start, end = round(base_seconds, 3), round(base_seconds + seen.duration_seconds, 3)
    observations = seen.windows[-1][1] if seen.windows else Observations()
    found = _select_published(observations, signals)
    result: Json = {
        "signals": [_signal(item, start, end) for item in found],
        "engagement_state": [
            {"state": observations.engagement or "neutral", "start": start, "end": end}
        ],
    }
    scores = quality.window(end, found, observations.engagement) or quality.finish(min_seconds=0.0)
    # openapi 2026-05-07: present only when asked for and at least one signal was detected
    if scores is not None and found and (asked := _sections(scores, include)):
        result["conversation_quality"] = asked
    return result


def make_v0_upload(seen: FileAnalysis, dialect: Dialect) -> Json:
    """The answer of a v0 upload: signals, and nothing else. docs: v0."""
    result = make_v1_upload(seen, dialect, include=(), goals=(), has_context=False)
    signals = result["signals"]
    assert isinstance(signals, list)
    return {
        "signals": [{k: v for k, v in item.items() if k != "modality"} for item in signals],
    }


def make_v1_upload(
    seen: FileAnalysis,
    dialect: Dialect,
    *,
    include: Sequence[str],
    goals: Sequence[str],
    has_context: bool,
) -> Json:
    """The answer of a v1 upload. docs: upload-analyze; openapi 2026-05-07; sdk 1.3.4."""
    lives, quality = Lifecycle(), Quality()
    emission = SignalMessages(dialect)
    modalities: dict[str, Sequence[str]] = {}
    for window, observations in seen.windows:
        found = _select_published(observations, dialect.signals)
        modalities |= {item.signal_type: item.modality for item in found}
        for message in emission.window(
            round(window.start_seconds, 3),
            round(window.end_seconds, 3),
            found,
            engagement=observations.engagement,
            quality=quality.window(window.end_seconds, found, observations.engagement),
        ):
            lives.receive(message)
    for message in emission.finish(seen.duration_seconds):
        lives.receive(message)
    lives.close(seen.duration_seconds)
    result: Json = {
        "signals": [
            {
                "type": span.signal_type,
                "start": span.start_seconds,
                "end": span.end_seconds,
                "probability": span.probability,
                "rationale": span.rationale,
                "modality": list(modalities[span.signal_type]),
            }
            for span in lives.spans
        ],
        "engagement_state": [
            {"state": item.state, "start": item.start_seconds, "end": item.end_seconds}
            for item in lives.engagement
        ],
    }
    if goals or has_context:
        result["feedback"] = _feedback(lives, goals)
    if include and lives.spans:
        rest = quality.finish(min_seconds=0.001)
        result["conversation_quality"] = _v1_quality(lives, rest, include)
    return result


def make_v2_upload(
    seen: FileAnalysis, *, window_seconds: float, include: Sequence[str], signals: Sequence[str]
) -> Json:
    """The `result` of a v2 job. skill: v2 upload; sdk 1.3.4."""
    windows = [_v2_window(window, found, signals) for window, found in seen.windows]
    result: Json = {
        "duration_seconds": seen.duration_seconds,
        "window_seconds": window_seconds,
        "windows": windows,
    }
    if "signals" in include:
        result["signals"] = _merge_adjacent(windows)
    quality = Quality()
    scores: Mapping[str, object] | None = None
    timeline: list[object] = []
    for window, found in seen.windows:
        published = _select_published(found, signals)
        closed = quality.window(window.end_seconds, published, found.engagement)
        scores, timeline = closed or scores, timeline + _entries(closed)
    rest = quality.finish(min_seconds=0.001)
    scores, timeline = rest or scores, timeline + _entries(rest)
    if scores is not None and (asked := _sections({**scores, "timeline": timeline}, include)):
        result["conversation_quality"] = asked
    return result


def _v2_window(window: Window, observations: Observations, signals: Sequence[str]) -> Json:
    start, end = round(window.start_seconds, 3), round(window.end_seconds, 3)
    return {
        "index": window.index,
        "start_seconds": start,
        "end_seconds": end,
        "engagement_status": observations.engagement or "neutral",
        "signals": [_signal(item, start, end) for item in _select_published(observations, signals)],
    }


def _merge_adjacent(windows: Sequence[Json]) -> list[Json]:
    """Same type in adjacent windows is one span with the highest probability (sdk 1.3.4)."""
    merged: list[Json] = []
    for window in windows:
        found = window["signals"]
        assert isinstance(found, list)
        for item in found:
            before = next(
                (m for m in merged if m["type"] == item["type"] and m["end"] == item["start"]), None
            )
            if before is None:
                merged.append(dict(item))
                continue
            if _rank(item) > _rank(before):
                before.update(probability=item["probability"], rationale=item["rationale"])
            before["end"] = item["end"]
    return merged


def _rank(item: Json) -> int:
    return PROBABILITIES.index(str(item["probability"]))


def _select_published(observations: Observations, signals: Sequence[str]) -> list[Observation]:
    return [item for item in observations.signals if item.signal_type in signals]


def _signal(item: Observation, start: float, end: float) -> Json:
    return {
        "type": item.signal_type,
        "start": start,
        "end": end,
        "probability": item.probability,
        "rationale": item.rationale,
    }


def _feedback(lives: Lifecycle, goals: Sequence[str]) -> Json:
    if not lives.spans:
        return {"type": "no_feedback", "reason": "[ih-mcp stand-in] Nothing was detected."}
    return {
        "type": "feedback",
        "message": "[ih-mcp stand-in: no AI model] A note on the interaction would stand here.",
        "active_dimensions": list(goals),
        "primary_signal": lives.spans[0].signal_type,
    }


def _v1_quality(
    lives: Lifecycle, rest: Mapping[str, object] | None, include: Sequence[str]
) -> Json:
    """Both sections always stand there: openapi 2026-05-07 and sdk 1.3.4 require `overall`."""
    timeline = [*(period.fields for period in lives.quality_timeline), *_entries(rest)]
    overall = rest["overall"] if rest else lives.quality_overall
    return {"overall": overall, "timeline": timeline if _TIMELINE in include else []}


def _entries(scores: Mapping[str, object] | None) -> list[object]:
    timeline = scores["timeline"] if scores else []
    assert isinstance(timeline, list)
    return list(timeline)


def _sections(scores: Mapping[str, object], include: Sequence[str]) -> Json:
    named = ((_OVERALL, "overall"), (_TIMELINE, "timeline"))
    return {section: scores[section] for flag, section in named if flag in include}
