"""The capture page of a process: served on first use, for as long as the process lives."""

from __future__ import annotations

import anyio
from anyio.abc import TaskStatus

from ih_mcp.capture.page_server import House
from ih_mcp.capture.serve import open_house
from ih_mcp.journal import Journal
from ih_mcp.settings import Settings
from ih_mcp.streams.registry import Registry


async def run_house(
    settings: Settings, journal: Journal, registry: Registry, *, task_status: TaskStatus[House]
) -> None:
    """Serve the page; made for a task group of the process."""
    async with open_house(
        journal,
        registry,
        host=settings.capture_host,
        port=settings.capture_port,
        origin=settings.capture_origin,
    ) as house:
        task_status.started(house)
        await anyio.sleep_forever()
