"""T5, T6: replicas are replaced one after the other while their streams live."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.leaks import KEY as SERVICE_KEY
from tests.plain_http import plain_http

from .budget import IS_LONG, often, report
from .replicas import (
    Balancer,
    Replica,
    call,
    open_balancer,
    open_client,
    open_fleet,
    put_segment,
)

pytest.importorskip("psycopg", reason="the extra `team` is not installed")
pytestmark = [
    pytest.mark.timeout(often(90, nightly=1800)),
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]
FILE = "test_team_deploy.py"
ERAS = ("auto", "legacy")


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(Options(key=SERVICE_KEY), ffmpeg=ffmpeg) as running:
        yield running


class LiveStream:
    """A stream that a test pushes to and follows, each call at the next replica."""

    def __init__(self, balancer: Balancer, number: int, stream_id: str) -> None:
        self._balancer = balancer
        self._era = ERAS[number % 2]
        self.id = stream_id
        self.pushed = 0
        self.polls = 0
        self.messages: list[str] = []
        self.is_read = anyio.Event()

    async def push(self) -> None:
        self.pushed += 1
        await put_segment(self._balancer.url, self.id, self.pushed)

    async def end(self) -> None:
        async with open_client(self._balancer.url, self._era) as client:
            status, _ = await call(client, "end_stream", stream_id=self.id)
        assert status["ended"]

    async def follow(self) -> None:
        """Read it to its end, with one client all the time; no call may fail."""
        cursor, status = 0, dict[str, Any](ended=False)
        async with open_client(self._balancer.url, self._era) as client:
            while not status["ended"]:
                status, messages = await call(
                    client, "poll_events", stream_id=self.id, cursor=cursor, wait_s=25
                )
                self.polls += 1
                self.messages += messages
                cursor = status["next_cursor"]
        assert (status["state"], status["reason"]) == ("ended", "by_request")
        self.is_read.set()


async def visit(balancer: Balancer) -> None:
    """A new client of each era comes, has a short stream, and goes; no call may fail."""
    for era in ERAS:
        async with open_client(balancer.url, era) as client:
            started, _ = await call(client, "start_stream", include=[])
            await put_segment(balancer.url, started["stream_id"], 1)
            await call(client, "list_streams")
            await call(client, "end_stream", stream_id=started["stream_id"])


async def stop(replica: Replica) -> None:
    """SIGTERM, and wait until it drains."""
    replica.process.send_signal(signal.SIGTERM)
    async with plain_http(base_url=replica.url) as http:
        while (await http.get("/ready")).is_success:
            pass


async def test_t5_t6_a_deploy_cuts_no_stream_and_fails_no_call(
    service: RunningStandin, database: str, tmp_path: Path
) -> None:
    count, streams_each, steps = often((2, 1, 1), nightly=(3, 17, 12))
    visits = 0
    async with open_fleet(service.url, database, tmp_path) as fleet:
        olds = [await fleet.start() for _ in range(count)]
        async with (
            open_balancer([old.url for old in olds]) as balancer,
            anyio.create_task_group() as followers,
        ):
            streams: dict[Replica, list[LiveStream]] = {}
            followed: list[LiveStream] = []
            for old in olds:
                for number in range(streams_each):
                    async with open_client(old.url, ERAS[number % 2]) as client:
                        started, _ = await call(client, "start_stream", include=[])
                    stream = LiveStream(balancer, number, started["stream_id"])
                    streams.setdefault(old, []).append(stream)
                    followed.append(stream)
                    followers.start_soon(stream.follow)
            for old in olds:
                balancer.replicas.append((await fleet.start()).url)
                await stop(old)
                for step in range(steps):
                    async with anyio.create_task_group() as tasks:
                        for each in chain.from_iterable(streams.values()):
                            tasks.start_soon(each.push)
                        tasks.start_soon(visit, balancer)
                        if IS_LONG:
                            tasks.start_soon(anyio.sleep, 1)
                    visits += len(ERAS)
                    if not step:  # only now the balancer notices that it drains
                        balancer.replicas.remove(old.url)
                for each in streams.pop(old):
                    await each.end()
                    await each.is_read.wait()
                assert await old.end() == 0
        assert not balancer.failed
    sessions = service.recorder.sessions
    assert len(sessions) == len(followed) + visits  # none was opened anew
    assert {session.end for session in sessions} == {"session.ended"}
    sent = [session.texts for session in sessions]
    assert all(each.messages in sent for each in followed)
    assert all(len(session.segments) >= 1 for session in sessions)
    reading = f"{sum(each.polls for each in followed)} polls of {len(followed)} clients"
    report("T6", FILE, f"each call at the next replica, old ones replaced meanwhile: {reading}")
    report(
        "T5",
        FILE,
        f"{count} replicas replaced under {count * streams_each} live streams and {visits} new "
        f"clients of both eras: {balancer.requests} requests, 0 errors, 0 sessions cut",
    )
