"""The capture page of a team's server: one for each tenant, under the server's own address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ih_mcp.capture.page_connection import UNKNOWN_KEY
from ih_mcp.capture.page_protocol import encode_server_message
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import Era, Team, said


async def link_of(team: Team, caller: str = "ann", era: Era = "auto") -> dict[str, Any]:
    async with team.client(caller, era) as client:
        return said(await client.call_tool("start_capture", {}))


async def redeem(team: Team, page: str, ticket: str, origin: str | None = None) -> Any:
    async with team.http(None) as http:
        headers = {"Origin": origin or team.url}
        return await http.post(urljoin(page, "ticket"), content=ticket, headers=headers)


@asynccontextmanager
async def page_socket(team: Team, page: str, key: str) -> AsyncIterator[Any]:
    url = urljoin(page, "live").replace("http", "ws", 1)
    async with connect(url, origin=team.url, compression=None, proxy=None) as socket:  # type: ignore[arg-type]  # a plain string
        await socket.send(encode_server_message("hello", key=key, page="p", cursor=0))
        yield socket


async def hear(socket: Any, kind: str) -> str:
    with anyio.fail_after(30):
        while f'"type":"{kind}"' not in (message := str(await socket.recv())):
            pass
    return message


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_link_opens_the_page_and_what_it_records_is_in_the_stream(
    team: Team, era: Era
) -> None:
    started = await link_of(team, era=era)
    page, _, ticket = started["link"].partition("#")
    assert page.startswith(f"{team.url}/live/")
    assert page.endswith("/")
    assert "acme" not in page
    async with team.http(None) as http:
        html = await http.get(page)
        assert "default-src 'none'" in html.headers["content-security-policy"]
        for name in ("page.js", "timeline.css"):
            assert f'"static/{name}"' in html.text
            assert (await http.get(urljoin(page, f"static/{name}"))).status_code == 200
    key = (await redeem(team, page, ticket)).json()["key"]
    assert (await redeem(team, page, ticket)).status_code == 403  # works once
    async with page_socket(team, page, key) as socket:
        assert started["stream_id"] in await hear(socket, "welcome")
        await socket.send(encode_server_message("claim"))
        await hear(socket, "seated")
        head = encode_server_message("chunk", recording="r", seq=0, at=1.0)
        await socket.send(head)
        await socket.send(webm_header() + cluster(0))
        await hear(socket, "taken")
    async with team.client() as client:
        arguments = {"stream_id": started["stream_id"]}
        status = said(await client.call_tool("list_streams", arguments))
        assert sum(status["segments"].values()) == 1
        await client.call_tool("end_stream", arguments)


async def test_a_ticket_and_a_key_are_of_one_tenant_s_page_alone(team: Team) -> None:
    ann, bob = await link_of(team), await link_of(team, "bob")
    page, _, ticket = ann["link"].partition("#")
    other, _, others = bob["link"].partition("#")
    assert page != other
    refused, never = await redeem(team, other, ticket), await redeem(team, other, "never")
    assert (refused.status_code, refused.text) == (never.status_code, never.text)
    key = (await redeem(team, other, others)).json()["key"]
    with pytest.raises(ConnectionClosed) as closed:
        async with page_socket(team, page, key) as socket:
            await socket.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == UNKNOWN_KEY


async def test_a_page_of_before_a_restart_is_told_to_get_a_new_link(team: Team) -> None:
    page = f"{team.url}/live/{'x' * 12}/"
    async with team.http(None) as http:
        unknown = await http.get(page)
        assert (unknown.status_code, "new link" in unknown.text) == (404, True)
    with pytest.raises(ConnectionClosed) as closed:
        async with page_socket(team, page, "k") as socket:
            await socket.recv()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == UNKNOWN_KEY


async def test_no_other_site_reaches_a_page_and_no_other_path_takes_a_socket(team: Team) -> None:
    page, _, ticket = (await link_of(team))["link"].partition("#")
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        assert (await redeem(team, page, ticket, origin)).status_code == 403
    async with team.http(None) as http:
        no_origin = await http.post(urljoin(page, "ticket"), content=ticket)
        assert no_origin.status_code == 403
    for path in ("/mcp", "/streams/x/segments/1", "/live"):
        with pytest.raises(InvalidStatus):
            async with connect(team.url.replace("http", "ws", 1) + path, proxy=None):
                pass


@pytest.mark.parametrize(
    ("public_url", "has_page"),
    [("https://team.example", True), ("http://team.example", False), (None, True)],
)
async def test_a_page_is_offered_where_browsers_give_it_a_camera(
    settings: Settings, public_url: str | None, has_page: bool
) -> None:
    changed = settings.model_copy(update={"public_url": public_url})
    async with open_team_server(changed) as server:
        team = Team(server.url, server.app, changed)
        async with team.client() as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert ("start_capture" in tools) == has_page
            if has_page:
                given = said(await client.call_tool("start_capture", {}))
                assert given["link"].startswith(f"{public_url or server.url}/live/")
                alone = "at this computer alone" in given["notes"][0]
                assert alone == (public_url is None)
                if public_url:
                    page = urlsplit(given["link"]).path
                    async with plain_http(base_url=server.url) as http:
                        host = {"Host": "team.example"}
                        assert (await http.get(page, headers=host)).status_code == 200
                        assert (await http.get(page)).status_code == 421  # not its own address
