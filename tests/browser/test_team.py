"""A person at the capture page of a team's server: in a real browser, by the link of a caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.http_server.conftest import Team, make_settings, said
from tests.reliability.replicas import call

from .conftest import OpenBrowser, open_tab
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
                registry = server.app._tenants._open["acme"].runtime.registry
                stream = registry.live(started["stream_id"])
                await end(tab, stream)
                (session,) = service.recorder.sessions
                hashes, left = await tab.recorded([size for size, _ in session.segments])
                assert hashes == [sha256 for _, sha256 in session.segments]
                assert left == 0
                messages, cursor, over = list[str](), 0, False
                while not over:
                    told, found = await call(
                        client, "poll_events", stream_id=stream.id, cursor=cursor, wait_s=20
                    )
                    messages += found
                    cursor, over = told["next_cursor"], told["ended"]
                assert messages == session.texts
                await tab.went_well()
