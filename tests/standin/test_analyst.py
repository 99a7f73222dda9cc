from __future__ import annotations

import importlib.metadata
from dataclasses import replace

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.standin.analysis.analyst import (
    AnalystError,
    Observation,
    Observations,
    check_observations,
    find_analyst,
)
from ih_mcp.standin.analysis.placeholder import Placeholder
from ih_mcp.standin.analysis.windows import Window

from .fakes import DESCRIPTION, seen

WINDOW = Window(1, 3, 11)


def test_what_was_declared_passes_as_it_is() -> None:
    item = replace(seen(), start_seconds=3.0, end_seconds=11.0)
    observations = Observations(signals=[item], engagement="neutral")
    assert check_observations(observations, DESCRIPTION, WINDOW) is observations


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        ([seen("confidence")], "did not declare it"),
        ([seen(), seen()], "twice in one window"),
        ([seen(probability="certain")], "called it 'certain'"),
        ([seen(rationale="  ")], "gave no rationale"),
        ([replace(seen(), start_seconds=2.9)], "outside the window"),
        ([replace(seen(), end_seconds=11.1)], "outside the window"),
        ([replace(seen(), start_seconds=6.0, end_seconds=5.0)], "outside the window"),
    ],
)
def test_what_an_analyst_may_not_say_is_refused(signals: list[Observation], words: str) -> None:
    with pytest.raises(AnalystError, match=words):
        check_observations(Observations(signals=signals), DESCRIPTION, WINDOW)


def test_an_unknown_engagement_is_refused() -> None:
    with pytest.raises(AnalystError, match="thrilled"):
        check_observations(Observations(engagement="thrilled"), DESCRIPTION, WINDOW)


def test_an_analyst_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint(
        "mine", "ih_mcp.standin.analysis.placeholder:Placeholder", "ih_mcp.analysts"
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [point])  # noqa: ARG005 - its signature
    assert find_analyst("mine") is Placeholder
    with pytest.raises(ConfigurationError) as refused:
        find_analyst("yours")
    assert refused.value.help == "Offered here: mine."
