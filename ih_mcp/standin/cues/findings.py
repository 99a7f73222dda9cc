"""What a rule finds, and how it is said: numbers stand in the text only as measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .measures import Measures

PROBABILITIES = ("low", "medium", "high")
MARK = "local cue engine, no AI model"


@dataclass(frozen=True, slots=True)
class Part:
    """A measured fact: its words, with the names of its figures in braces."""

    words: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def said(self) -> str:
        return self.words.format(**self.figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A signal a rule found, before its cap."""

    kinds: int
    """How many independent kinds of cue agree: 1 is low, 2 medium, more high."""
    parts: tuple[Part, ...]
    cap: str = "high"
    """The most that may be said of this very finding; the rule's own cap holds too."""
    start_seconds: float | None = None
    end_seconds: float | None = None

    def probability(self, cap: str) -> str:
        highest = min(PROBABILITIES.index(cap), PROBABILITIES.index(self.cap))
        return PROBABILITIES[min(self.kinds - 1, highest, 2)]

    @property
    def evidence(self) -> dict[str, float]:
        return {
            name: round(value, 3) for part in self.parts for name, value in part.figures.items()
        }


def rationale(finding: Finding, measures: Measures) -> str:
    """The mark with the senses in use, then what was measured."""
    facts = ", ".join(part.said() for part in finding.parts)
    return f"[{MARK}; {senses(measures)}] {facts[:1].upper()}{facts[1:]}."


def senses(measures: Measures) -> str:
    """What was heard and seen, and what was not."""
    used = [
        name
        for name, part in (("voice", measures.voice), ("video", measures.head))
        if part is not None
    ]
    lacks = [why for why in (measures.no_voice, measures.no_head) if why]
    return "; ".join(["+".join(used), *lacks])
