"""Calls of a disk that may not answer."""

from __future__ import annotations

import time

from ih_mcp.app.disk_calls import DISK_SECONDS, DiskCalls


async def test_a_call_hangs_where_it_runs_for_longer_than_a_disk_needs() -> None:
    calls = DiskCalls()
    assert await calls.call(calls.hanging_calls) == 0  # itself, which has just begun
    calls._running[object()] = time.monotonic() - DISK_SECONDS
    assert await calls.call(calls.hanging_calls) == 1
