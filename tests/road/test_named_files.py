"""The file that was named is the file that is sent, by every command and every tool."""

from __future__ import annotations

import csv
import subprocess
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from urllib.parse import urljoin

import pytest
from anyio import open_process, run_process
from anyio.streams.text import TextReceiveStream

from ih_mcp import cli
from ih_mcp.app.batch import find_files
from ih_mcp.capture.review_server import VIDEO_PATH
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.media.file_admission import find
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.forked import forked
from tests.plain_http import plain_http

from .host import Host, environment, open_host

pytestmark = pytest.mark.timeout(90)
HERE_SECONDS, FIRST_SECONDS, SECOND_SECONDS = 4, 6, 8


def make_video(ffmpeg: Ffmpeg, path: Path, seconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = f"testsrc=size=160x120:rate=10:duration={seconds}"
    tone = f"sine=frequency=440:duration={seconds}"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
    subprocess.run([ffmpeg.path, "-v", "error", *inputs, "-pix_fmt", "yuv420p", path], check=True)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> Path:
    """Videos of one name and of different lengths: here, and in two media folders."""
    folder = tmp_path_factory.mktemp("places").resolve()
    make_video(ffmpeg, folder / "here" / "talk.mp4", HERE_SECONDS)
    make_video(ffmpeg, folder / "first" / "talk.mp4", FIRST_SECONDS)
    make_video(ffmpeg, folder / "second" / "talk.mp4", SECOND_SECONDS)
    for name in ("own one.mp4", "call at 8.55\u202fPM.mp4"):
        (folder / "second" / name).write_bytes((folder / "second" / "talk.mp4").read_bytes())
    return folder


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(ffmpeg=ffmpeg) as running:
        yield running


def env_of(places: Path, tmp_path: Path, endpoint: str) -> dict[str, str]:
    dirs = f"{places / 'first'}:{places / 'second'}"
    return environment(tmp_path / "data", endpoint=endpoint, IH_MCP_MEDIA_DIRS=dirs)


async def ih_mcp(
    env: dict[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    return await run_process([*forked(), *arguments], env=env, cwd=folder, check=False)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        *(("stream", "./talk.mp4"), ("stream", "../here/talk.mp4"), ("stream", "{here}/talk.mp4")),
        *(("analyze", "./talk.mp4"), ("analyze", "talk.mp4"), ("check", "./talk.mp4")),
    ],
)
async def test_a_command_takes_a_path_as_the_shell_does(
    command: str, named: str, places: Path, service: RunningStandin, tmp_path: Path
) -> None:
    env = env_of(places, tmp_path, service.url)
    path = named.format(here=places / "here")
    more = ["--pace", "fast"] if command == "stream" else []
    done = await ih_mcp(env, places / "here", command, path, *more)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, text
    if command == "stream":
        assert f"ended in order: {HERE_SECONDS}" in text
    elif command == "check":
        assert f"{HERE_SECONDS}.0 s" in text
    else:
        (upload,) = service.recorder.uploads
        assert round(upload.seen[-1][0].end_seconds) == HERE_SECONDS


@pytest.mark.parametrize("named", ["./talk.mp4", "talk.mp4"])
async def test_review_shows_the_video_that_was_named(
    named: str, places: Path, tmp_path: Path
) -> None:
    env = env_of(places, tmp_path, "local")
    done = await ih_mcp(env, places / "first", "stream", "talk.mp4", "--pace", "fast")
    assert done.returncode == 0, done.stderr
    words = [*forked(), "review", named]
    async with await open_process(words, env=env, cwd=places / "here") as process:
        assert process.stdout
        address = (await TextReceiveStream(process.stdout).receive()).strip()
        async with plain_http() as client:
            video = await client.get(urljoin(address, VIDEO_PATH))
            page = await client.get(address)
        process.terminate()
    assert video.content == (places / "here" / "talk.mp4").read_bytes()
    assert f'data-source="{VIDEO_PATH}" data-name="talk.mp4"' in page.text


async def test_batch_sends_the_files_of_the_folder_that_was_named(
    places: Path, service: RunningStandin, tmp_path: Path
) -> None:
    env = env_of(places, tmp_path, service.url)
    words = ("batch", ".", "-o", str(tmp_path / "out"), "--pace", "fast", "--as", "csv")
    done = await ih_mcp(env, places / "here", *words)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "report.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["state"]) == ("talk.mp4", "done")
    (session,) = service.recorder.sessions
    assert round(session.seen[-1][0].end_seconds) == HERE_SECONDS


def test_no_file_of_a_batch_is_taken_for_a_uri_or_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["-", "file:/talk.mp4", "https:/talk.mp4", "~/talk.mp4", "~root.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"media")
    monkeypatch.chdir(tmp_path)
    found = find_files(Path(), beside=Path("out"))
    assert found == [(name, tmp_path / name) for name in names]
    assert all(find(str(path), allowed=None).path == path for _, path in found)


async def test_what_is_in_a_media_folder_alone_is_not_here(
    places: Path, service: RunningStandin, tmp_path: Path
) -> None:
    done = await ih_mcp(
        env_of(places, tmp_path, service.url), places / "here", "stream", "own one.mp4"
    )
    assert done.returncode == 2
    assert b"there is no file 'own one.mp4'" in done.stderr
    assert not service.recorder.sessions


async def test_a_command_says_when_a_name_only_looks_the_same(
    places: Path, service: RunningStandin, tmp_path: Path
) -> None:
    env = env_of(places, tmp_path, service.url)
    for command in ("stream", "analyze", "check"):
        done = await ih_mcp(env, places / "second", command, "call at 8.55 PM.mp4")
        text = (done.stdout + done.stderr).decode().replace("\n", " ")
        assert done.returncode == 0, text
        assert "looks the same and was taken" in text
        assert "'call at 8.55\\u202fPM.mp4'" in text
    words = [*forked(), "review", "call at 8.55 PM.mp4"]
    async with await open_process(words, env=env, cwd=places / "second") as process:
        assert process.stderr
        said = await TextReceiveStream(process.stderr).receive()
        process.terminate()
    assert "looks the same and was taken" in said.replace("\n", " ")


@pytest.mark.parametrize("named", ["https://example.org/talk.mp4", "-", "", ".", "talk.mp4 "])
async def test_a_command_says_what_is_no_file(
    named: str, places: Path, service: RunningStandin, tmp_path: Path
) -> None:
    env = env_of(places, tmp_path, service.url)
    words = {
        "https://example.org/talk.mp4": "is a URL",
        "-": "standard input",
        "": "no path was given",
        ".": "'.' is a folder, not a file\n  Give the path of one media file in it, such as",
        "talk.mp4 ": "Did you mean talk.mp4?",
    }
    for command in ("stream", "analyze", "review"):
        done = await ih_mcp(env, places / "here", command, named)
        assert done.returncode == 2
        assert words[named] in done.stderr.decode()
        assert len(done.stderr.splitlines()) == 2
    done = await ih_mcp(env, places / "here", "check", named)
    assert done.returncode == 1
    assert words[named].partition("\n")[0] in done.stdout.decode()


COMMANDS = {"stream", "analyze", "check", "review", "batch"}


def test_every_command_that_takes_a_file_is_here() -> None:
    found = set()
    for name in cli._COMMANDS:
        parser = ArgumentParser()
        import_module(f"ih_mcp.cli.{name}").add_arguments(parser)
        places = {action.dest for action in parser._actions if not action.option_strings}
        if places & {"file", "files", "folder", "path"}:
            found.add(name)
    assert found == COMMANDS


# --- tools ---------------------------------------------------------------------------------------


@pytest.fixture
async def host(places: Path, service: RunningStandin, tmp_path: Path) -> AsyncIterator[Host]:
    """Started in the folder `here`, as hosts start a server in the project."""
    async with open_host(env_of(places, tmp_path, service.url), cwd=places / "here") as opened:
        yield opened


async def call(host: Host, tool: str, path: str) -> tuple[str, dict[str, object]]:
    """What a tool says to a path: its text, and the facts of its refusal."""
    if tool == "push_segment":
        stream_id = (await host.call("start_stream")).status["stream_id"]
        answer = await host.call(tool, stream_id=stream_id, path=path)
        await host.call("end_stream", stream_id=stream_id, wait_s=0)
    else:
        answer = await host.call(tool, path=path)
    if tool == "check_setup":  # it reports what the others refuse
        file = answer.status["file"]
        return answer.text, {} if file["works"] else file
    return answer.text, dict(answer.error) if answer.is_error else {}


TOOLS = ["stream_file", "analyze_file", "push_segment", "check_setup"]


async def test_every_tool_that_takes_a_path_is_here(host: Host) -> None:
    tools = await host.client.list_tools()
    assert {tool.name for tool in tools.tools if "path" in tool.input_schema["properties"]} == {
        *TOOLS
    }


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_takes_a_relative_path_that_one_folder_has(
    tool: str, host: Host, places: Path
) -> None:
    text, error = await call(host, tool, "own one.mp4")
    assert not error, text
    text, error = await call(host, tool, "talk.mp4")
    assert error["code"] == "ambiguous_path", text
    assert error["found"] == [str(places / name / "talk.mp4") for name in ("first", "second")]
    assert "Give the whole path" in text
    text, error = await call(host, tool, str(places / "here" / "talk.mp4"))
    assert error["code"] == "path_not_allowed", text


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_says_when_a_name_only_looks_the_same(tool: str, host: Host) -> None:
    text, error = await call(host, tool, "call at 8.55 PM.mp4")
    assert not error, text
    assert "looks the same and was taken" in text
    assert "8.55\\\\u202fPM.mp4" in text  # escaped once more by JSON


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_takes_a_file_uri_and_says_what_is_no_file(
    tool: str, host: Host, places: Path
) -> None:
    uri = (places / "second" / "own one.mp4").as_uri()
    text, error = await call(host, tool, uri)
    assert not error, text
    for path, words in {
        "https://example.org/a.mp4": "Download it first",
        "rtsp://camera/1": "live stream",
        "C:\\Users\\me\\a.mp4": "path of Windows",
        "file://nas/a.mp4": "another machine",
        "": "No path was given",
        "~nobody-here/a.mp4": "no user's name",
        "OWN ONE.mp4": "Did you mean own one.mp4?",
    }.items():
        text, error = await call(host, tool, path)
        assert error, text
        assert words.lower() in text.lower()
