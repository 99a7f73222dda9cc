"""Several replicas of the server in one process, with one PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.http_server.conftest import Team, make_settings
from tests.reliability.conftest import pytest_runtest_makereport

from .rolling import CLUSTER

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(autouse=True)
def _nothing_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test renews leases when it wants to: replicas learn of each other then alone."""
    pytest.importorskip("psycopg", reason="the extra `team` is not installed")
    for name in ("RENEW_SECONDS", "HOLD_SECONDS", "LEASE_SECONDS"):
        monkeypatch.setattr(f"ih_mcp.journal.postgres.leases.{name}", 10**6)


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(Options(key="ih_k"), ffmpeg=ffmpeg) as running:
        yield running


@pytest.fixture
async def replicas(
    service: RunningStandin, database: str, tmp_path: Path
) -> AsyncIterator[tuple[Team, Team]]:
    one, other = (
        make_settings(service, tmp_path / name, journal=database, **CLUSTER)
        for name in ("one", "other")
    )
    async with open_team_server(one) as first, open_team_server(other) as second:
        yield Team(first.url, first.app, one), Team(second.url, second.app, other)
