"""By each documented way the server that a host starts has the key in its environment.

Claude Code, Codex and Gemini CLI run here. The others follow the rules of their own pages, as
`Host.page` names them; what is started is the entry as `install`, a link or the bundle has it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ih_mcp.app.hosts import HOSTS, KEY, NAME, Format, Host, Launch, Place
from tests.forked import forked
from tests.node import CLAUDE, CODEX, GEMINI, needs_node, run
from tests.packages import copy_repository
from tests.packages.test_install import link_entry
from tests.road.host import REPOSITORY

from .codex import app_server
from .test_hosts import env, home

__all__ = ["env", "home"]  # fixtures
pytestmark = pytest.mark.timeout(300)
SECRET = "ih_live_of_the_environment"
GIVEN = "ih_live_given_to_install"
posix = pytest.mark.skipif(os.name == "nt", reason="uvx is a script here")


@pytest.fixture
def recorder(home: Path, env: dict[str, str]) -> Path:
    """A `uvx` that writes down its environment, and then starts this very package."""
    folder = home / "bin"
    folder.mkdir()
    record = home / "environment.jsonl"
    script = folder / "uvx"
    script.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, os, sys\n"
        f"with open({str(record)!r}, 'a') as file:\n"
        "    file.write(json.dumps([sys.argv[1:], dict(os.environ)]) + '\\n')\n"
        f"os.execv({sys.executable!r}, [*{forked()!r}, *sys.argv[2:]])\n"
    )
    script.chmod(0o755)
    env["PATH"] = os.pathsep.join([str(folder), env.get("PATH", os.environ["PATH"])])
    env[KEY] = SECRET
    return record


def received(record: Path) -> str | None:
    """The key that the last started server had."""
    assert record.exists(), "no server was started"
    _, environment = json.loads(record.read_text().splitlines()[-1])
    found: str | None = environment.get(KEY)
    return found


def install(host: str, env: Mapping[str, str], cwd: Path, *, key: bool) -> None:
    command = [*forked(), "install", host, "--no-this"]
    done = subprocess.run(
        [*command, *(["--key", "-"] if key else [])],
        input=GIVEN,
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def by_command(host: Host, which: tuple[str, str], env: Mapping[str, str], cwd: Path) -> None:
    """The host's own command, as the pages show it."""
    assert host.by_command
    _, *words = shlex.split(host.by_command)
    done = run(which, *words, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr


# --- hosts that run here -------------------------------------------------------------------------


@needs_node
@posix
@pytest.mark.parametrize("way", ["command", "install", "key"])
def test_claude_code(way: str, home: Path, env: dict[str, str], recorder: Path) -> None:
    project = home / "project"
    if way == "command":
        by_command(HOSTS["claude-code"], CLAUDE, env, project)
    else:
        install("claude-code", env, project, key=way == "key")
        (project / ".claude").mkdir()
        allowed = {"enableAllProjectMcpServers": True}
        (project / ".claude" / "settings.local.json").write_text(json.dumps(allowed))
        state = {"projects": {str(project): {"hasTrustDialogAccepted": True}}}
        (home / ".claude").mkdir(exist_ok=True)
        (home / ".claude" / ".claude.json").write_text(json.dumps(state))
    listed = run(CLAUDE, "mcp", "list", env=env, cwd=project)
    assert "Connected" in listed.stdout, listed.stdout + listed.stderr
    assert received(recorder) == (GIVEN if way == "key" else SECRET)


@needs_node
@posix
@pytest.mark.parametrize("way", ["install", "key"])
def test_codex(way: str, home: Path, env: dict[str, str], recorder: Path) -> None:
    install("codex", env, home / "project", key=way == "key")
    with app_server(env, home / "project") as opened:
        (server,) = opened.request("mcpServerStatus/list")["data"]
    assert server["serverInfo"]["name"] == "ih-mcp"
    assert received(recorder) == (GIVEN if way == "key" else SECRET)


@needs_node
@posix
def test_codex_own_command_would_not_hand_the_key_on(
    home: Path, env: dict[str, str], recorder: Path
) -> None:
    assert HOSTS["codex"].by_command is None
    (home / ".codex").mkdir()
    done = run(CODEX, "mcp", "add", NAME, "--", "uvx", "ih-mcp", env=env, cwd=home)
    assert done.returncode == 0, done.stderr
    with app_server(env, home / "project") as opened:
        opened.request("mcpServerStatus/list")
    assert received(recorder) is None, "show the command again: it works by now"


@needs_node
@posix
def test_geminis_own_command_hands_the_key_on_only_by_name(
    home: Path, env: dict[str, str], recorder: Path
) -> None:
    words = ["mcp", "add", "--scope", "user", NAME, "uvx", "ih-mcp"]
    assert run(GEMINI, *words, env=env, cwd=home / "project").returncode == 0
    trusted = {str(home / "project"): "TRUST_FOLDER"}
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    run(GEMINI, "mcp", "list", env=env, cwd=home / "project")
    assert received(recorder) is None, "-e is not needed by now"


@needs_node
@posix
@pytest.mark.parametrize("way", ["command", "install", "key"])
def test_gemini(way: str, home: Path, env: dict[str, str], recorder: Path) -> None:
    project = home / "project"
    if way == "command":
        by_command(HOSTS["gemini"], GEMINI, env, project)
    else:
        install("gemini", env, project, key=way == "key")
    trusted = {str(project): "TRUST_FOLDER"}
    (home / ".gemini").mkdir(exist_ok=True)
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    listed = run(GEMINI, "mcp", "list", env=env, cwd=project)
    assert "Connected" in listed.stdout + listed.stderr, listed.stdout + listed.stderr
    assert received(recorder) == (GIVEN if way == "key" else SECRET)


@needs_node
@posix
@pytest.mark.parametrize("given", [GIVEN, ""])
def test_the_plugin_of_claude_code(
    given: str, home: Path, env: dict[str, str], recorder: Path
) -> None:
    marketplace = copy_repository(home / "marketplace")
    words = ["plugin", "install", NAME, "--marketplace", str(marketplace)]
    asked = ["--config", f"api_key={given}"] if given else []
    done = run(CLAUDE, *words, *asked, env=env, cwd=home / "project")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = run(CLAUDE, "mcp", "list", env=env, cwd=home / "project")
    assert "Connected" in listed.stdout, listed.stdout + listed.stderr
    assert received(recorder) == given


@needs_node
@posix
def test_the_extension_of_gemini(home: Path, env: dict[str, str], recorder: Path) -> None:
    project = home / "project"
    (home / ".gemini").mkdir()
    trusted = {str(project): "TRUST_FOLDER", str(REPOSITORY): "TRUST_FOLDER"}
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    done = run(GEMINI, "extensions", "link", REPOSITORY, "--consent", env=env, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = run(GEMINI, "mcp", "list", env=env, cwd=project)
    assert "Connected" in listed.stdout + listed.stderr, listed.stdout + listed.stderr
    assert received(recorder) == SECRET


# --- hosts that do not, by the rules of their pages, 2026-11 -------------------------------------

FEW = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG")


def _same(value: str) -> str:
    return value


def _env(value: str) -> str:
    return re.sub(r"\$\{env:(\w+)\}", lambda name: {KEY: SECRET}.get(name[1], ""), value)


def _input(value: str) -> str:
    return re.sub(r"\$\{input:\w+\}", SECRET, value)


RULES: Mapping[str, tuple[bool, Callable[[str], str]]] = {
    # its user's environment goes to a server; how a value of `env` is read. Where a page does not
    # say that the environment goes along, it does not
    "claude-desktop": (False, _same),  # "Environment variables": a few alone
    "cursor": (False, _env),  # "Config interpolation"
    "vscode": (False, _input),  # "Input variables for sensitive data"
    "windsurf": (False, _env),  # "Config interpolation"
    "zed": (True, _same),  # what Zed was started with
}


def start(host: Host, entry: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Start a server as the host does by its page."""
    inherits, value_of = RULES[host.name]
    inherited = {name: env[name] for name in env if inherits or name in FEW}
    written = {name: value_of(value) for name, value in entry.get("env", {}).items()}
    subprocess.run(
        [entry["command"], *entry["args"]],
        env={**inherited, **written},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )


@posix
@pytest.mark.parametrize("way", ["install", "key", "link"])
@pytest.mark.parametrize("name", RULES)
def test_a_host_by_its_rules(
    name: str, way: str, home: Path, env: dict[str, str], recorder: Path
) -> None:
    host = HOSTS[name]
    if way == "link":
        if host.link is None:
            pytest.skip("it has no link")
        entry: Mapping[str, Any] = link_entry(host.link(NAME, host.entry(Launch())))
    else:
        install(name, env, home, key=way == "key")
        place = Place(home, home, sys.platform, env)
        read = tomllib.loads if host.format is Format.TOML else json.loads
        entry = read(host.where(place).read_text())[host.key][NAME]
    start(host, entry, {**env, "PATH": env["PATH"]})
    if name == "claude-desktop" and way == "install":
        assert received(recorder) is None
        assert "give the key with --key" in host.after, "its page says so"
    else:
        assert received(recorder) == (GIVEN if way == "key" else SECRET)


@posix
@pytest.mark.usefixtures("recorder")
def test_what_vscode_asks_for_is_described_beside_the_servers(
    home: Path, env: dict[str, str]
) -> None:
    """A reference to what no row of `inputs` describes is never filled in."""
    install("vscode", env, home, key=False)
    path = HOSTS["vscode"].where(Place(home, home, sys.platform, env))
    document = json.loads(path.read_text())
    named = re.findall(r"\$\{input:(\w+)\}", json.dumps(document["servers"]))
    assert named == [row["id"] for row in document["inputs"]]
    assert all(row["password"] for row in document["inputs"])


@posix
def test_the_bundle_of_claude_desktop(home: Path, env: dict[str, str], recorder: Path) -> None:
    """Its manifest with what its user gave, as the format's specification fills it in."""
    manifest = json.loads((REPOSITORY / "mcpb" / "manifest.json").read_text())
    given = {name: row.get("default", "") for name, row in manifest["user_config"].items()}
    given |= {"api_key": GIVEN, "media_dirs": str(home)}

    def filled(text: str) -> str:
        text = text.replace("${__dirname}", str(REPOSITORY / "mcpb"))
        return re.sub(r"\$\{user_config\.(\w+)\}", lambda name: given[name[1]], text)

    entry = manifest["server"]["mcp_config"]
    (home / "bin" / "uv").symlink_to("uvx")
    subprocess.run(
        [entry["command"], *map(filled, entry["args"])],
        env={"PATH": env["PATH"], **{name: filled(text) for name, text in entry["env"].items()}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,  # that the package starts is what `make packages` shows
    )
    assert received(recorder) == GIVEN


def test_a_host_is_either_driven_or_follows_its_page() -> None:
    assert {name for name, host in HOSTS.items() if host.page} == {*RULES}
    assert {*RULES, "claude-code", "codex", "gemini"} == {*HOSTS}
