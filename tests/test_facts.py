from __future__ import annotations

import re
from pathlib import Path

from .facts import FACTS

TESTS = Path(__file__).parent


def shown() -> set[str]:
    """The facts that a test says it shows."""
    return {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r'^@shows\("([\w-]+)"\)$', path.read_text("utf-8"), re.MULTILINE)
    }


def test_every_fact_has_a_test_and_every_test_its_fact() -> None:
    assert shown() == set(FACTS)


def test_every_fact_has_a_source() -> None:
    words = ("docs", "sdk", "skill", "seen", "chosen")
    assert all(fact.source.startswith(words) for fact in FACTS.values())
