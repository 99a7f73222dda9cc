"""What one caller may ask of the server, and what is said beyond it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ih_mcp.errors import CallerError
from ih_mcp.http_server.callers import Caller
from ih_mcp.http_server.limits import CallerLimits, HeldBodies
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import CALLERS, Era, Team, said

BOTH_ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
ANN, BOB = (Caller("acme", name, frozenset()) for name in ("ann", "bob"))


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[Team]:
    """Two calls a minute, one waiting poll, one live stream."""
    changed: dict[str, Any] = {"max_calls_per_minute": 2, "max_waiting_polls": 1, "max_streams": 1}
    changed_settings = settings.model_copy(update=changed)
    async with open_team_server(changed_settings) as server:
        yield Team(server.url, server.app, changed_settings)


def test_calls_come_back_evenly_and_each_caller_has_its_own() -> None:
    limits = CallerLimits(max_calls_per_minute=60, max_waiting_polls=1)
    for _ in range(60):
        limits.count_call(ANN, now=0.0)
    with pytest.raises(CallerError) as refused:
        limits.count_call(ANN, now=0.4)
    assert refused.value.facts == {"retry_after_s": 1, "max_calls_per_minute": 60, "left": 0}
    limits.count_call(BOB, now=0.4)
    limits.count_call(ANN, now=1.0)
    with pytest.raises(CallerError):
        limits.count_call(ANN, now=1.0)
    for _ in range(60):
        limits.count_call(ANN, now=1000.0)
    with pytest.raises(CallerError):
        limits.count_call(ANN, now=1000.0)


def test_a_waiting_call_counts_as_long_as_it_waits() -> None:
    limits = CallerLimits(max_calls_per_minute=1, max_waiting_polls=2)
    with limits.waiting(ANN), limits.waiting(ANN), limits.waiting(BOB):
        assert limits.waiting_polls == 3
        with pytest.raises(CallerError, match="wait for this caller"), limits.waiting(ANN):
            pass
        assert limits.waiting_polls == 3
    assert limits.waiting_polls == 0
    assert not limits._polls


@BOTH_ERAS
async def test_too_many_calls_are_refused_with_when_to_come_again(strict: Team, era: Era) -> None:
    async with strict.client(era=era) as client, strict.client("bob", era) as other:
        for _ in range(2):
            assert not (await client.call_tool("list_streams", {})).is_error
        result = await client.call_tool("list_streams", {})
        assert result.is_error
        refused = said(result)
        assert (refused["code"], refused["retry"], refused["left"]) == ("too_many_calls", True, 0)
        assert 0 < refused["retry_after_s"] <= 30
        assert (await client.list_tools()).tools  # what is no call of a tool is free
        assert not (await other.call_tool("list_streams", {})).is_error
    async with strict.http() as http:
        answer = await http.put("/files/a.mp4", content=b"x")
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 30
        assert answer.json()["ih_mcp"]["error"]["code"] == "too_many_calls"


@BOTH_ERAS
async def test_more_waiting_polls_than_may_be_are_refused(settings: Settings, era: Era) -> None:
    changed = settings.model_copy(update={"max_waiting_polls": 1, "max_streams": 1})
    async with open_team_server(changed) as server:
        team = Team(server.url, server.app, changed)
        limits = server.app.limits
        async with team.client(era=era) as client:
            started = said(await client.call_tool("start_stream", {}))
            ask = {"stream_id": started["stream_id"], "cursor": started["next_cursor"]}
            another = said(await client.call_tool("start_stream", {}))
            assert another["code"] == "too_many_streams"

            async def wait() -> None:
                async with team.client(era=era) as waiting:
                    await waiting.call_tool("poll_events", {**ask, "wait_s": 25})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                while not limits.waiting_polls:
                    await anyio.lowlevel.checkpoint()
                for more in ({}, {"wait_s": 3}, {"wait_s": None}):
                    refused = said(await client.call_tool("poll_events", {**ask, **more}))
                    assert (refused["code"], refused["left"]) == ("too_many_polls", 0)
                at_once = said(await client.call_tool("poll_events", {**ask, "wait_s": 0}))
                assert at_once["stream_id"] == started["stream_id"]
                await client.call_tool("end_stream", {"stream_id": started["stream_id"]})


@BOTH_ERAS
async def test_a_tenant_s_live_streams_are_refused_with_what_is_left(
    settings: Settings, era: Era
) -> None:
    assert settings.callers
    settings.callers.write_text(f"[tenants.acme]\nmax_streams = 1\n{CALLERS}")
    async with open_team_server(settings) as server:
        team = Team(server.url, server.app, settings)
        async with team.client(era=era) as client, team.client("bob", era) as other:
            stream_id = said(await client.call_tool("start_stream", {}))["stream_id"]
            result = await client.call_tool("start_stream", {})
            assert result.is_error
            refused = said(result)
            assert (refused["code"], refused["left"]) == ("streams_used_up", 0)
            assert (refused["retry"], refused["retry_after_s"]) == (True, 5)
            theirs = said(await other.call_tool("start_stream", {}))  # beta has no limit
            await other.call_tool("end_stream", {"stream_id": theirs["stream_id"]})
            await client.call_tool("end_stream", {"stream_id": stream_id})
            again = said(await client.call_tool("start_stream", {}))
            await client.call_tool("end_stream", {"stream_id": again["stream_id"]})


@BOTH_ERAS
async def test_a_tenant_s_minutes_of_a_month_are_refused_with_when_and_what_is_left(
    settings: Settings, era: Era
) -> None:
    assert settings.callers
    settings.callers.write_text(f"[tenants.acme]\nmax_minutes_per_month = 0\n{CALLERS}")
    async with open_team_server(settings) as server:
        async with Team(server.url, server.app, settings).client(era=era) as client:
            result = await client.call_tool("start_stream", {})
        assert result.is_error
        refused = said(result)
        assert (refused["code"], refused["left_minutes"]) == ("minutes_used_up", 0)
        assert 0 < refused["retry_after_s"] <= 31 * 86_400
        assert refused["setting"] == "IH_MCP_MAX_MINUTES_PER_MONTH"


async def test_at_the_bytes_of_a_day_a_push_is_refused_as_the_stream_is_over(
    settings: Settings,
) -> None:
    first = webm_header() + cluster(0)
    assert settings.callers
    settings.callers.write_text(f"[tenants.acme]\nmax_bytes_per_day = {len(first)}\n{CALLERS}")
    async with open_team_server(settings) as server:
        team = Team(server.url, server.app, settings)
        async with team.client() as client, team.http() as http:
            stream_id = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
            path = f"/streams/{stream_id}/segments"
            assert (await http.put(f"{path}/1", content=first)).is_success
            assert (await http.put(f"{path}/2", content=cluster(1_000))).is_success  # not sent
            poll = {"stream_id": stream_id, "cursor": 0, "wait_s": 25}
            while "code" not in (told := said(await client.call_tool("poll_events", poll))):
                poll["cursor"] = told["next_cursor"]
            assert (told["code"], told["left_bytes"]) == ("bytes_used_up", 0)
            answer = await http.put(f"{path}/3", content=cluster(2_000))
            refused = answer.json()["ih_mcp"]["error"]
            assert (answer.status_code, refused["code"]) == (409, "bytes_used_up")


def test_bodies_are_counted_by_tenant_and_by_what_they_declare() -> None:
    bodies = HeldBodies(max_bytes=0, max_body_bytes=100)
    with bodies.holding("acme", None), bodies.holding("acme", 90), bodies.holding("beta", 100):
        with bodies.holding("acme", 10):
            pass
        too_much = bodies.holding("acme", 10**12)  # no more than 100 of it would be read
        with pytest.raises(CallerError, match="190 bytes now") as refused, too_much:
            pass
        assert refused.value.facts == {"retry_after_s": 1, "max_bytes": 200}
    assert not bodies._held


async def test_segments_that_come_slowly_hold_no_more_than_may_be(settings: Settings) -> None:
    changed = settings.model_copy(
        update={"max_queued_bytes": 2**20, "max_segment_bytes": 2**16, "max_call_bytes": 2**16}
    )
    async with open_team_server(changed) as server:
        team = Team(server.url, server.app, changed)
        goes_on, arrived = anyio.Event(), anyio.Semaphore(0)

        async def slow() -> AsyncIterator[bytes]:
            arrived.release()
            yield b"x"
            await goes_on.wait()

        async with team.http() as http, anyio.create_task_group() as tasks:
            for seq in range(1, 9):  # each may be as large as 128 KiB, as far as anybody knows
                tasks.start_soon(partial(http.put, f"/streams/st_a/segments/{seq}", content=slow()))
            for _ in range(8):
                await arrived.acquire()
            while server.app._bodies._held["acme"] < 2**20:
                await anyio.lowlevel.checkpoint()
            answer = await http.put("/streams/st_a/segments/9", content=b"x" * 2**16)
            assert answer.status_code == 429
            assert answer.json()["ih_mcp"]["error"]["code"] == "too_many_bytes"
            assert answer.headers["retry-after"] == "1"
            assert (await http.get("/health")).is_success
            async with team.http("bob") as other:  # of another tenant
                answer = await other.put("/streams/st_a/segments/9", content=b"x" * 2**16)
                assert answer.status_code == 404
            goes_on.set()
