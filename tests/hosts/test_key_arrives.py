"""By each documented way the server that a host starts has the key in its environment.

Claude Code, Codex and Gemini CLI run here. The others follow the rules of their own pages, which
stand below; what is started is the entry as `ih-mcp install` or a link has it.
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
from tests.packages.test_install import link_entry

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


# --- hosts that do not, by the rules of their pages, 2026-11 -------------------------------------

FEW = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG")


def _same(value: str) -> str:
    return value


def _env(value: str) -> str:
    return re.sub(r"\$\{env:(\w+)\}", lambda name: {KEY: SECRET}.get(name[1], ""), value)


def _input(value: str) -> str:
    return re.sub(r"\$\{input:\w+\}", SECRET, value)


RULES: Mapping[str, tuple[bool, Callable[[str], str]]] = {
    # its user's environment goes to a server; how a value of `env` is read
    "claude-desktop": (False, _same),  # modelcontextprotocol.io, "Debugging": a few variables alone
    "cursor": (False, _env),  # cursor.com/docs/mcp, "Config interpolation"
    "vscode": (False, _input),  # code.visualstudio.com, "MCP configuration reference"
    "windsurf": (False, _env),  # docs.windsurf.com/windsurf/cascade/mcp, "Config interpolation"
    "zed": (True, _same),  # zed.dev/docs/environment: what Zed was started with
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


def test_every_host_has_a_test() -> None:
    assert {*RULES, "claude-code", "codex", "gemini"} == {*HOSTS}
