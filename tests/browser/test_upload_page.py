"""The page where a person sends a file: what it says, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.http_server.conftest import Team, make_settings, said

from .conftest import OpenBrowser, open_tab

pytestmark = pytest.mark.timeout(240)
SECONDS = 60
"""How long the page may take on a busy machine."""


async def test_a_file_that_is_refused_can_be_sent_again_and_why_is_said_in_sentences(
    open_browser: OpenBrowser, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    video = tmp_path / "talk.mp4"
    video.write_bytes(b"a video")
    async with serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service:
        settings = make_settings(service, tmp_path, max_files_bytes=2**20)
        async with open_team_server(settings) as server, open_browser() as context:
            team = Team(server.url, server.app, settings)
            async with team.client() as client:
                given = said(await client.call_tool("upload_file", {"name": "talk.mp4"}))
            tab = await open_tab(context, given["put_url"])
            late = await open_tab(context, given["put_url"])

            large = tmp_path / "large.mp4"
            large.write_bytes(bytes(2**20 + 1))
            await tab.page.set_input_files("input", large)
            await tab.says(
                "output",
                r"^The files would have more than 1_048_576 bytes together\. [A-Z]",
                seconds=SECONDS,
            )

            async def is_html(route: Any) -> None:
                await route.fulfill(status=502, content_type="text/html", body="<h1>Bad</h1>")

            await tab.page.route("**/uploads/*", is_html)
            await tab.page.set_input_files("input", video)
            await tab.says(
                "output",
                r"^The answer was 502\. The file was not sent\. Try again\.$",
                seconds=SECONDS,
            )
            await tab.page.unroute("**/uploads/*")
            await tab.page.set_input_files("input", video)
            await tab.says("output", r"^Sent\. You can close this page\.$", seconds=SECONDS)
            assert await tab.page.is_disabled("input")
            assert await tab.page.evaluate("window.ihErrors") == []

            await late.page.set_input_files("input", video)
            await late.says(
                "output",
                r"^This address was used, is too old, or never was one\. Ask",
                seconds=SECONDS,
            )
