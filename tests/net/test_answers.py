"""What an answer over HTTP means, by its status."""

from __future__ import annotations

import pytest

from ih_mcp.errors import ConfigurationError, TransportError
from ih_mcp.net.answers import HttpAnswer, error_of_answer
from ih_mcp.net.proxies import Proxy
from ih_mcp.net.route import Route


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


@pytest.mark.parametrize("status", [400, 403, 407, 408, 409, 428, 429, 430, 499, 500, 502, 599])
def test_a_proxy_that_could_not_may_later_and_one_that_refuses_never(status: int) -> None:
    error = Route(url="wss://api.example", proxy=None, tls=None).refused_by_proxy(status)
    may_later = status in {408, 429} or status >= 500
    assert isinstance(error, TransportError if may_later else ConfigurationError)
    assert error.retry is may_later
    assert error.facts == {"status": status}
    assert ("wants a name and password" in error.what) is (status == 407)
    assert error.what.startswith("a proxy in between ")


@pytest.mark.parametrize(
    ("name", "says"), [("", "wants a name and password"), ("n", "did not take name and password")]
)
def test_a_proxy_that_asks_for_a_name_says_whether_it_had_one(name: str, says: str) -> None:
    proxy = Proxy(scheme="http", host="p", port=1, variable="https_proxy", username=name)
    error = Route(url="wss://api.example", proxy=proxy, tls=None).refused_by_proxy(407)
    assert says in error.what
    assert error.what.startswith(f"{proxy} ")
