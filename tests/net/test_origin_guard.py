"""Which requests a guard lets through, by the headers a browser sends."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ih_mcp.net.origin_guard import OriginGuard


async def answer(_: object) -> PlainTextResponse:
    return PlainTextResponse("served", headers={"X-Frame-Options": "ALLOW"})


APP = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


def guarded(*, origin_paths: str = "/", requires_origin: bool = False) -> TestClient:
    guard = OriginGuard(
        APP,
        allows_host=lambda host: host == "ours:1",
        allows_origin=lambda origin: origin == "http://ours:1",
        origin_paths=origin_paths,
        requires_origin=requires_origin,
        probe_paths=("/health",),
        headers=[("X-Frame-Options", "DENY")],
    )
    return TestClient(guard)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"host": "OURS:1"}, 200),
        ("GET", "/", {"host": "ours:2"}, 421),
        ("GET", "/", {"host": "rebound.example"}, 421),
        ("GET", "/", {"host": "ours:1", "origin": "http://ours:1"}, 200),
        ("GET", "/", {"host": "ours:1", "origin": "http://evil.example"}, 403),
        ("GET", "/", {"host": "ours:1", "origin": "null"}, 403),
        ("POST", "/", {"host": "ours:1"}, 403),
        ("POST", "/", {"host": "ours:1", "origin": "http://ours:1"}, 200),
    ],
)
def test_a_request_is_served_by_its_host_and_origin(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answered = guarded(requires_origin=True).request(method, path, headers=headers)
    assert answered.status_code == status
    assert answered.headers["x-frame-options"] == "DENY"  # refusals have the headers too


def test_origins_are_checked_below_the_named_paths_alone() -> None:
    client = guarded(origin_paths="/own/")
    headers = {"host": "ours:1", "origin": "http://evil.example"}
    assert client.get("/own/data", headers=headers).status_code == 403
    assert client.get("/v1/data", headers=headers).status_code == 200
    assert client.post("/own/data", headers={"host": "ours:1"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("10.1.2.3:80", "/health", 200),
        ("10.1.2.3", "/health", 200),
        ("[::1]:80", "/health", 200),
        ("10.1.2.3:80", "/health/", 421),
        ("10.1.2.3:80", "/", 421),
        ("rebound.example", "/health", 421),
        ("rebound.example:80", "/health", 421),
        ("a@10.1.2.3", "/health", 421),
        ("[::1", "/health", 421),  # no address
        ("ours:1", "/health", 200),
    ],
)
def test_a_probe_is_answered_under_any_address_and_no_other_name(
    host: str, path: str, status: int
) -> None:
    assert guarded().get(path, headers={"host": host}).status_code == status
