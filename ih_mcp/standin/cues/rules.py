"""From what was measured to signals: a rule for each row of `table`.

A rule counts how many independent kinds of cue agree; the row's cap bounds what may be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ih_mcp.standin.analysis.analyst import Observation

from .findings import PROBABILITIES, Finding, Part, rationale
from .gestures import Gesture
from .measures import HeadMeasures, Measures, VoiceMeasures
from .table import Row

_LONG_SECONDS = 2.0
_FLUENT_SECONDS = 4.0
_FLUENT_PAUSE_SECONDS = 0.6
_ENOUGH_CYCLES = 3.0
_TOGETHER_SECONDS = 1.5
_MOVES = 0.01
_LIVELY_SEMITONES = (5.0, 18.0)
_ABSENT_SHARES = (0.5, 0.7, 0.9)
_QUIET_SHARES = (0.15, 0.15, 0.05)

Judge = Callable[[Measures], Finding | None]


def observations(measures: Measures, rows: Sequence[Row]) -> list[Observation]:
    """The signals of a window."""
    return [
        Observation(
            signal_type=row.signal,
            probability=finding.probability(row.cap),
            rationale=rationale(finding, measures),
            modality=row.modality,
            evidence=finding.evidence,
            start_seconds=finding.start_seconds,
            end_seconds=finding.end_seconds,
        )
        for row in rows
        if (finding := JUDGES[row.signal](measures)) is not None
    ]


def engagement(
    measures: Measures, seen: Sequence[Observation], *, was_disengaged: bool
) -> str | None:
    """The state of engagement; None before a face or a voice was ever met.

    Args:
        was_disengaged: Whether `is_disengaged` held in the window before.
    """
    if not measures.is_acquainted:
        return None
    clear = _clear(seen)
    if clear & {"engagement", "agreement"}:
        return "engaged"
    return "disengaged" if "disengagement" in clear and was_disengaged else "neutral"


def is_disengaged(seen: Sequence[Observation]) -> bool:
    """Whether a window speaks for disengagement; two in a row make the state."""
    return "disengagement" in _clear(seen)


def _clear(seen: Sequence[Observation]) -> set[str]:
    return {item.signal_type for item in seen if item.probability != PROBABILITIES[0]}


# --- voice ---------------------------------------------------------------------------------------


def _hesitation(measures: Measures) -> Finding | None:
    if (voice := measures.voice) is None:
        return None
    pauses = voice.long_pauses
    slow = _slower(voice)
    if not pauses and not voice.fillers:
        return None
    longest = max((pause.seconds for pause in pauses), default=0.0)
    kinds = 0
    if pauses:
        kinds += 2 if len(pauses) > 1 or longest >= _LONG_SECONDS else 1
    kinds += bool(voice.fillers) + bool(slow)
    parts = [*_said_pauses(len(pauses), longest), *_said_fillers(voice.fillers), *slow]
    only_pauses = not voice.fillers and not slow
    return Finding(kinds=kinds, parts=tuple(parts), cap="low" if only_pauses else "high")


def _said_pauses(pauses: int, longest: float) -> list[Part]:
    figures = {"silent_pauses": float(pauses), "longest_pause_seconds": longest}
    if not pauses:
        return []
    if pauses == 1:
        return [Part("a silent pause of {longest_pause_seconds:.1f} s inside speech", figures)]
    words = (
        "{silent_pauses:.0f} silent pauses inside speech (longest {longest_pause_seconds:.1f} s)"
    )
    return [Part(words, figures)]


def _said_fillers(fillers: int) -> list[Part]:
    if not fillers:
        return []
    words = "held flat sounds beside pauses: {filler_candidates:.0f}"
    return [Part(words, {"filler_candidates": float(fillers)})]


def _slower(voice: VoiceMeasures) -> list[Part]:
    if voice.usual is None:
        return []
    rate, usual = voice.syllables_per_second, voice.usual.syllables_per_second
    if usual.deviations(rate) > -2 or usual.over(rate) > -0.6:
        return []
    return [_said_rate("slower", rate, usual.median)]


def _said_rate(how: str, rate: float, usual: float) -> Part:
    words = (
        f"{how} speech ({{syllables_per_second:.1f}} syllables a second, "
        f"{{usual_syllables_per_second:.1f}} before)"
    )
    return Part(words, {"syllables_per_second": rate, "usual_syllables_per_second": usual})


def _confidence(measures: Measures) -> Finding | None:
    voice = measures.voice
    if voice is None or voice.usual is None or not _is_fluent(voice):
        return None
    if voice.usual.pitch_semitones.deviations(voice.pitch_semitones) > 1.5:
        return None
    stronger = [*_louder(voice), *_faster(voice)]
    if not stronger:
        return None
    words = "{speech_seconds:.1f} s of speech without long pauses or held sounds"
    fluent = Part(words, {"speech_seconds": voice.speech_seconds})
    return Finding(kinds=len(stronger), parts=(fluent, *stronger))


def _is_fluent(voice: VoiceMeasures) -> bool:
    return (
        voice.speech_seconds >= _FLUENT_SECONDS
        and not any(pause.seconds >= _FLUENT_PAUSE_SECONDS for pause in voice.pauses)
        and not voice.fillers
        and not voice.rises
    )


def _louder(voice: VoiceMeasures) -> list[Part]:
    assert voice.usual is not None
    usual = voice.usual.level_db
    over = usual.over(voice.level_db)
    if over < 2 or usual.deviations(voice.level_db) < 1.5:
        return []
    return [Part("{louder_db:.1f} dB louder than before", {"louder_db": over})]


def _faster(voice: VoiceMeasures) -> list[Part]:
    assert voice.usual is not None
    rate, usual = voice.syllables_per_second, voice.usual.syllables_per_second
    if usual.deviations(rate) < 1.5 or usual.over(rate) < 0.4:
        return []
    return [_said_rate("faster", rate, usual.median)]


def _uncertainty(measures: Measures) -> Finding | None:
    voice, hesitation = measures.voice, _hesitation(measures)
    if voice is None or hesitation is None or hesitation.probability("high") == "low":
        return None
    if voice.rises >= 2:
        rises = Part("{rising_endings:.0f} rising endings", {"rising_endings": float(voice.rises)})
        return Finding(kinds=1, parts=(*hesitation.parts, rises))
    usual = voice.usual
    if usual is None or usual.pitch_semitones.deviations(voice.pitch_semitones) < 1.5:
        return None
    if usual.level_db.over(voice.level_db) > -1:
        return None
    return Finding(kinds=1, parts=(*hesitation.parts, _said_pitch(voice)))


def _said_pitch(voice: VoiceMeasures) -> Part:
    assert voice.usual is not None
    over = voice.usual.pitch_semitones.over(voice.pitch_semitones)
    return Part("pitch {pitch_over_semitones:.1f} semitones above", {"pitch_over_semitones": over})


def _stress(measures: Measures) -> Finding | None:
    voice = measures.voice
    if voice is None or voice.usual is None or not voice.speech_seconds:
        return None
    usual = voice.usual
    pitch, rate = usual.pitch_semitones, usual.syllables_per_second
    is_raised = pitch.over(voice.pitch_semitones) > 2
    is_raised &= pitch.deviations(voice.pitch_semitones) > 2.5
    is_fast = rate.deviations(voice.syllables_per_second) > 1
    is_loud = usual.level_db.over(voice.level_db) >= 3
    if not is_raised or not is_fast or is_loud:
        return None
    faster = _said_rate("faster", voice.syllables_per_second, rate.median)
    return Finding(kinds=1, parts=(_said_pitch(voice), faster))


# --- head ----------------------------------------------------------------------------------------


def _agreement(measures: Measures) -> Finding | None:
    if (head := measures.head) is None or not head.nods:
        return None
    vocal = _together(head.nods, measures.voice)
    return _gestured(head.nods, "nod-like", "vertical", "high" if vocal else "medium", vocal)


def _disagreement(measures: Measures) -> Finding | None:
    if (head := measures.head) is None or not head.shakes:
        return None
    return _gestured(head.shakes, "shake-like", "sideways", "medium", [])


def _gestured(
    found: Sequence[Gesture], like: str, way: str, cap: str, vocal: list[Part]
) -> Finding:
    longest = max(found, key=lambda gesture: gesture.cycles)
    several = len(found) > 1 or longest.cycles >= _ENOUGH_CYCLES
    words = (
        f"{{gestures:.0f}} {like} head movement{'s' if len(found) > 1 else ''} "
        f"({{cycles:.1f}} {way} cycles, {{size_percent:.0f}}% of face height, "
        f"{{cycles_per_second:.1f}} Hz) while not speaking"
    )
    figures = {
        "gestures": float(len(found)),
        "cycles": longest.cycles,
        "size_percent": 100 * longest.size,
        "cycles_per_second": longest.hertz,
    }
    return Finding(
        kinds=1 + several + bool(vocal),
        parts=(Part(words, figures), *vocal),
        cap=cap,
        start_seconds=min(gesture.start_seconds for gesture in found),
        end_seconds=max(gesture.end_seconds for gesture in found),
    )


def _together(nods: Sequence[Gesture], voice: VoiceMeasures | None) -> list[Part]:
    """A short vocalisation near a nod."""
    for item in voice.vocalisations if voice else ():
        for nod in nods:
            apart = max(item.start_seconds - nod.end_seconds, nod.start_seconds - item.end_seconds)
            if apart <= _TOGETHER_SECONDS:
                words = "with a short vocalisation ({vocalisation_seconds:.2f} s)"
                return [Part(words, {"vocalisation_seconds": item.seconds})]
    return []


def _disengagement(measures: Measures) -> Finding | None:
    head, voice = measures.head, measures.voice
    if head is None or not head.was_seen or head.has_cut:
        return None
    absent = 1 - head.found_share
    speech = 0.0 if voice is None else voice.speech_share
    kinds = 0
    for share, quiet in zip(_ABSENT_SHARES, _QUIET_SHARES, strict=True):
        kinds += absent >= share and speech < quiet
    if not kinds:
        return None
    words = (
        "no frontal face found in {absent_percent:.0f}% of {looks:.0f} samples "
        "(absent or turned far away)"
    )
    parts = [Part(words, {"absent_percent": 100 * absent, "looks": float(head.looks)})]
    if voice is not None:
        parts.append(Part("{speech_percent:.0f}% speech", {"speech_percent": 100 * speech}))
    cap = "high" if voice is not None else "low"
    return Finding(kinds=kinds, parts=tuple(parts), cap=cap)


def _engagement(measures: Measures) -> Finding | None:
    head = measures.head
    if head is None or head.found_share < 0.8:
        return None
    lively = [*_lively_voice(measures.voice), *_lively_head(head)]
    if len(lively) < 2:
        return None
    words = "a frontal face in {found_percent:.0f}% of {looks:.0f} samples"
    figures = {"found_percent": 100 * head.found_share, "looks": float(head.looks)}
    return Finding(kinds=len(lively) - 1, parts=(Part(words, figures), *lively))


def _lively_voice(voice: VoiceMeasures | None) -> list[Part]:
    if voice is None:
        return []
    parts = []
    if voice.speech_share >= 0.3:
        words = "speaking {speech_percent:.0f}% of the time"
        parts.append(Part(words, {"speech_percent": 100 * voice.speech_share}))
    low, high = _LIVELY_SEMITONES
    if voice.speech_seconds >= 1 and low <= voice.pitch_range_semitones <= high:
        words = "a pitch range of {pitch_range_semitones:.0f} semitones"
        parts.append(Part(words, {"pitch_range_semitones": voice.pitch_range_semitones}))
    if voice.vocalisations:
        words = "short vocalisations: {vocalisations:.0f}"
        parts.append(Part(words, {"vocalisations": float(len(voice.vocalisations))}))
    return parts


def _lively_head(head: HeadMeasures) -> list[Part]:
    parts = []
    if head.movement > _MOVES:
        words = "head movement of {movement_percent:.1f}% of face height"
        parts.append(Part(words, {"movement_percent": 100 * head.movement}))
    if head.nods:
        words = "nod-like movements while not speaking: {nods:.0f}"
        parts.append(Part(words, {"nods": float(len(head.nods))}))
    return parts


JUDGES: Mapping[str, Judge] = {
    "hesitation": _hesitation,
    "agreement": _agreement,
    "disagreement": _disagreement,
    "engagement": _engagement,
    "disengagement": _disengagement,
    "confidence": _confidence,
    "uncertainty": _uncertainty,
    "stress": _stress,
}
