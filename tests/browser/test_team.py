"""A person at the capture page of a team's server: in a real browser, by the link of a caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.http_server.conftest import Team, make_settings, said
from tests.reliability.replicas import call
from tests.team.recording import open_relay
from tests.team.rolling import CLUSTER

from .conftest import OpenBrowser, Tab, open_tab
from .test_live import VP8, end, long, record

pytestmark = pytest.mark.timeout(120)


@long
async def test_what_a_person_records_for_a_tenant_arrives_as_recorded(
    open_browser: OpenBrowser, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    async with serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service:
        settings = make_settings(service, tmp_path)
        async with open_team_server(settings) as server, open_browser() as context:
            team = Team(server.url, server.app, settings)
            async with team.client() as client:
                started = said(await client.call_tool("start_capture", {}))
                assert started["link"].startswith(f"{team.url}/live/")
                tab = await open_tab(context, started["link"], only=VP8)
                await record(tab, seconds=4)
                registry = server.app.tenants._open["acme"].runtime.registry
                stream = registry.live(started["stream_id"])
                await end(tab, stream)
                (session,) = service.recorder.sessions
                hashes, left = await tab.recorded([size for size, _ in session.segments])
                assert hashes == [sha256 for _, sha256 in session.segments]
                assert left == 0
                assert await read_all(client, stream.id) == session.texts
                await tab.went_well()


async def read_all(client: Client, stream_id: str) -> list[str]:
    messages, cursor, over = list[str](), 0, False
    while not over:
        told, found = await call(
            client, "poll_events", stream_id=stream_id, cursor=cursor, wait_s=20
        )
        messages += found
        cursor, over = told["next_cursor"], told["ended"]
    return messages


# --- behind a balancer ---------------------------------------------------------------------------


@dataclass
class Behind:
    """Two replicas with one database, and a balancer by which browsers reach them."""

    owner: Team
    other: Team
    service: RunningStandin

    async def capture(self, **arguments: Any) -> dict[str, Any]:
        """A link to a page of the owner; it names the balancer."""
        async with self.owner.client() as client:
            return said(await client.call_tool("start_capture", arguments))


@asynccontextmanager
async def open_behind(
    database: str, ffmpeg: Ffmpeg, folder: Path, *places: int
) -> AsyncIterator[Behind]:
    """Give the connections of browsers to the owner (0) and the other one (1) in this order."""
    teams, turns = list[Team](), cycle(places)
    async with (
        serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service,
        open_relay(lambda: urlsplit(teams[next(turns)].url).port or 0) as relay,
    ):
        more = {"journal": database, "uploads": folder / "uploads", "public_url": relay.url}
        one, two = (
            make_settings(service, folder / name, **more, **CLUSTER) for name in ("one", "two")
        )
        async with open_team_server(one) as owner, open_team_server(two) as other:
            teams += [Team(owner.url, owner.app, one), Team(other.url, other.app, two)]
            yield Behind(teams[0], teams[1], service)


async def shown_messages(tab: Tab) -> list[str]:
    newest_first: list[str] = await tab.page.eval_on_selector_all(
        "#messages li", "items => items.map((item) => item.textContent)"
    )
    return newest_first[::-1]


async def test_a_page_shows_a_stream_that_another_replica_carries(
    open_browser: OpenBrowser, ffmpeg: Ffmpeg, database: str, dialogue: Path, tmp_path: Path
) -> None:
    """Each of its requests, and its WebSocket, comes to the replica that does not."""
    async with (
        open_behind(database, ffmpeg, tmp_path, 1) as behind,
        open_browser() as context,
    ):
        async with behind.owner.http() as http:
            video = await anyio.Path(dialogue).read_bytes()
            assert (await http.put("/files/talk.mp4", content=video)).is_success
        async with behind.owner.client() as client:
            asked = {"path": "talk.mp4", "pace": "realtime"}
            stream_id = said(await client.call_tool("stream_file", asked))["stream_id"]
        tab = await open_tab(context, (await behind.capture(stream_id=stream_id))["link"])
        await tab.says("#state", "Watching")
        await tab.says("#messages", "session.ready")
        async with behind.other.client() as client:
            await client.call_tool("end_stream", {"stream_id": stream_id})
            read = await read_all(client, stream_id)
        await tab.says("#said", "has ended", seconds=30)
        (session,) = behind.service.recorder.sessions
        assert await shown_messages(tab) == read == session.texts
        await tab.went_well()


@long
async def test_what_a_person_records_at_another_replica_arrives_as_recorded(
    open_browser: OpenBrowser, ffmpeg: Ffmpeg, database: str, tmp_path: Path
) -> None:
    """Its connections come to both replicas in turn."""
    async with (
        open_behind(database, ffmpeg, tmp_path, 1, 0) as behind,
        open_browser() as context,
    ):
        started = await behind.capture()
        tab = await open_tab(context, started["link"], only=VP8)
        await record(tab, seconds=4)
        tenant = behind.owner.app.tenants._open["acme"]
        await end(tab, tenant.runtime.registry.live(started["stream_id"]))
        (session,) = behind.service.recorder.sessions
        hashes, left = await tab.recorded([size for size, _ in session.segments])
        assert hashes == [sha256 for _, sha256 in session.segments]
        assert left == 0
        async with behind.other.client() as client:
            assert await read_all(client, started["stream_id"]) == session.texts
        await tab.went_well()
