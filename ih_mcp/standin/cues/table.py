"""The signals that the cue engine reports, a row each, and those that it never reports.

The grounds are the literature a rule leans on, not a proof of it: no rule knows words, faces or
gaze. The table in `docs/local-engine.md` is drawn from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER = ("confusion", "frustration", "interest", "skepticism")
"""Signals that need words, brows or gaze, which nothing here measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRow:
    """How one signal is reported."""

    signal: str
    cap: str
    """The highest probability that is ever reported."""
    modality: tuple[str, ...]
    """Of the message on v1; docs: stream-analyze v1: `audio`, `video`."""
    cues: str
    grounds: str
    is_opt_in: bool = False


def select_rows(*, reports_stress: bool) -> tuple[SignalRow, ...]:
    """Those in use."""
    return tuple(row for row in ROWS if reports_stress or not row.is_opt_in)


def list_never_reported(*, reports_stress: bool) -> tuple[str, ...]:
    """The signals that are then never reported."""
    return NEVER if reports_stress else (*NEVER, *(row.signal for row in ROWS if row.is_opt_in))


def draw_table() -> str:
    """The rows as a table in Markdown."""
    lines = ["| signal | cap | cues and limits | grounds |", "|---|---|---|---|"]
    lines += [
        f"| {row.signal}{' (opt-in)' if row.is_opt_in else ''} | {row.cap} | {row.cues} | "
        f"{row.grounds} |"
        for row in ROWS
    ]
    lines.append(f"| {', '.join(NEVER)} | **never** | none: they hang on words, brows, gaze | |")
    return "\n".join(lines)


_VOICE, _VIDEO = ("audio",), ("video",)

ROWS: tuple[SignalRow, ...] = (
    SignalRow(
        signal="hesitation",
        cap="high",
        modality=_VOICE,
        cues="a silent pause inside speech, of at least max(0.8 s, 1.8 times the speaker's usual "
        "pause), 1.0 s until five pauses are known, 1.5 s after a clear final fall (3 semitones), "
        "at most 4 s: one kind; two, or one of 2 s: two kinds · held flat sound beside a pause · "
        "articulation 2 deviations and 0.6 syllables/s slower than usual, with one of the others. "
        "From pauses alone it stays low",
        grounds="Maclay and Osgood 1959; Goldman-Eisler 1968; Goto et al. 1999; Gravano and "
        "Hirschberg 2011; Betz et al. 2023",
    ),
    SignalRow(
        signal="agreement",
        cap="high",
        modality=_VIDEO,
        cues="nod of at least two cycles (turning head, not speaking from 1 s before to 1 s "
        "after) · three cycles, or two nods · a short vocalisation within 1.5 s; without one at "
        "most medium",
        grounds="Hadar et al. 1985; Bousmalis et al. 2009, 2013; Poggi et al. 2010 (nods have "
        "many meanings)",
    ),
    SignalRow(
        signal="disagreement",
        cap="medium",
        modality=_VIDEO,
        cues="shake of at least two cycles, same conditions · three cycles, or two shakes",
        grounds="Hadar et al. 1985; Bousmalis et al. 2009; Kendon 2002 (shakes have other uses)",
    ),
    SignalRow(
        signal="engagement",
        cap="medium",
        modality=_VIDEO,
        cues="frontal face in 80% of looks, with at least two of: speaking 30% · pitch range of 5 "
        "to 18 semitones · head movement over 1% of face height · nod · short vocalisation",
        grounds="Lala et al. 2017; Pellet-Rostaing et al. 2023",
    ),
    SignalRow(
        signal="disengagement",
        cap="high",
        modality=_VIDEO,
        cues="a face was seen in this scene, now none in 50%, 70%, 90% of looks, with speech under "
        "15%, 15%, 5%; low without usable sound",
        grounds="Sidner et al. 2005; Lala et al. 2017",
    ),
    SignalRow(
        signal="confidence",
        cap="medium",
        modality=_VOICE,
        cues="4 s of speech without a pause of 0.6 s, held sound, rising ending or raised pitch, "
        "and 1.5 deviations above usual: louder (2 dB) · faster (0.4 syllables/s)",
        grounds="Scherer et al. 1973; Jiang and Pell 2014, 2017",
    ),
    SignalRow(
        signal="uncertainty",
        cap="low",
        modality=_VOICE,
        cues="hesitation at least medium, with two rising endings (2.5 semitones), or pitch 1.5 "
        "deviations above and level 1 dB below usual",
        grounds="Brennan and Williams 1995; Swerts and Krahmer 2005; Pon-Barry and Shieber 2011",
    ),
    SignalRow(
        signal="stress",
        cap="low",
        modality=_VOICE,
        cues="only when asked for: pitch 2 semitones and 2.5 deviations, and rate 1 deviation "
        "above usual, not 3 dB louder",
        grounds="Giddens et al. 2013 (raised pitch is not universal); Van Puyvelde et al. 2018",
        is_opt_in=True,
    ),
)
