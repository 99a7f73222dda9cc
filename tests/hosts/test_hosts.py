"""Real hosts, as `ih-mcp install` and their own commands set them up; none of them logged in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.forked import forked
from tests.mcp_server.test_surface import NAMES
from tests.node import CLAUDE, GEMINI, needs_node, run
from tests.road.host import REPOSITORY, environment

from .codex import Codex, app_server

pytestmark = [needs_node, pytest.mark.timeout(300)]
VIDEOS = REPOSITORY / "examples" / "media"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's home with nothing in it."""
    for name in ("project", "config", "state"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    ours = environment(home / "data", INTERHUMAN_API_KEY="")
    return ours | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "CODEX_HOME": str(home / ".codex"),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
    }


def install(host: str, env: Mapping[str, str], cwd: Path) -> None:
    """Set a host up as a user does, with this very package."""
    ours = [*forked(), "install", host, "--this", "--local"]
    subprocess.run(
        [*ours, "--media-dir", VIDEOS], env=env, cwd=cwd, check=True, capture_output=True
    )


def test_claude_code_connects_by_its_own_command(home: Path, env: dict[str, str]) -> None:
    project = home / "project"
    ours = (sys.executable, "-m", "ih_mcp", "--local")
    added = run(
        CLAUDE, "mcp", "add", "--scope", "user", "interhuman", "--", *ours, env=env, cwd=project
    )
    assert added.returncode == 0, added.stderr
    listed = run(CLAUDE, "mcp", "list", env=env, cwd=project)
    assert "interhuman" in listed.stdout
    assert "Connected" in listed.stdout, listed.stdout + listed.stderr


def test_claude_code_reads_what_install_wrote(home: Path, env: dict[str, str]) -> None:
    project = home / "project"
    install("claude-code", env, project)
    allowed = project / ".claude"
    allowed.mkdir()
    (allowed / "settings.local.json").write_text('{"enableAllProjectMcpServers": true}')
    shown = run(CLAUDE, "mcp", "get", "interhuman", env=env, cwd=project)
    assert "Scope: Project config" in shown.stdout, shown.stdout + shown.stderr
    assert "-m ih_mcp --local" in shown.stdout
    assert str(VIDEOS) in shown.stdout


def test_gemini_connects_with_what_install_wrote(home: Path, env: dict[str, str]) -> None:
    project = home / "project"
    install("gemini", env, project)
    written = home / ".gemini" / "settings.json"
    settings = json.loads(written.read_text(encoding="utf-8"))
    settings["mcpServers"]["interhuman"]["timeout"] = 120_000  # else this command waits 5 s
    written.write_text(json.dumps(settings), encoding="utf-8")
    trusted = {str(project): "TRUST_FOLDER"}
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    listed = run(GEMINI, "mcp", "list", env=env, cwd=project)
    told = listed.stdout + listed.stderr
    assert "interhuman" in told
    assert "Connected" in told, told


@pytest.fixture
def codex(home: Path, env: dict[str, str]) -> Iterator[Codex]:
    project = home / "project"
    install("codex", env, project)
    with app_server(env, project) as opened:
        late = threading.Timer(120, opened._process.kill)
        late.start()
        yield opened
        late.cancel()


def test_codex_finds_every_tool(codex: Codex) -> None:
    (server,) = codex.request("mcpServerStatus/list")["data"]
    assert server["serverInfo"]["name"] == "ih-mcp"
    assert set(server["tools"]) == set(NAMES)


def test_codex_does_a_whole_job(codex: Codex) -> None:
    (started,) = codex.call("stream_file", path="dialogue.mp4", pace="fast")
    stream_id = json.loads(started)["ih_mcp"]["stream_id"]
    kinds: list[str] = []
    status = {"next_cursor": 0, "ended": False}
    while not status["ended"]:
        cursor = status["next_cursor"]
        first, *messages = codex.call("poll_events", stream_id=stream_id, cursor=cursor, wait_s=20)
        status = json.loads(first)["ih_mcp"]
        kinds += [json.loads(message)["type"] for message in messages]
    assert (kinds[0], kinds[-1]) == ("session.ready", "session.ended")
    uri = f"ih://streams/{stream_id}/messages"
    read = codex.request(
        "mcpServer/resource/read", threadId=codex.thread, server="interhuman", uri=uri
    )
    assert len(read["contents"][0]["text"].splitlines()) == len(kinds)
