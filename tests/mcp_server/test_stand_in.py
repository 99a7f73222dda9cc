"""Who answered is said in every answer about data, also where no message says it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.stand_in import NAMED_MODEL, STAND_IN
from ih_mcp.standin.server.serve import serve
from tests.road.host import Answer, Host, open_memory_host

ANALYSTS = {
    "local": ["placeholder", "placeholder"],
    "the stand-in by its address": [None, None],
    "a service": ["inter-2", None],
}
"""Of a stream and of an upload. Which one a stand-in elsewhere has is not known; the model that was
asked for did not run there."""


@asynccontextmanager
async def used(endpoint: str, ffmpeg: Ffmpeg) -> AsyncIterator[str]:
    """The value of `IH_MCP_ENDPOINT` for that end."""
    if endpoint == "local":
        yield endpoint
        return
    async with serve(ffmpeg=ffmpeg) as running:
        yield running.url


async def answers_of_all_tools(host: Host, clip: Path) -> dict[str, Answer]:
    """One answer of each tool that is about data, and of the list a row for each kind."""
    sent = await host.call("stream_file", path=str(clip))
    file = {"stream_id": sent.status["stream_id"]}
    _, read = await host.read_all(**file, wait_s=20)
    opened = await host.call("start_stream", api="v2")
    live = {"stream_id": opened.status["stream_id"]}
    sent_whole = await host.call("analyze_file", path=str(clip))
    found = {"analysis_id": sent_whole.status["analysis_id"]}
    answers = {
        "stream_file": sent,
        "poll_events": read,
        "start_stream": opened,
        "configure_stream": await host.call("configure_stream", **live, include=[]),
        "push_segment": await host.call("push_segment", **live, path=str(clip), seq=1),
        "end_stream": await host.call("end_stream", **live, wait_s=20),
        "end_stream again": await host.call("end_stream", **file),
        "start_capture": await host.call("start_capture"),
        "render_timeline": await host.call("render_timeline", **file, format="html"),
        "list_streams of one": await host.call("list_streams", **file),
        "analyze_file": sent_whole,
        "get_analysis": await host.call("get_analysis", **found, wait_s=20),
        "create_token": await host.call("create_token", kind="access"),
    }
    listed = (await host.call("list_streams")).status
    rows = [*listed["streams"], *listed["analyses"]]
    said = listed.get("stand_in", "")  # once for all rows
    assert not said or said.startswith(STAND_IN)
    for row in rows:
        if row.get("stand_in") is True and said:
            row["stand_in"] = STAND_IN
    return answers | {
        f"row {place}": Answer(False, [json.dumps({"ih_mcp": row})])
        for place, row in enumerate(rows)
    }


@pytest.mark.parametrize("endpoint", ["local", "the stand-in by its address", "a service"])
async def test_every_answer_about_data_says_who_gave_it(
    endpoint: str,
    tmp_path: Path,
    short_clip: Path,
    ffmpeg: Ffmpeg,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if endpoint == "a service":
        monkeypatch.setattr("ih_mcp.standin.server.app.SERVER", "cloudfront")
    async with used(endpoint, ffmpeg) as name:
        given = {
            "endpoint": name,
            "media_dirs": str(short_clip.parent),
            "key_id": "id",
            "key_secret": "not-a-secret",
        }
        async with open_memory_host(tmp_path, **given) as host:
            answers = await answers_of_all_tools(host, short_clip)
    assert "stand_in" not in answers["push_segment"].status  # it has no reading, and comes often
    said = {
        tool: answer.status.get("stand_in")
        for tool, answer in answers.items()
        if tool != "push_segment"
    }
    early = {"stream_file", "analyze_file"}  # they return before anybody answered
    known_later = early if endpoint != "local" else set()
    expected = None if endpoint == "a service" else STAND_IN
    assert {tool: words for tool, words in said.items() if tool not in known_later} == (
        dict.fromkeys(said.keys() - known_later, expected)
    )
    assert {answer.status["endpoint"] for answer in answers.values()} == {name}
    analysts = [answers[tool].status.get("analyst") for tool in ("end_stream", "get_analysis")]
    assert analysts == ANALYSTS[endpoint]
    names_models = NAMED_MODEL in answers["get_analysis"].status.get("notes", ())
    assert names_models is (endpoint != "a service")
