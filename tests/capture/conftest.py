from __future__ import annotations

import anyio
import pytest

from ih_mcp.streams.outbox import Outbox

from .room import open_room

__all__ = ["open_room"]


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing go out of a stream, as where its connection takes nothing.

    A service that reads no more would do that too, but behind up to 37 MiB in the kernel.
    """
    monkeypatch.setattr(Outbox, "head", lambda _: anyio.sleep_forever())
