"""How many connections a server takes, by how many files the system lets it open."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ih_mcp.http_server.open_files import MAX_CONNECTIONS, allow_connections

resource = pytest.importorskip("resource", reason="POSIX alone bounds open files")
NEVER = resource.RLIM_INFINITY
ENOUGH = MAX_CONNECTIONS + 512


@pytest.mark.parametrize(
    ("limits", "asked", "connections"),
    [
        ((1024, 2**20), (ENOUGH, 2**20), MAX_CONNECTIONS),  # as most systems have it
        ((1024, NEVER), (ENOUGH, NEVER), MAX_CONNECTIONS),
        ((NEVER, NEVER), None, MAX_CONNECTIONS),
        ((2**20, 2**20), None, MAX_CONNECTIONS),
        ((1024, 4096), (4096, 4096), 4096 - 512),
        ((4096, 4096), None, 4096 - 512),
        ((256, 256), None, 256),
    ],
)
def test_it_asks_for_as_many_files_as_it_needs_and_says_when_there_are_fewer(
    limits: tuple[int, int],
    asked: tuple[int, int] | None,
    connections: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_to: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, found: set_to.append(found))
    caplog.set_level(logging.WARNING)
    assert allow_connections() == connections
    assert set_to == ([asked] if asked else [])
    assert ("raise that limit" in caplog.text) == (connections < MAX_CONNECTIONS)
