"""What an answer over HTTP means, by its status."""

from __future__ import annotations

import pytest

from ih_mcp.net.answers import HttpAnswer, error_of_answer


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, "not_the_service"),
        (299, "not_the_service"),
        (300, "redirect"),
        (399, "redirect"),
        (400, "refused"),
        (425, "refused"),
        (426, "not_a_websocket"),
        (427, "refused"),
        (499, "refused"),
        (510, "service_error"),
        (511, "not_the_service"),  # RFC 6585: the network wants a sign-in
        (512, "service_error"),
    ],
)
def test_the_status_of_an_answer_says_who_gave_it(status: int, code: str) -> None:
    error = error_of_answer("the stream", "wss://api.example", HttpAnswer(status, {}, b""))
    assert error.code == code
    assert error.facts["status"] == status
