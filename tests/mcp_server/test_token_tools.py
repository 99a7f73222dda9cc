"""What is said of a token beside it."""

from __future__ import annotations

import json

import pytest

from ih_mcp.mcp_server.arguments import MAX_NUMBER
from ih_mcp.mcp_server.token_tools import _MEANING, CreateToken, _notes

ORIGINS: dict[str, object] = {"allowed_origins": ["https://ours.example"]}


def notes(granted: dict[str, object] = ORIGINS, /, **asked: object) -> list[str]:
    """Of a client token that lives for 300 s."""
    return _notes(
        CreateToken.model_validate({"kind": "client"} | asked), json.dumps(granted), 300.0
    )


@pytest.mark.parametrize("name", _MEANING)
def test_each_cap_that_was_asked_for_says_what_it_bounds_and_no_other(name: str) -> None:
    (note,) = notes(**{name: 200})
    assert note.startswith(f"{name} ")
    assert notes() == []


def test_a_token_that_any_page_may_use_says_so() -> None:
    said = ["Any web page may use it; allowed_origins bounds that."]
    assert notes({}) == notes({"allowed_origins": []}) == said


@pytest.mark.parametrize("name", ["max_video_seconds", "max_duration_seconds"])
@pytest.mark.parametrize(
    ("granted", "is_said"),
    [(301, True), (300.5, True), (300, False), (MAX_NUMBER - 1, True), (MAX_NUMBER, False)],
)
def test_a_token_that_ends_before_its_cap_says_so(name: str, granted: float, is_said: bool) -> None:
    said = notes(ORIGINS | {name: granted})
    expected = f"The token lives for 300 s, less than its {name} of {granted:g} s"
    assert [note.startswith(expected) for note in said] == [True] * is_said


def test_of_a_token_of_a_key_pair_there_is_nothing_to_say() -> None:
    assert notes({}, kind="access") == []
