"""What errors have in common."""

from __future__ import annotations

import pytest

from ih_mcp.errors import CallerError, as_sentence


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
