"""Waits until all tasks wait, also beside a connection that listens to PostgreSQL."""

from __future__ import annotations

import anyio

_LOOK_SECONDS = 0.03


async def wait_all_blocked() -> None:
    """As anyio's, which looks each 0.1 s, as often as psycopg's listener wakes up for a moment.

    In step with it, it would find that one awake each time, and wait for ever.
    """
    while True:
        with anyio.move_on_after(_LOOK_SECONDS):
            await anyio.wait_all_tasks_blocked()
            return
