"""A capture page at whichever replica a browser is sent to: the one that has it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ih_mcp.capture.page_connection import UNKNOWN_KEY
from ih_mcp.capture.page_protocol import encode_server_message
from ih_mcp.http_server.cluster_signature import PassedOnCaller, sign
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.standin.server.serve import RunningStandin
from tests.http_server.conftest import Team, make_settings, said
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .rolling import CLUSTER

ORIGIN = "https://team.example"
Pair = tuple[Team, Team]


@pytest.fixture
async def pair(
    service: RunningStandin, database: str, tmp_path: Path
) -> AsyncIterator[tuple[Team, Team]]:
    """Two replicas behind one address, as browsers have it."""
    one, other = (
        make_settings(service, tmp_path / name, journal=database, public_url=ORIGIN, **CLUSTER)
        for name in ("one", "other")
    )
    async with open_team_server(one) as first, open_team_server(other) as second:
        yield Team(first.url, first.app, one), Team(second.url, second.app, other)


async def ask(team: Team, method: str, path: str, **more: Any) -> Any:
    """What a browser of the page asks, at this replica."""
    headers = {"Host": "team.example", "Origin": ORIGIN} | more.pop("headers", {})
    async with plain_http(base_url=team.url) as http:
        return await http.request(method, path, headers=headers, **more)


@asynccontextmanager
async def page_socket(team: Team, page: str, key: str) -> AsyncIterator[ClientConnection]:
    place = urlsplit(team.url)
    async with connect(
        f"ws://team.example{page}live",
        host=place.hostname,
        port=place.port,
        origin=ORIGIN,  # type: ignore[arg-type]  # a plain string
        compression=None,
        proxy=None,
    ) as socket:
        await socket.send(encode_server_message("hello", key=key, page="p", cursor=0))
        yield socket


async def hear(socket: ClientConnection, kind: str) -> str:
    while f'"type":"{kind}"' not in (message := str(await socket.recv())):
        pass
    return message


async def start_capture(team: Team) -> tuple[str, str, str]:
    """The stream, the path of its page, and the ticket."""
    async with team.client() as client:
        started = said(await client.call_tool("start_capture", {}))
    link = urlsplit(started["link"])
    assert f"{link.scheme}://{link.netloc}" == ORIGIN
    return started["stream_id"], link.path, link.fragment


async def end(team: Team, stream_id: str) -> None:
    async with team.client() as client:
        await client.call_tool("end_stream", {"stream_id": stream_id})


async def test_a_page_opens_and_records_where_a_balancer_sends_its_browser(pair: Pair) -> None:
    one, other = pair
    stream_id, page, ticket = await start_capture(one)
    html = await ask(other, "GET", page)
    assert html.status_code == 200
    assert html.text == (await ask(one, "GET", page)).text
    assert html.headers.get_list("content-security-policy", split_commas=False) == [
        (await ask(one, "GET", page)).headers["content-security-policy"]
    ]
    script = await ask(other, "GET", f"{page}static/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    redeemed = await ask(other, "POST", f"{page}ticket", content=ticket)
    key = redeemed.json()["key"]
    for team in pair:  # once, for both
        assert (await ask(team, "POST", f"{page}ticket", content=ticket)).status_code == 403
    async with page_socket(other, page, key) as socket:
        assert stream_id in await hear(socket, "welcome")
        await socket.send(encode_server_message("claim"))
        await hear(socket, "seated")
        await socket.send(encode_server_message("chunk", recording="r", seq=0, at=1.0))
        await socket.send(webm_header() + cluster(0, 2**17))
        await hear(socket, "taken")
    async with page_socket(one, page, key) as socket:  # the next connection, at the next replica
        await hear(socket, "welcome")
    async with one.client() as client:  # which carries it; what is kept is of its last state
        status = said(await client.call_tool("list_streams", {"stream_id": stream_id}))
        assert sum(status["segments"].values()) == 1
    await end(one, stream_id)


async def test_what_a_page_is_refused_it_is_refused_at_every_replica(pair: Pair) -> None:
    one, other = pair
    stream_id, page, ticket = await start_capture(one)
    for team in pair:
        foreign = await ask(
            team,
            "POST",
            f"{page}ticket",
            content=ticket,
            headers={"Origin": "https://evil.example"},
        )
        assert foreign.status_code == 403
        long = await ask(team, "POST", f"{page}ticket", content="x" * 10_000)
        assert long.status_code == 413
        guessed = f"{page[:-8]}{'x' * 7}/"
        unknown = await ask(team, "GET", guessed)
        assert (unknown.status_code, "new link" in unknown.text) == (404, True)
        for path in (page, guessed):
            with pytest.raises(ConnectionClosed) as closed:
                async with page_socket(team, path, "never") as socket:
                    await socket.recv()
            assert closed.value.rcvd
            assert closed.value.rcvd.code == UNKNOWN_KEY
    await end(other, stream_id)


async def test_a_page_whose_replica_is_gone_is_told_so(
    service: RunningStandin, database: str, tmp_path: Path
) -> None:
    one, other = (
        make_settings(service, tmp_path / name, journal=database, public_url=ORIGIN, **CLUSTER)
        for name in ("one", "other")
    )
    async with open_team_server(one) as living:
        here = Team(living.url, living.app, one)
        async with open_team_server(other) as leaving:
            there = Team(leaving.url, leaving.app, other)
            stream_id, page, _ = await start_capture(there)
            engine = living.app.tenants._engine
            assert engine
            await to_thread.run_sync(engine.lease.renew)
            assert (await ask(here, "GET", page)).status_code == 200
            await end(there, stream_id)
        away = await ask(here, "GET", page)  # nobody has noticed yet
        assert (away.status_code, away.headers["retry-after"]) == (503, "3")
        with pytest.raises(InvalidStatus) as refused:
            async with page_socket(here, page, "k"):
                pass
        assert refused.value.response.status_code == 503
        await to_thread.run_sync(engine.lease.renew)
        unknown = await ask(here, "GET", page)
        assert (unknown.status_code, "new link" in unknown.text) == (404, True)


async def test_a_browser_s_leaving_is_told_to_the_replica_that_has_the_page(pair: Pair) -> None:
    one, other = pair
    stream_id, page, ticket = await start_capture(one)
    key = (await ask(other, "POST", f"{page}ticket", content=ticket)).json()["key"]
    async with page_socket(other, page, key) as socket:
        await hear(socket, "welcome")
        connections = one.app.tenants._open["acme"].runtime
        assert connections.registry.live_ids == [stream_id]
        await socket.send(encode_server_message("claim"))
        await hear(socket, "seated")
    async with page_socket(one, page, key) as another:  # whose place to record was given up
        await hear(another, "welcome")
        await another.send(encode_server_message("claim"))
        with anyio.fail_after(30):
            await hear(another, "seated")
    await end(one, stream_id)


async def test_a_page_that_no_replica_signed_is_not_answered(pair: Pair) -> None:
    one, _ = pair
    stream_id, page, _ = await start_capture(one)
    engine = one.app.tenants._engine
    assert engine
    address, path = engine.lease.address, f"/page{page}"
    told = {"x-ih-page-host": "team.example", "x-ih-page-origin": ORIGIN}
    signed = f"GET\nteam.example\n{ORIGIN}\n\n".encode()
    good = told | sign(b"s" * 32, PassedOnCaller("", "a page"), path, signed)
    changed = good | {"x-ih-page-host": "evil.example"}
    async with plain_http() as http:

        async def get(headers: dict[str, str]) -> int:
            return int((await http.get(address + path, headers=headers)).status_code)

        assert [await get(each) for each in ({}, changed, good, good)] == [401, 401, 200, 401]
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address.replace("http", "ws", 1) + path + "live", proxy=None):
            pass
    assert refused.value.response.status_code == 401
    await end(one, stream_id)
