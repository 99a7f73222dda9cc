"""What errors have in common."""

from __future__ import annotations

import re

import pytest

from ih_mcp.errors import CallerError, as_sentence, join_help
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("fragment", "sentence"),
    [
        ("the file is empty", "The file is empty."),
        ("today's quota is used up", "Today's quota is used up."),
        ("push_segment was refused", "push_segment was refused."),
        ("talk.mp4 is no video", "talk.mp4 is no video."),
        ("It ends already.", "It ends already."),
        ("", "."),
    ],
)
def test_a_fragment_becomes_a_sentence_and_names_keep_their_case(
    fragment: str, sentence: str
) -> None:
    assert as_sentence(fragment) == sentence


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Known: a, b..", "Known: a, b."),
        ("it said 'No such file.'. Try again", "it said 'No such file.'. Try again"),
        ("the peer said: Not now.. Try again later..", "the peer said: Not now. Try again later."),
        ("the folder above is ..", "the folder above is .."),
        ("cd ../.. and go on...", "cd ../.. and go on..."),
    ],
)
def test_a_sentence_ends_once(given: str, shown: str) -> None:
    error = CallerError(given, help=given)
    assert (error.what, error.help, str(error)) == (shown, shown, shown)


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("it is full", "it is full. Wait."),
        ("it said: Not now.", "it said: Not now. Wait."),
        ("it said 'No.'", "it said 'No.'. Wait."),
    ],
)
def test_what_and_help_are_sentences_that_end_once(what: str, shown: str) -> None:
    assert join_help(what, "Wait.") == shown
    assert join_help(what, "") == shown.removesuffix(" Wait.")


def test_nothing_puts_what_and_help_together_by_itself() -> None:
    for path in (REPOSITORY / "ih_mcp").rglob("*.py"):
        by_itself = re.search(r"what['\"\])]*\}\. ", path.read_text(encoding="utf-8"))
        assert not by_itself or path.name == "errors.py", path
