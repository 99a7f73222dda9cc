"""Answers over HTTP say what helps, and not where the server keeps things."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp_types import TextContent

from ih_mcp.http_server.folder_names import DATA, FILES, FolderNames
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings, read_settings
from ih_mcp.standin.server.serve import RunningStandin
from tests.streams.test_all_or_nothing import webm_header

from .conftest import Team, make_settings, said

CALLS = [
    ("check_setup", {}),
    ("check_setup", {"path": "/etc/passwd"}),
    ("check_setup", {"path": "https://example.com/talk.mp4"}),
    ("check_setup", {"path": "."}),
    ("stream_file", {"path": "/etc/passwd"}),
    ("stream_file", {"path": "link.mp4"}),
    ("stream_file", {"path": "../../talk.mp4"}),
    ("analyze_file", {"path": "~/talk.mp4"}),
    ("push_segment", {"path": "/etc/passwd"}),
    ("render_timeline", {"format": "html"}),
    ("render_timeline", {"format": "svg"}),
    ("list_streams", {}),
]


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[Team, str]]:
    """A server, one stream of a tenant, and a link out of its folder."""
    async with open_team_server(settings) as server:
        team = Team(server.url, server.app, settings)
        async with team.client() as client:
            stream_id = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
            (await tenant_files(team) / "link.mp4").symlink_to("/etc/passwd")
            yield team, stream_id
            await client.call_tool("end_stream", {"stream_id": stream_id})


async def tenant_files(team: Team) -> Path:
    (tenant,) = team.app.tenants.all_open
    return tenant.files


@pytest.mark.parametrize("uploads", [False, True])
async def test_no_answer_to_a_tenant_has_a_path_of_the_server(
    service: RunningStandin, tmp_path: Path, *, uploads: bool
) -> None:
    more = {"uploads": tmp_path / "up"} if uploads else {}
    async with started(make_settings(service, tmp_path, **more)) as (team, stream_id):
        async with team.client() as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            for name, arguments in CALLS:
                takes_stream = "stream_id" in tools[name]["properties"]
                given = {**arguments, **({"stream_id": stream_id} if takes_stream else {})}
                answer = await client.call_tool(name, given)
                for block in answer.content:
                    text = block.text if isinstance(block, TextContent) else ""
                    assert str(tmp_path) not in text, (name, arguments)
        async with team.http() as http:
            path = f"/streams/{stream_id}/segments/1"
            assert str(tmp_path) not in (await http.put(path, content=webm_header())).text


async def test_what_stands_in_their_place_says_what_they_are(settings: Settings) -> None:
    async with started(settings) as (team, stream_id), team.client() as client:
        found = said(await client.call_tool("check_setup", {"path": "/etc/passwd"}))
        assert (found["media_dirs"], found["journal"]["folder"]) == ([FILES], DATA)
        assert found["file"]["what"] == f"'/etc/passwd' is outside the allowed folders ({FILES})"
        assert "call upload_file, send the file there" in found["file"]["help"]
        page = {"stream_id": stream_id, "format": "html"}
        drawn = said(await client.call_tool("render_timeline", page))
        assert drawn["path"] == f"{DATA}/pictures/{stream_id}.html"
        assert "give them get_url" in drawn["next"]


async def test_the_user_of_this_machine_reads_the_paths_as_they_are(
    service: RunningStandin, tmp_path: Path
) -> None:
    alone = read_settings(
        endpoint=service.url, api_key="ih_k", data_dir=tmp_path, listen="127.0.0.1:0"
    )
    async with open_team_server(alone) as server:
        team = Team(server.url, server.app, alone)
        async with team.client("bob") as client:
            found = said(await client.call_tool("check_setup", {}))
    assert found["media_dirs"] == [str(tmp_path / "files")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("in /d/é/files.", f"in {FILES}."),
        ("'/d/é/files/a.mp4' and /d/é/journal.db", f"'{FILES}/a.mp4' and {DATA}/journal.db"),
        (r'"/d/\u00e9/files"', f'"{FILES}"'),
        ("/d/é/files-of-others, /d/éa, /x/d/é and http://h/d/é", ""),
        ("/d is not of one tenant", ""),
    ],
)
def test_only_the_very_folders_get_a_name(text: str, named: str) -> None:
    names = FolderNames(Path("/d/é/files"), Path("/d/é"))
    assert names.hide(text) == (named or text.replace("/d/é/", f"{DATA}/"))


def test_a_folder_behind_a_link_is_named_by_either_path(tmp_path: Path) -> None:
    (tmp_path / "real" / "files").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = FolderNames(tmp_path / "link" / "files", tmp_path / "link")
    for place in ("link", "real"):
        assert names.hide(f"{tmp_path}/{place}/files/a.mp4") == f"{FILES}/a.mp4"
        assert names.hide(f"{tmp_path}/{place}/journal.db") == f"{DATA}/journal.db"
