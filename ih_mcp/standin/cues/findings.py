"""What a rule finds, and how it is said: numbers stand in the text only as measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ih_mcp.wire.dialects import PROBABILITIES

from .measures import Measures

MARK = "local cue engine, no AI model"


@dataclass(frozen=True, slots=True)
class MeasuredFact:
    """A measured fact: its words, with the names of its figures in braces."""

    template: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_text(self) -> str:
        return self.template.format(**self.figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A signal a rule found, before its cap."""

    kinds: int
    """How many independent kinds of cue agree: 1 is low, 2 medium, more high."""
    facts: tuple[MeasuredFact, ...]
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
            name: round(value, 3) for fact in self.facts for name, value in fact.figures.items()
        }


def write_rationale(finding: Finding, measures: Measures) -> str:
    """The mark with what was measured in the window, then what this finding is made of."""
    facts = ", ".join(fact.to_text() for fact in finding.facts)
    return f"[{MARK}; {describe_senses(measures)}] {facts[:1].upper()}{facts[1:]}."


def describe_senses(measures: Measures) -> str:
    """What was measured in the window, and what was not; a finding may need one of them alone."""
    used = [
        name
        for name, fact in (("voice", measures.voice), ("video", measures.head))
        if fact is not None
    ]
    lacks = [why for why in (measures.no_voice, measures.no_head) if why]
    return "; ".join([f"measured: {', '.join(used)}", *lacks])
