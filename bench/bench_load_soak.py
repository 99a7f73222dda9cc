"""A load that is held for long, and whether anything grows under it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

import anyio

from . import bench_load_rows as inside
from .bench_load_table import Row

_LEAST_MINUTES = 5  # chosen: in less, a page of 4 KiB would count as megabytes an hour


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares."""
    count = len(points)
    x, y = (sum(column) / count for column in zip(*points, strict=True))
    over: float = sum((a - x) * (b - y) for a, b in points)
    spread: float = sum((a - x) ** 2 for a, _ in points)
    return over / (spread or 1.0)


async def soak(url: str, minutes: float) -> list[Row]:
    """Ten streams, 60 events and 1 MB a second in all: an hour of one stream in ten minutes."""
    memory: list[tuple[float, float]] = []
    counts: list[tuple[int, int]] = []
    async with inside.held(url, 10) as found:
        async with anyio.create_task_group() as tasks:
            for stream in found.streams:
                tasks.start_soon(inside.push, stream, bytes(100_000), 1.0)
            began = time.monotonic()
            while (at := time.monotonic() - began) < minutes * 60:
                await anyio.sleep(1.0)
                if at > minutes * 6:  # the first tenth warms up
                    memory.append((at / 3600, inside.rss_bytes() / 2**20))
                    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
                    counts.append((files, threading.active_count()))
            tasks.cancel_scope.cancel()
        rest = memory[-1][1]
        sent, wrong = await inside.end(found)
    grown, last = slope(memory), rest - memory[0][1]
    tells_rate = minutes >= _LEAST_MINUTES
    return [
        Row(name="soak", what=f"{minutes:g} min, {sent:,} events: memory an hour",
            figure=f"{grown:+.1f} MiB/h", floor=f"last - warm {last:+.1f} MiB",
            bound="<= 12 MiB/h (6 x an hour's work), <= 8" if tells_rate else "<= 8 MiB in all",
            ok=(grown <= 12 or not tells_rate) and last <= 8),
        Row(name="soak", what="descriptors and threads, warm and last",
            figure=f"{counts[-1]}", floor=f"{counts[0]}", bound="no more",
            ok=counts[-1][0] <= counts[0][0] + 1 and counts[-1][1] <= counts[0][1] + 1),
        Row(name="soak", what="streams with a message lost or moved", figure=str(wrong), floor="-",
            bound="0", ok=not wrong),
    ]  # fmt: skip
