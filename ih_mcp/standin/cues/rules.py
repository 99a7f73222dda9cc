"""From what was measured to signals: a rule for each row of `table`.

A rule counts how many independent kinds of cue agree; the row's cap bounds what may be said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ih_mcp.standin.analysis.analyst import Observation
from ih_mcp.wire.dialects import PROBABILITIES

from .findings import Finding, MeasuredFact, write_rationale
from .gestures import Gesture
from .measures import HeadMeasures, Measures, VoiceMeasures
from .table import SignalRow

_LONG_SECONDS = 2.0
_FLUENT_SECONDS = 4.0
_FLUENT_PAUSE_SECONDS = 0.6
_ENOUGH_CYCLES = 3.0
_TOGETHER_SECONDS = 1.5
_MOVES = 0.01
_LIVELY_SEMITONES = (5.0, 18.0)
_ABSENT_SHARES = (0.5, 0.7, 0.9)
_QUIET_SHARES = (0.15, 0.15, 0.05)

SignalRule = Callable[[Measures], Finding | None]


def apply_rules(measures: Measures, rows: Sequence[SignalRow]) -> list[Observation]:
    """The signals of a window."""
    return [
        Observation(
            signal_type=row.signal,
            probability=finding.probability(row.cap),
            rationale=write_rationale(finding, measures),
            modality=row.modality,
            evidence=finding.evidence,
            start_seconds=finding.start_seconds,
            end_seconds=finding.end_seconds,
        )
        for row in rows
        if (finding := RULES[row.signal](measures)) is not None
    ]


def decide_engagement(
    measures: Measures, seen: Sequence[Observation], *, was_disengaged: bool
) -> str | None:
    """The state of engagement; None before a face or a voice was ever met.

    Args:
        was_disengaged: Whether `is_disengaged` held in the window before.
    """
    if not measures.is_acquainted:
        return None
    clear = _select_clear(seen)
    if clear & {"engagement", "agreement"}:
        return "engaged"
    return "disengaged" if "disengagement" in clear and was_disengaged else "neutral"


def is_disengaged(seen: Sequence[Observation]) -> bool:
    """Whether a window speaks for disengagement; two in a row make the state."""
    return "disengagement" in _select_clear(seen)


def _select_clear(seen: Sequence[Observation]) -> set[str]:
    return {item.signal_type for item in seen if item.probability != PROBABILITIES[0]}


# --- voice ---------------------------------------------------------------------------------------


def _hesitation(measures: Measures) -> Finding | None:
    if (voice := measures.voice) is None:
        return None
    pauses = voice.long_pauses
    slow = _slower_facts(voice)
    if not pauses and not voice.fillers:
        return None
    longest = max((pause.seconds for pause in pauses), default=0.0)
    kinds = 0
    if pauses:
        kinds += 2 if len(pauses) > 1 or longest >= _LONG_SECONDS else 1
    kinds += bool(voice.fillers) + bool(slow)
    facts = [*_pause_facts(len(pauses), longest), *_filler_facts(voice.fillers), *slow]
    only_pauses = not voice.fillers and not slow
    return Finding(kinds=kinds, facts=tuple(facts), cap="low" if only_pauses else "high")


def _pause_facts(pauses: int, longest: float) -> list[MeasuredFact]:
    figures = {"silent_pauses": float(pauses), "longest_pause_seconds": longest}
    if not pauses:
        return []
    if pauses == 1:
        return [
            MeasuredFact("a silent pause of {longest_pause_seconds:.1f} s inside speech", figures)
        ]
    template = (
        "{silent_pauses:.0f} silent pauses inside speech (longest {longest_pause_seconds:.1f} s)"
    )
    return [MeasuredFact(template, figures)]


def _filler_facts(fillers: int) -> list[MeasuredFact]:
    if not fillers:
        return []
    template = "held flat sounds beside pauses: {filler_candidates:.0f}"
    return [MeasuredFact(template, {"filler_candidates": float(fillers)})]


def _slower_facts(voice: VoiceMeasures) -> list[MeasuredFact]:
    if voice.usual is None:
        return []
    rate, usual = voice.syllables_per_second, voice.usual.syllables_per_second
    if usual.deviations(rate) > -2 or usual.difference(rate) > -0.6:
        return []
    return [_rate_fact("slower", rate, usual.median)]


def _rate_fact(how: str, rate: float, usual: float) -> MeasuredFact:
    template = (
        f"{how} speech ({{syllables_per_second:.1f}} syllables a second, "
        f"{{usual_syllables_per_second:.1f}} before)"
    )
    return MeasuredFact(
        template, {"syllables_per_second": rate, "usual_syllables_per_second": usual}
    )


def _confidence(measures: Measures) -> Finding | None:
    voice = measures.voice
    if voice is None or voice.usual is None or not _is_fluent(voice):
        return None
    if voice.usual.pitch_semitones.deviations(voice.pitch_semitones) > 1.5:
        return None
    stronger = [*_louder_facts(voice), *_faster_facts(voice)]
    if not stronger:
        return None
    template = "{speech_seconds:.1f} s of speech without long pauses or held sounds"
    fluent = MeasuredFact(template, {"speech_seconds": voice.speech_seconds})
    return Finding(kinds=len(stronger), facts=(fluent, *stronger))


def _is_fluent(voice: VoiceMeasures) -> bool:
    return (
        voice.speech_seconds >= _FLUENT_SECONDS
        and not any(pause.seconds >= _FLUENT_PAUSE_SECONDS for pause in voice.pauses)
        and not voice.fillers
        and not voice.rises
    )


def _louder_facts(voice: VoiceMeasures) -> list[MeasuredFact]:
    assert voice.usual is not None
    usual = voice.usual.level_db
    over = usual.difference(voice.level_db)
    if over < 2 or usual.deviations(voice.level_db) < 1.5:
        return []
    return [MeasuredFact("{louder_db:.1f} dB louder than before", {"louder_db": over})]


def _faster_facts(voice: VoiceMeasures) -> list[MeasuredFact]:
    assert voice.usual is not None
    rate, usual = voice.syllables_per_second, voice.usual.syllables_per_second
    if usual.deviations(rate) < 1.5 or usual.difference(rate) < 0.4:
        return []
    return [_rate_fact("faster", rate, usual.median)]


def _uncertainty(measures: Measures) -> Finding | None:
    voice, hesitation = measures.voice, _hesitation(measures)
    if voice is None or hesitation is None or hesitation.probability("high") == "low":
        return None
    if voice.rises >= 2:
        rises = MeasuredFact(
            "{rising_endings:.0f} rising endings", {"rising_endings": float(voice.rises)}
        )
        return Finding(kinds=1, facts=(*hesitation.facts, rises))
    usual = voice.usual
    if usual is None or usual.pitch_semitones.deviations(voice.pitch_semitones) < 1.5:
        return None
    if usual.level_db.difference(voice.level_db) > -1:
        return None
    return Finding(kinds=1, facts=(*hesitation.facts, _pitch_fact(voice)))


def _pitch_fact(voice: VoiceMeasures) -> MeasuredFact:
    assert voice.usual is not None
    over = voice.usual.pitch_semitones.difference(voice.pitch_semitones)
    return MeasuredFact(
        "pitch {pitch_over_semitones:.1f} semitones above", {"pitch_over_semitones": over}
    )


def _stress(measures: Measures) -> Finding | None:
    voice = measures.voice
    if voice is None or voice.usual is None or not voice.speech_seconds:
        return None
    usual = voice.usual
    pitch, rate = usual.pitch_semitones, usual.syllables_per_second
    is_raised = pitch.difference(voice.pitch_semitones) > 2
    is_raised &= pitch.deviations(voice.pitch_semitones) > 2.5
    is_fast = rate.deviations(voice.syllables_per_second) > 1
    is_loud = usual.level_db.difference(voice.level_db) >= 3
    if not is_raised or not is_fast or is_loud:
        return None
    faster = _rate_fact("faster", voice.syllables_per_second, rate.median)
    return Finding(kinds=1, facts=(_pitch_fact(voice), faster))


# --- head ----------------------------------------------------------------------------------------


def _agreement(measures: Measures) -> Finding | None:
    if (head := measures.head) is None or not head.nods:
        return None
    vocal = _vocalisation_facts(head.nods, measures.voice)
    return _gesture_finding(head.nods, "nod-like", "vertical", "high" if vocal else "medium", vocal)


def _disagreement(measures: Measures) -> Finding | None:
    if (head := measures.head) is None or not head.shakes:
        return None
    return _gesture_finding(head.shakes, "shake-like", "sideways", "medium", [])


def _gesture_finding(
    found: Sequence[Gesture], like: str, way: str, cap: str, vocal: list[MeasuredFact]
) -> Finding:
    longest = max(found, key=lambda gesture: gesture.cycles)
    several = len(found) > 1 or longest.cycles >= _ENOUGH_CYCLES
    template = (
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
        facts=(MeasuredFact(template, figures), *vocal),
        cap=cap,
        start_seconds=min(gesture.start_seconds for gesture in found),
        end_seconds=max(gesture.end_seconds for gesture in found),
    )


def _vocalisation_facts(nods: Sequence[Gesture], voice: VoiceMeasures | None) -> list[MeasuredFact]:
    """A short vocalisation near a nod."""
    for item in voice.vocalisations if voice else ():
        for nod in nods:
            apart = max(item.start_seconds - nod.end_seconds, nod.start_seconds - item.end_seconds)
            if apart <= _TOGETHER_SECONDS:
                template = "with a short vocalisation ({vocalisation_seconds:.2f} s)"
                return [MeasuredFact(template, {"vocalisation_seconds": item.seconds})]
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
    template = (
        "no frontal face found in {absent_percent:.0f}% of {looks:.0f} samples "
        "(absent or turned far away)"
    )
    facts = [
        MeasuredFact(template, {"absent_percent": 100 * absent, "looks": float(head.face_checks)})
    ]
    if voice is not None:
        facts.append(MeasuredFact("{speech_percent:.0f}% speech", {"speech_percent": 100 * speech}))
    cap = "high" if voice is not None else "low"
    return Finding(kinds=kinds, facts=tuple(facts), cap=cap)


def _engagement(measures: Measures) -> Finding | None:
    head = measures.head
    if head is None or head.found_share < 0.8:
        return None
    lively = [*_lively_voice_facts(measures.voice), *_lively_head_facts(head)]
    if len(lively) < 2:
        return None
    template = "a frontal face in {found_percent:.0f}% of {looks:.0f} samples"
    figures = {"found_percent": 100 * head.found_share, "looks": float(head.face_checks)}
    return Finding(kinds=len(lively) - 1, facts=(MeasuredFact(template, figures), *lively))


def _lively_voice_facts(voice: VoiceMeasures | None) -> list[MeasuredFact]:
    if voice is None:
        return []
    facts = []
    if voice.speech_share >= 0.3:
        template = "speaking {speech_percent:.0f}% of the time"
        facts.append(MeasuredFact(template, {"speech_percent": 100 * voice.speech_share}))
    low, high = _LIVELY_SEMITONES
    if voice.speech_seconds >= 1 and low <= voice.pitch_range_semitones <= high:
        template = "a pitch range of {pitch_range_semitones:.0f} semitones"
        facts.append(MeasuredFact(template, {"pitch_range_semitones": voice.pitch_range_semitones}))
    if voice.vocalisations:
        template = "short vocalisations: {vocalisations:.0f}"
        facts.append(MeasuredFact(template, {"vocalisations": float(len(voice.vocalisations))}))
    return facts


def _lively_head_facts(head: HeadMeasures) -> list[MeasuredFact]:
    facts = []
    if head.movement > _MOVES:
        template = "head movement of {movement_percent:.1f}% of face height"
        facts.append(MeasuredFact(template, {"movement_percent": 100 * head.movement}))
    if head.nods:
        template = "nod-like movements while not speaking: {nods:.0f}"
        facts.append(MeasuredFact(template, {"nods": float(len(head.nods))}))
    return facts


RULES: Mapping[str, SignalRule] = {
    "hesitation": _hesitation,
    "agreement": _agreement,
    "disagreement": _disagreement,
    "engagement": _engagement,
    "disengagement": _disengagement,
    "confidence": _confidence,
    "uncertainty": _uncertainty,
    "stress": _stress,
}
