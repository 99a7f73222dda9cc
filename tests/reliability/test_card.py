"""The report card is whole, current, and every red row of it is explained."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest

from tests.road.host import REPOSITORY

LATER = {"L21", "S18"}  # replicas with Redis
ROWS = [
    *(f"L{n}" for n in range(1, 22)),
    *(f"C{n}" for n in range(1, 10)),
    *(f"N{n}" for n in range(1, 39)),
    *(f"S{n}" for n in range(1, 50) if n != 44),
    *(f"T{n}" for n in range(1, 16)),
]


@pytest.fixture(scope="module")
def card() -> ModuleType:
    spec = importlib.util.spec_from_file_location("card", REPOSITORY / "docs" / "report_card.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_the_one_its_figures_give(card: ModuleType) -> None:
    known = json.loads(card.KNOWN.read_text(encoding="utf-8"))
    assert card.page(known) == card.PAGE.read_text(encoding="utf-8")


def test_every_row_of_the_plan_is_in_it(card: ModuleType) -> None:
    table = card.PAGE.read_text(encoding="utf-8")
    assert [row for row in ROWS if f"| {row} |" not in table and row not in LATER] == []


def test_a_red_row_without_a_word_is_refused(card: ModuleType) -> None:
    """The words are what makes a red row bearable; the script stops without them."""
    red = {"tests": {"x": {"failed": 1}}, "figures": [], "seed": 1}
    assert card.is_red(red)
    with pytest.raises(KeyError):
        card.draw({"N1": red})
    assert not card.is_red({"tests": {"x": {"passed": 1}}, "figures": [], "seed": 1})
