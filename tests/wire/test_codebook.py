"""What names mean, for those who read an export."""

from __future__ import annotations

import pytest

from ih_mcp.wire.codebook import CODEBOOK, NameMeaning, find_meaning


@pytest.mark.parametrize("row", CODEBOOK, ids=lambda row: f"{row.kind} {row.name}")
def test_every_name_of_the_codebook_is_found(row: NameMeaning) -> None:
    assert find_meaning(row.kind, row.name) == row.words != ""


@pytest.mark.parametrize(("kind", "name"), [("signal", "fame"), ("x", "stress"), ("", "")])
def test_a_name_that_is_not_known_has_no_meaning_here(kind: str, name: str) -> None:
    assert find_meaning(kind, name) == ""


def test_engagement_has_the_meanings_of_its_states() -> None:
    found = find_meaning("engagement", "engagement")
    for row in CODEBOOK:
        assert (f"{row.name}: {row.words}" in found) is (row.kind == "engagement")
