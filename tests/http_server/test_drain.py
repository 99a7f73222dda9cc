"""A server that is asked to end: what goes on, what ends in order, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest

from ih_mcp.app.runtime import Runtime
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings
from tests.plain_http import plain_http

from .conftest import KEYS, Team, said


def runtime_of(team: Team) -> Runtime:
    return team.app.tenants._open["acme"].runtime


async def test_a_subscription_ends_in_order(own_team: Team) -> None:
    async with (
        own_team.client() as client,
        client.listen(resource_subscriptions=["ih://streams"]) as events,
    ):
        runtime = runtime_of(own_team)
        while runtime.draining.leaving._event is None:  # nobody waits for it yet
            await anyio.lowlevel.checkpoint()
        own_team.app.drain()
        with anyio.fail_after(30):
            assert [event async for event in events] == []


async def test_it_waits_for_analyses_and_takes_no_new_ones(
    own_team: Team, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, is_sent = anyio.Event(), anyio.Event()
    from ih_mcp.net.rest import Rest  # noqa: PLC0415 - loads late, as in the server

    upload = Rest.upload

    async def upload_late(*given: object, **more: object) -> object:
        is_sent.set()
        await may_answer.wait()
        return await upload(*given, **more)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(Rest, "upload", upload_late)
    async with own_team.client() as client, own_team.http() as http:
        video = await anyio.Path(short_clip).read_bytes()
        assert (await http.put("/files/talk.mp4", content=video)).is_success
        call = {"path": "talk.mp4"}
        began = said(await client.call_tool("analyze_file", call))
        with anyio.fail_after(30):
            await is_sent.wait()
        assert own_team.app.drain() == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own_team.app.wait_until_idle)
            refused = said(await client.call_tool("analyze_file", call))
            assert (refused["code"], refused["retry"]) == ("draining", True)
            may_answer.set()
        assert own_team.app.drain() == 0
        found = await client.call_tool("get_analysis", {"analysis_id": began["analysis_id"]})
        assert said(found)["state"] == "ended"


async def test_a_call_that_is_under_way_at_the_end_is_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is on its way when the server takes no more connections."""
    monkeypatch.setattr("ih_mcp.net.listen._SHUTDOWN_SECONDS", 0)  # of servers with no such calls
    is_half_sent, is_closed = anyio.Event(), anyio.Event()
    statuses = list[int]()

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        is_half_sent.set()
        await is_closed.wait()
        yield b"the rest"

    async def put(url: str) -> None:
        bearer = {"Authorization": f"Bearer {KEYS['ann']}"}
        async with plain_http(headers=bearer) as http:
            statuses.append((await http.put(f"{url}/files/talk.mp4", content=body())).status_code)

    async def wait_until_closed(url: str) -> None:
        async with plain_http() as http:
            with suppress(httpx2.TransportError):
                while (await http.get(f"{url}/health", headers={"Connection": "close"})).is_success:
                    pass
        is_closed.set()

    async with anyio.create_task_group() as tasks, open_team_server(settings) as server:
        tasks.start_soon(put, server.url)
        await is_half_sent.wait()
        while not any(server.app._calls.values()):
            await anyio.lowlevel.checkpoint()
        tasks.start_soon(wait_until_closed, server.url)
    assert statuses == [201]
