"""The tools for people: a link to the page, and pictures; and the app that hosts may show."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import ImageContent, TextContent, TextResourceContents

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.net.listen import open_listener
from ih_mcp.settings import read_settings
from ih_mcp.timeline.formats import CONTENTS, EXPORT_KINDS, FORMATS
from ih_mcp.timeline.html import APP_URI
from tests.timeline.known import message

from . import test_resources
from .test_resources import client


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
async def test_a_picture_is_a_private_file_and_a_png_is_shown_too(
    kind: str, tmp_path: Path
) -> None:
    async with client(tmp_path) as opened:
        arguments = {"stream_id": "st_a", "format": kind}
        result = await opened.call_tool("render_timeline", arguments)
    first, *images = result.content
    assert isinstance(first, TextContent)
    status: dict[str, Any] = json.loads(first.text)["ih_mcp"]
    path = Path(status["path"])
    assert path.name == f"st_a.{kind}"
    found = await anyio.Path(path).stat()
    assert found.st_size == status["bytes"] > 1000
    assert {"dropped_s", "lost_s", "minutes_analysed"} <= status["summary"].keys()
    assert ("does not hold the video" in status["wrote"]) == (kind == "html")
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert len(images) == (kind == "png")
    for image in images:
        assert isinstance(image, ImageContent)
        assert base64.b64decode(image.data) == await anyio.Path(path).read_bytes()


async def test_an_agent_exports_a_stream_as_the_command_does(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        arguments = {"stream_id": "st_a", "format": "csv"}
        result = await opened.call_tool("render_timeline", arguments)
    (first,) = result.content
    assert isinstance(first, TextContent)
    status: dict[str, Any] = json.loads(first.text)["ih_mcp"]
    path = anyio.Path(status["path"])
    assert (path.name, (await path.read_text()).count("\n")) == ("st_a.csv", status["rows"] + 1)
    assert status["wrote"].startswith("a table for a spreadsheet, R or pandas: one row for each")
    assert {"dropped_s", "lost_s", "minutes_analysed"} <= status["summary"].keys()
    several, line = status["several"].split(": ")
    assert several == "this file holds one stream; all in one file, in a terminal"
    assert line.endswith("-m ih_mcp export --all --as csv")
    assert "notes" not in status


async def test_an_export_counts_what_its_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [message("signal.detected", signal_type=name, start=3.0) for name in ("stress", "doubt")]
    monkeypatch.setattr(test_resources, "MESSAGES", sent)
    counts = {"csv": {"rows"}, "jsonl": {"lines"}, "vtt": {"cues"}, "srt": {"cues"}, "boris": set()}
    found = {}
    async with client(tmp_path) as opened:
        for kind in counts:
            arguments = {"stream_id": "st_a", "format": kind}
            result = await opened.call_tool("render_timeline", arguments)
            (first,) = result.content
            assert isinstance(first, TextContent)
            found[kind] = json.loads(first.text)["ih_mcp"]
    names = {"rows", "lines", "cues"}
    assert {kind: names & status.keys() for kind, status in found.items()} == counts
    text = {kind: await anyio.Path(status["path"]).read_bytes() for kind, status in found.items()}
    assert found["jsonl"]["lines"] == text["jsonl"].count(b"\n") == 1 + len(sent)
    for kind, cues in (("vtt", 2), ("srt", 3)):
        assert found[kind]["cues"] == text[kind].count(b" --> ") == cues


async def test_every_kind_of_file_says_what_it_holds(tmp_path: Path) -> None:
    assert set(CONTENTS) == {*FORMATS, *EXPORT_KINDS}
    async with client(tmp_path) as opened:
        arguments = {"stream_id": "st_a", "format": "vtt"}
        result = await opened.call_tool("render_timeline", arguments)
    first = result.content[0]
    assert isinstance(first, TextContent)
    status = json.loads(first.text)["ih_mcp"]
    assert status["wrote"].startswith("subtitles for a video player (WebVTT)")
    assert "several" not in status


@pytest.mark.parametrize(("kind", "is_told"), [("csv", True), ("jsonl", False)])
async def test_an_agent_is_told_of_texts_that_a_spreadsheet_would_run(
    kind: str, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = message("signal.detected", signal_type="interest", start=3.0, rationale="=1+1")
    monkeypatch.setattr(test_resources, "MESSAGES", [text])
    async with client(tmp_path) as opened:
        arguments = {"stream_id": "st_a", "format": kind}
        result = await opened.call_tool("render_timeline", arguments)
    first = result.content[0]
    assert isinstance(first, TextContent)
    notes = json.loads(first.text)["ih_mcp"].get("notes", [])
    assert [note[:14] for note in notes] == (["1 text begins "] if is_told else [])


async def test_a_picture_of_an_unknown_stream_is_an_error_that_helps(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        result = await opened.call_tool("render_timeline", {"stream_id": "st_x"})
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert "There is no stream st_x" in result.content[0].text
    assert "list_streams names those that are kept" in result.content[0].text


async def test_the_app_is_offered_with_poll_events_and_reads_the_timeline(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        (poll,) = [t for t in (await opened.list_tools()).tools if t.name == "poll_events"]
        assert poll.meta == {"ui": {"resourceUri": APP_URI}}
        (page,) = (await opened.read_resource(APP_URI)).contents
        (timeline,) = (await opened.read_resource("ih://streams/st_a/timeline")).contents
    assert isinstance(page, TextResourceContents)
    assert page.mime_type == "text/html;profile=mcp-app"
    assert "ui/initialize" in page.text
    assert isinstance(timeline, TextResourceContents)
    assert json.loads(timeline.text)["stream_id"] == "st_a"


async def test_no_link_is_given_for_a_stream_that_is_over(tmp_path: Path) -> None:
    async with client(tmp_path) as opened:
        result = await opened.call_tool("start_capture", {"stream_id": "st_a"})
    assert isinstance(result.content[0], TextContent)
    assert result.is_error
    what, helps, facts = result.content[0].text.split("\n")
    assert what == "Stream st_a is over (ended); nothing can be recorded into it any more."
    assert "without a stream_id" in helps
    assert json.loads(facts)["ih_mcp"]["error"]["code"] == "stream_ended"


async def test_no_stream_is_opened_where_the_page_cannot_be_served(tmp_path: Path) -> None:
    with open_listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        settings = read_settings(endpoint="local", data_dir=tmp_path, capture_port=port)

        @asynccontextmanager
        async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
            async with open_runtime(settings) as runtime:
                yield runtime

        async with Client(make_server(lifespan)) as opened:
            result = await opened.call_tool("start_capture", {})
            listed = await opened.call_tool("list_streams", {})
    assert isinstance(result.content[0], TextContent)
    assert f"cannot be served at 127.0.0.1:{port}" in result.content[0].text
    assert isinstance(listed.content[0], TextContent)
    assert json.loads(listed.content[0].text)["ih_mcp"]["streams"] == []
