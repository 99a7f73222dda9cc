"""A server that ends while pages are open: in time, and with its streams ended in order."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from anyio import to_thread
from websockets.asyncio.client import connect

from ih_mcp.journal import open_journal
from tests.fair_clock import seconds_until_exit
from tests.forked import REAL, forked
from tests.plain_http import plain_http
from tests.reliability.budget import often
from tests.road.host import Process, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
MOST_SECONDS = 2.0  # hosts kill a server that takes longer


async def test_an_open_page_does_not_keep_the_process(tmp_path: Path) -> None:
    assert await _leave(tmp_path) < MOST_SECONDS


async def _leave(folder: Path) -> float:
    """How long the server takes to go after its input was closed, with a page that records."""
    command = often(forked(), nightly=REAL)
    server = await to_thread.run_sync(Process, environment(folder), command)
    try:
        answer = await to_thread.run_sync(lambda: server.call("start_capture"))
        link, stream_id = answer.status["link"], answer.status["stream_id"]
        origin, _, ticket = link.partition("/#")
        async with plain_http() as client:
            headers = {"Origin": origin}
            redeemed = await client.post(f"{origin}/ticket", content=ticket, headers=headers)
        url = f"{origin.replace('http', 'ws', 1)}/live"
        async with connect(url, origin=origin, close_timeout=0.1) as socket:
            hello = {"type": "hello", "key": redeemed.json()["key"], "page": "p", "cursor": 0}
            await socket.send(json.dumps(hello))
            assert json.loads(await socket.recv())["type"] == "welcome"
            await socket.send('{"type":"claim"}')
            assert server.process.stdin
            close = server.process.stdin.close
            took = await to_thread.run_sync(seconds_until_exit, server.process, close)
    finally:
        await to_thread.run_sync(server.close)
    async with open_journal(folder) as journal:
        record = json.loads((await journal.find_stream(stream_id)).record)
    assert record["state"] == "ended"
    return took
