from __future__ import annotations

from dataclasses import fields

import pytest

from ih_mcp.errors import CallerError
from ih_mcp.wire.dialects import DIALECTS, REALTIME, V0, V1, V2, Dialect, Limits, find_dialect
from tests.facts import shows


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.interhuman.ai", "wss://api.interhuman.ai/v1/stream/analyze"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/v1/stream/analyze"),
        ("https://proxy.example/ih/", "wss://proxy.example/ih/v1/stream/analyze"),
    ],
)
def test_an_address_keeps_the_prefix_of_its_base(base: str, url: str) -> None:
    assert V1.address(base) == url


@shows("v0-config-in-query")
def test_v0_takes_its_configuration_in_the_query() -> None:
    url = V0.address("https://h", include=["conversation_quality_overall"])
    assert url == "wss://h/v0/stream/analyze?include%5B%5D=conversation_quality_overall"


@shows("v2-names-its-model")
def test_v2_names_its_model() -> None:
    assert V2.address("https://h").endswith("?model=inter-2")
    assert V2.address("https://h", model="inter-2-audio").endswith("?model=inter-2-audio")


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(CallerError) as refused:
        V2.model_or_default("inter-3")
    assert "inter-2, inter-2-audio" in refused.value.help
    with pytest.raises(CallerError) as refused:
        V1.model_or_default("inter-2")
    assert refused.value.help == "Models of v1: none can be named."


def test_versions_are_found_by_name() -> None:
    assert [find_dialect(name) for name in DIALECTS] == [V0, V1, V2]
    with pytest.raises(CallerError, match="'v9' is not known"):
        find_dialect("v9")


MIB = 2**20


def limits(*values: float | None) -> Limits:
    """In the order of their fields."""
    names = [field.name for field in fields(Limits)]
    return Limits(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("dialect", "documented"),
    [
        (V0, limits(10_240, 20 * MIB, 3.0, None, 300.0, 3600.0)),
        (V1, limits(1, 32 * MIB, 3.0, None, 300.0, 3600.0)),
        (V2, limits(1, 32 * MIB, None, None, 300.0, 3600.0)),
    ],
)
def test_the_limits_are_those_the_service_documents(dialect: Dialect, documented: Limits) -> None:
    assert dialect.limits == documented


def test_each_version_greets_and_asks_for_tracks_as_documented() -> None:
    told = [(each.greets, each.needs_audio, each.needs_video) for each in (V0, V1, V2)]
    assert told == [(False, False, False), (True, False, False), (True, True, True)]


def test_a_declared_zero_is_no_bound_and_a_segment_fits_into_memory() -> None:
    declared = limits(2, 0, 0.0, 0.0, 0.0, 0.0).bounded_by(V1.limits)
    assert declared == limits(2, 32 * MIB, 0.0, None, None, None)
    declared = limits(2, 65 * MIB, 3.0, 4.0, 5.0, 6.0).bounded_by(V1.limits)
    assert declared == limits(2, 64 * MIB, 3.0, 4.0, 5.0, 6.0)


def test_goals_that_a_version_does_not_know_are_named_beside_those_it_knows() -> None:
    REALTIME.require_goals(REALTIME.goal_dimensions)
    with pytest.raises(CallerError, match="goal_dimensions has 'fame', 'x', which realtime") as no:
        REALTIME.require_goals(["fame", REALTIME.goal_dimensions[0], "x"])
    assert ", ".join(REALTIME.goal_dimensions) in no.value.help
    with pytest.raises(CallerError) as no:
        V0.require_goals(["clarity"])
    assert no.value.help == "Goals of v0: there are none."
