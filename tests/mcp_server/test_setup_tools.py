"""`check_setup`: ready lines for the host that asks, and what would become of a file."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import Implementation

from ih_mcp.app.hosts import HOSTS, find_host
from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.media.ffmpeg.facts import NO_SOUND
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from tests.road.host import Host, open_memory_host

FOLDERS_HELP = "Set IH_MCP_MEDIA_DIRS to the folders that hold your videos, separated by"
KNOWN = {
    "claude-code": "claude-code", "claude-ai": "claude-desktop", "cursor-vscode": "cursor",
    "Visual Studio Code": "vscode", "codex-mcp-client": "codex",
    "gemini-cli-mcp-client-interhuman": "gemini", "windsurf-client": "windsurf", "Zed": "zed",
}  # fmt: skip


def test_every_host_is_found_by_the_name_it_gives() -> None:
    found = {client: host.name for client in KNOWN if (host := find_host(client))}
    assert found == KNOWN
    assert {*found.values()} == {*HOSTS}
    assert find_host("my-agent") is None


@asynccontextmanager
async def asked_by(client: str, data_dir: Path, **settings: object) -> AsyncIterator[Host]:
    chosen = read_settings(data_dir=data_dir, **settings)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with open_runtime(chosen) as runtime:
            yield runtime

    name = Implementation(name=client, version="1")
    async with Client(make_server(lifespan), client_info=name) as opened:
        yield Host(opened)


def server_of(setup: dict[str, Any]) -> dict[str, Any]:
    """The entry of this server in the lines that are to be copied."""
    if HOSTS["codex"].title == setup["host"]:
        servers: dict[str, Any] = tomllib.loads(setup["entry"])["mcp_servers"]
    else:
        (servers,) = (value for key, value in json.loads(setup["entry"]).items() if key != "inputs")
    found: dict[str, Any] = servers[setup["server_name"]]
    return found


@pytest.mark.parametrize("client", [*KNOWN, "my-agent"])
async def test_what_is_missing_is_said_with_lines_for_the_host_that_asks(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.app.hosts.is_from_elsewhere", lambda: True)
    async with asked_by(client, tmp_path, endpoint="http://127.0.0.1:9") as host:
        found = (await host.call("check_setup")).status
    assert found["ok"] is False
    assert "https://platform.interhuman.ai" in found["fixes"][0]
    assert f"{FOLDERS_HELP} {os.pathsep!r}." in found["fixes"]
    setup = found["setup"]
    assert setup["folder_separator"] == os.pathsep
    entry = server_of(setup)
    assert [entry["command"], *entry["args"]] == [sys.executable, "-m", "ih_mcp"]
    assert entry["env"]["IH_MCP_MEDIA_DIRS"] == "/path/to/your/videos"
    assert "INTERHUMAN_API_KEY" in json.dumps(entry) or client == "Zed"
    if client == "my-agent":
        assert (setup["host"], "command" in setup) == (client, False)
        return
    assert setup["host"] == HOSTS[KNOWN[client]].title
    words = shlex.split(setup["command"])
    assert words[:5] == [sys.executable, "-m", "ih_mcp", "install", KNOWN[client]]


async def test_the_first_error_without_a_key_leads_to_all_that_is_missing(tmp_path: Path) -> None:
    async with asked_by("claude-code", tmp_path, endpoint="production") as host:
        for refused in (
            await host.call("stream_file", path="/videos/talk.mp4"),
            await host.call("create_token", kind="client"),
        ):
            assert refused.error["code"] == "no_api_key"
            assert "check_setup" in refused.text


@pytest.fixture
async def host(tmp_path: Path, short_clip: Path) -> AsyncIterator[Host]:
    folder = str(short_clip.parent)
    async with open_memory_host(tmp_path, endpoint="local", media_dirs=folder) as opened:
        yield opened


async def test_a_file_is_judged_with_its_minutes_and_nothing_is_sent(
    host: Host, short_clip: Path
) -> None:
    found = (await host.call("check_setup", path=str(short_clip))).status
    file = found["file"]
    assert (found["ok"], file["works"]) == (True, True)
    assert file["duration_s"] == pytest.approx(6, abs=0.2)
    assert file["minutes"]["needed"] == pytest.approx(0.1, abs=0.01)
    assert file["stream_file"] == dict.fromkeys(["v0", "v1", "v2"], "takes it")
    assert file["analyze_file"] == dict.fromkeys(["v1", "v2"], "takes it")
    assert file["works_on"] == {"stream_file": ["v0", "v1", "v2"], "analyze_file": ["v1", "v2"]}
    assert found["next"].startswith("done: nothing was sent; to send one, a tool and version")
    assert "setup" not in found
    listed = (await host.call("list_streams")).status
    assert (listed["streams"], "analyses" in listed) == ([], False)


async def test_a_file_that_would_be_refused_says_why_and_what_helps(
    host: Host, short_clip: Path
) -> None:
    text = short_clip.parent / "notes.mp4"
    text.write_text("These are notes.", encoding="utf-8")
    found = (await host.call("check_setup", path=str(text))).status
    text.unlink()
    file = found["file"]
    assert file["works"] is False
    assert "notes.mp4" in file["what"]
    assert file["help"]
    missing = (await host.call("check_setup", path="tlak.mp4")).status["file"]
    assert (missing["works"], missing["code"]) == (False, "file_not_found")
    assert "talk.mp4" in missing["help"]


async def test_a_file_outside_the_folders_says_how_it_can_still_be_used(
    host: Host, short_clip: Path, tmp_path: Path
) -> None:
    chunk = tmp_path / "chunk-000.webm"
    chunk.write_bytes(b"media")
    found = (await host.call("check_setup", path=str(chunk))).status
    file = found["file"]
    assert (file["works"], file["code"]) == (False, "path_not_allowed")
    assert f"outside the allowed folders ({short_clip.parent})" in file["what"]
    assert file["help"] == (
        "A segment of live video needs no path: push_segment takes its bytes as data_base64, up "
        f"to 4_194_304 in a call. Copy the file into {short_clip.parent} and give the path of the "
        "copy. Only the person who runs ih-mcp can allow another folder, by IH_MCP_MEDIA_DIRS."
    )
    assert found["next"] == "do what file.help says"
    refused = await host.call("stream_file", path=str(chunk))  # a file cannot be given otherwise
    assert refused.text.splitlines()[1].startswith(f"Copy the file into {short_clip.parent} and")


async def made_of(clip: Path, ffmpeg: Ffmpeg, name: str, options: str) -> Path:
    """A file beside the clip, made of it by options of ffmpeg."""
    path = clip.parent / name
    start = [str(ffmpeg.path), "-v", "error", "-i", str(clip)]
    await anyio.run_process([*start, *options.split(), str(path)])
    return path


async def test_a_silent_file_is_judged_by_each_version(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    silent = await made_of(short_clip, ffmpeg, "silent.mp4", "-an -c copy")
    file = (await host.call("check_setup", path="silent.mp4")).status["file"]
    refused = await host.call("stream_file", path="silent.mp4", api="v2")
    silent.unlink()
    refuses = "refuses it: the file has no sound; what was asked for needs it"
    assert file["works"] is True
    assert file["works_on"] == {"stream_file": ["v0", "v1"], "analyze_file": ["v1"]}
    assert file["stream_file"] == {"v0": "takes it", "v1": "takes it", "v2": refuses}
    assert file["analyze_file"] == {"v1": "takes it", "v2": refuses}
    assert refused.text.startswith("silent.mp4 has no sound;")


async def test_a_file_of_sound_alone_is_taken_by_the_model_for_it(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    sound = await made_of(short_clip, ffmpeg, "sound.m4a", "-vn -c copy")
    file = (await host.call("check_setup", path="sound.m4a")).status["file"]
    model = {"path": "sound.m4a", "api": "v2", "model": "inter-2-audio"}
    refused = await host.call("stream_file", path="sound.m4a", api="v2")
    foreseen = await host.call("analyze_file", path="sound.m4a", api="v2")
    assert "Choose the model inter-2-audio (`model`, or --model" in refused.text
    assert any("the model inter-2-audio takes sound" in n for n in foreseen.status["notes"])
    sent = await host.call("stream_file", **model)
    whole = await host.call("analyze_file", **model)
    done = await host.call("get_analysis", analysis_id=whole.status["analysis_id"], wait_s=25)
    sound.unlink()
    assert not any("will likely refuse" in note for note in whole.status.get("notes", ()))
    takes = "takes its sound, with the model inter-2-audio"
    assert (file["stream_file"]["v2"], file["analyze_file"]["v2"]) == (takes, takes)
    assert not sent.is_error
    assert done.status["state"] == "ended"


async def test_a_file_that_is_too_short_is_judged_by_each_version(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    encode = "-t 2 -c:v libx264 -preset ultrafast -s 64x64"
    short = await made_of(short_clip, ffmpeg, "hello.mp4", encode)
    file = (await host.call("check_setup", path=short.name)).status["file"]
    sent = await host.call("stream_file", path=short.name)
    _, last = await host.read_all(sent.status["stream_id"], wait_s=20)
    short.unlink()
    assert (file["works"], file["works_on"]["analyze_file"]) == (True, [])
    assert file["works_on"]["stream_file"] == ["v2"]
    assert file["stream_file"]["v1"].endswith("s long; less than 3 s is not analysed")
    said = file["stream_file"]["v2"]
    assert said.startswith("takes it; 2.")
    assert said.endswith(" s may be dropped without a reading, as less than 3 s: not documented")
    assert last.status["summary"]["minutes_analysed"] == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("index-first.mp4", "-c copy -movflags faststart"),
        ("recording.mkv", "-c copy"),
        ("recording.flv", "-c copy"),
        ("recording.webm", "-an -c:v libvpx -deadline realtime -s 64x64"),
    ],
)
async def test_a_file_that_was_copied_in_part_does_not_work(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg, name: str, options: str
) -> None:
    file = await made_of(short_clip, ffmpeg, name, options)
    whole = (await host.call("check_setup", path=name)).status["file"]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    found = (await host.call("check_setup", path=name)).status
    file.unlink()
    assert whole["works"] is True
    part = found["file"]
    assert (part["works"], part["code"]) == (False, "ends_early")
    assert "its last part is missing" in part["what"]
    assert "get the whole file" in part["help"]
    assert found["next"] == "do what file.help says"


async def test_fragments_that_may_be_cut_off_between_two_are_said_to_be_so(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    encode = "-an -c:v libx264 -preset ultrafast -g 25 -s 64x64"
    options = f"{encode} -movflags default_base_moof+empty_moov+frag_keyframe"
    file = await made_of(short_clip, ffmpeg, "fragments.mp4", options)
    whole = (await host.call("check_setup", path=file.name)).status["file"]
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"moof") - 4])
    part = (await host.call("check_setup", path=file.name)).status["file"]
    file.unlink()
    note = (
        "Nothing in the file tells how long its recording was: it may be cut off behind the "
        f"{part['duration_s']:.1f} s that are there, and nobody can tell."
    )
    assert (whole["works"], whole["notes"]) == (True, [NO_SOUND])
    assert (part["works"], part["notes"]) == (True, [NO_SOUND, note])
    assert part["duration_s"] < whole["duration_s"]


async def test_the_files_of_a_folder_are_checked_each(
    host: Host, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.mcp_server.setup_tools.FOLDER_SECONDS", math.inf)
    folder = short_clip.parent / "monday"
    (folder / "inner").mkdir(parents=True)
    (folder / "notes.txt").write_text("words\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / ".hidden.mp4").touch()
    shutil.copy(short_clip, folder / "talk.mp4")
    for path in (str(folder), "monday", "monday/"):
        found = (await host.call("check_setup", path=path)).status
        assert [(each["file"], each["works"]) for each in found["files"]] == [
            ("empty.mp4", False), ("talk.mp4", True), ("notes.txt", False)  # no media by its name
        ]  # fmt: skip
        assert found["files"][0]["code"] == "empty_file"
        assert found["minutes_of_all_that_work"] == found["files"][1]["minutes"]["needed"] == 0.11
        assert found["not_checked"] == []
    shutil.copy(short_clip, folder / "talk-2.mp4")
    shutil.copy(short_clip, folder / "talk-3.mp4")
    many = (await host.call("check_setup", path="monday")).status
    assert many["minutes_of_all_that_work"] == 0.33  # as the rows add up: 0.11 each
    monkeypatch.setattr("ih_mcp.mcp_server.setup_tools.FOLDER_SECONDS", -1.0)
    late = (await host.call("check_setup", path="monday")).status
    assert (late["files"], len(late["not_checked"])) == ([], 5)
    shutil.rmtree(folder)


async def test_a_folder_without_files_is_none_to_check(host: Host, short_clip: Path) -> None:
    folder = short_clip.parent / "nothing"
    folder.mkdir()
    file = (await host.call("check_setup", path="nothing")).status["file"]
    outside = (await host.call("check_setup", path=str(short_clip.parents[1]))).status["file"]
    folder.rmdir()
    assert (file["works"], file["code"]) == (False, "not_a_file")
    assert (outside["works"], outside["code"]) == (False, "path_not_allowed")
    assert "files" not in outside


async def test_a_picture_that_uploads_do_not_take_is_judged_apart_from_streams(
    host: Host, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    older = await made_of(short_clip, ffmpeg, "older.mp4", "-c:v mpeg4 -c:a copy")
    file = (await host.call("check_setup", path=older.name)).status["file"]
    begun = await host.call("analyze_file", path=older.name)
    refused = await host.call("get_analysis", analysis_id=begun.status["analysis_id"], wait_s=25)
    older.unlink()
    assert file["works"] is True
    assert file["works_on"] == {"stream_file": ["v0", "v1", "v2"], "analyze_file": []}
    (foreseen,) = (n for n in begun.status["notes"] if n.startswith("The service will likely"))
    assert "refuse this file: its picture is mpeg4, which the service does not decode" in foreseen
    assert refused.status["notes"][-1].startswith("Nothing of it was analysed")
    assert set(file["stream_file"].values()) == {"takes it"}
    assert set(file["analyze_file"]) == {"v1", "v2"}
    for said in file["analyze_file"].values():
        assert said.startswith("refuses it: its picture is mpeg4")
        assert "stream_file takes it" in said
    error = refused.status["error"]
    assert error["server_code"] == "ih5003"
    assert "streamed instead of uploaded" in error["help"]
