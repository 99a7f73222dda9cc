from __future__ import annotations

import pytest


@pytest.fixture
def short_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions of a second are renewed too."""
    monkeypatch.setattr("ih_mcp.streams.leg._LEAST_SESSION_SECONDS", 1.0)
