"""What the names in messages mean, for who reads the tables and pictures of them.

Signals, states and dimensions: docs of the service, social-signals and conversation-quality, as of
7 May 2026, in our words. Gaps are what this package says of media without readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameMeaning:
    """One name of one kind; the kinds are those of exports."""

    kind: str
    """`signal`, `engagement`, `quality` or `gap`."""
    name: str
    words: str


_WORDS: Mapping[str, Mapping[str, str]] = {
    "signal": {
        "agreement": "is on the same page: affirms what was said, or builds on it",
        "confidence": "is firm and assured, with few qualifications",
        "confusion": "has a gap in understanding: pauses, asks for clarification",
        "disagreement": "pushes back and takes a clear stance, not merely passive",
        "frustration": "progress is blocked: irritation, effort without a result",
        "hesitation": "delays before committing: weighs, searches for words",
        "interest": "is drawn in and attentive, wants to go on",
        "skepticism": "doubts and wants evidence, without rejecting",
        "stress": "is under high pressure or load, copes instead of going deeper",
        "uncertainty": "is tentative, unsure of their own knowledge or choice",
    },
    "engagement": {
        "engaged": "attention is sustained: eye contact, nods, short questions",
        "neutral": "neither engaged nor disengaged",
        "disengaged": "attention is reduced: withdrawn, responds little",
    },
    "quality": {
        "quality_index": "all five dimensions in one score",
        "clarity": "clarity and structure",
        "authority": "authority and credibility",
        "energy": "energy and presence",
        "rapport": "rapport and relational safety",
        "learning": "learning and exploration",
    },
    "gap": {
        "not_analysed": "the service reports that it did not analyse these seconds",
        "degraded": "the service analysed these seconds without a part of them",
        "lost": "results of these seconds may be missing: a connection was lost",
        "not_sent": "these seconds of the file, or so many live ones, were not sent",
        "not_kept": "so many of the first messages are no longer kept here",
    },
}
CODEBOOK = tuple(
    NameMeaning(kind, name, words) for kind, rows in _WORDS.items() for name, words in rows.items()
)

SIGNAL_MEANINGS = _WORDS["signal"]


def find_meaning(kind: str, name: str) -> str:
    """What a name means; empty for one that is not known here, as services may send any.

    Of `engagement`, what each of its states means.
    """
    known = _WORDS.get(kind, {})
    if (kind, name) == ("engagement", "engagement"):
        return "; ".join(f"{state}: {words}" for state, words in known.items())
    return known.get(name, "")
