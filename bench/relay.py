"""What a message costs on its way from the socket into the durable journal.

CPU seconds of the process, all threads: on a busy machine the clock tells about its neighbours.

Floors: a bare loop over `websockets` that keeps nothing, and the vendor SDK's iteration, which
keeps nothing either.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio
from websockets.asyncio.client import connect

from ih_mcp.journal import open_journal
from ih_mcp.net.opener import open_socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1

from .table import rounds, show

_COUNT = 30_000


def run(count: int) -> None:
    peer = [sys.executable, "-m", "bench.flood", str(_COUNT)]
    with subprocess.Popen(peer, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        base = f"127.0.0.1:{process.stdout.readline().strip()}"
        measured = rounds(
            count,
            {
                "websockets loop, keeps nothing": partial(anyio.run, _bare, base),
                "vendor SDK iteration, keeps nothing": partial(anyio.run, _vendor, base),
                "ih-mcp, into the durable journal": partial(anyio.run, _ours, base),
            },
        )
        process.terminate()
    show(
        "relay",
        "us of CPU a message",
        measured,
        floor="vendor SDK iteration, keeps nothing",
        scale=1e6,
    )


def _each(began: float, received: int) -> float:
    assert received >= _COUNT, received
    return (time.process_time() - began) / received


async def _bare(base: str) -> float:
    received = 0
    async with connect(f"ws://{base}/v1/stream/analyze", compression=None, proxy=None) as socket:
        await socket.recv()
        began = time.process_time()
        async for _ in socket:
            received += 1
    return _each(began, received)


async def _vendor(base: str) -> float:
    from interhumanai import StreamClient  # noqa: PLC0415

    class Fixed:
        async def get_token(self) -> str:
            return "t"

    client = StreamClient(token_provider=Fixed(), base_url=f"http://{base}")
    await client.connect()
    began = time.process_time()
    received = 0
    async for _ in client:
        received += 1
    await client.close()
    return _each(began, received)


async def _ours(base: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with open_journal(Path(folder)) as journal:
            log = await journal.begin("st_bench", {})
            stream = Stream(
                "st_bench",
                StreamConfig(dialect=V1, base_url=f"http://{base}"),
                log=log,
                opener=partial(open_socket, bearer="k"),
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.run)
                await stream.wait_until_open()
                began = time.process_time()
                await stream.until(lambda: False)
            assert log.last == _COUNT + 1
            return _each(began, log.last)
