"""Of a product of parameters, by day each kind is run, and each of the others comes up."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from .products import of_day, one_of_each
from .reliability.budget import IS_LONG

NAMES, FRAMINGS = ("a", "b", "c", "d"), ("whole", "continued", "joined")


def test_of_each_kind_one_is_chosen_and_the_others_go_round() -> None:
    pairs = [*product(NAMES, FRAMINGS)]
    chosen = one_of_each([name for name, _ in pairs])
    assert [pair for pair, is_chosen in zip(pairs, chosen, strict=True) if is_chosen] == [
        ("a", "whole"),
        ("b", "continued"),
        ("c", "joined"),
        ("d", "whole"),
    ]


def test_kinds_that_have_one_alone_leave_the_turns_of_the_others() -> None:
    assert one_of_each(["a", "b", "b", "c", "d", "d"]) == [True, True, False, True, False, True]


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("name", NAMES)
def test_each_name_runs_and_so_does_what_is_asked_for_alone(
    name: str, framing: str, request: pytest.FixtureRequest
) -> None:
    assert (name, framing) in product(NAMES, FRAMINGS)
    here = [item for item in request.session.items if item.name.startswith("test_each_name")]
    names = Counter(item.name.partition("[")[2].partition("-")[0] for item in here)
    assert len(names) == 1 or names == dict.fromkeys(NAMES, len(FRAMINGS) if IS_LONG else 1)
    assert of_day([request.node]) == [request.node]


@pytest.mark.one_for_each("name", alike=[("a", "c"), ("d", "e")])
@pytest.mark.parametrize("framing", FRAMINGS[:2])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_alike_count_as_one(
    name: str, framing: str, request: pytest.FixtureRequest
) -> None:
    here = [item.name for item in request.session.items if "are_alike_count" in item.name]
    by_day = {("a", "whole"), ("b", "continued"), ("d", "whole")}
    assert len(here) in {1, len(NAMES) * 2 if IS_LONG else len(by_day)}
    assert IS_LONG or len(here) == 1 or (name, framing) in by_day
