"""Every host's configuration and link start the same command, and files of users are safe."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.generate import PAGES, hosts_sections, text
from ih_mcp import __version__
from ih_mcp.app.hosts import HOSTS, NAME, Format, Host, Launch, Place
from ih_mcp.cli import install, main
from ih_mcp.cli.host_entry import changed
from ih_mcp.errors import ConfigurationError
from ih_mcp.settings import Settings
from tests.reliability.budget import often
from tests.road.host import REPOSITORY

PINNED = f"ih-mcp=={__version__}"
STARTS = ("uvx", [PINNED])
SECRET = "ih_live_topsecret"


def entry(host: Host, written: str, name: str = NAME) -> Mapping[str, Any]:
    read = tomllib.loads if host.format is Format.TOML else json.loads
    found: Mapping[str, Any] = read(written)[host.key][name]
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home and working directory, with nothing in it."""
    for name in ("APPDATA", "XDG_CONFIG_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in list(os.environ):
        if name.startswith(("IH_MCP_", "INTERHUMAN_")) and name != "IH_MCP_REPORT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(install, "is_from_elsewhere", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def file_of(host: Host, home: Path) -> Path:
    return host.where(Place(home=home, project=home, platform=sys.platform))


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_host_is_installed_into_an_empty_home_and_twice_changes_nothing(
    host: Host, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", host.name]) == 0
    path = file_of(host, home)
    written = path.read_text(encoding="utf-8")
    found = entry(host, written)
    assert (found["command"], found["args"]) == STARTS
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["install", host.name]) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == written
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name]


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_key_is_written_only_where_it_was_given_and_never_shown(
    host: Host, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERHUMAN_API_KEY", SECRET)
    main(["install", host.name])
    path = file_of(host, home)
    assert SECRET not in path.read_text(encoding="utf-8")
    main(["install", host.name, "--key", SECRET, "--media-dir", "clips"])
    assert entry(host, path.read_text(encoding="utf-8"))["env"] == {
        "INTERHUMAN_API_KEY": SECRET,
        "IH_MCP_MEDIA_DIRS": str(home / "clips"),
    }
    main(["install", host.name, "--local"])  # later: what the user had stays
    found = entry(host, path.read_text(encoding="utf-8"))
    assert found["args"] == [PINNED, "--local"]
    assert found["env"]["INTERHUMAN_API_KEY"] == SECRET
    assert len(list(path.parent.glob(f"{path.name}.bak*"))) == 2
    assert f'"{SECRET}"\n+' not in capsys.readouterr().out


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_dry_run_and_a_print_write_nothing(
    host: Host, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", host.name, "--dry-run", "--key", SECRET]) == 0
    assert SECRET not in capsys.readouterr().out
    assert main(["install", host.name, "--print", "--local"]) == 0
    assert entry(host, capsys.readouterr().out)["args"] == [PINNED, "--local"]
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_key_that_was_there_is_not_shown_either(
    host: Host, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["install", host.name, "--key", SECRET])
    other = "xoxb-other" if host.format is Format.TOML else 'xo"xb-other'
    path = file_of(host, home)
    added = {
        Format.TOML: f'\n[{host.key}.other.env]\nSLACK_TOKEN = "{other}"\n',
        Format.JSON: f',\n "x": {{"env": {{"SLACK_TOKEN": {json.dumps(other)}}}}}\n}}',
    }[host.format]
    old = path.read_text(encoding="utf-8")
    whole = old if host.format is Format.TOML else old.rstrip().removesuffix("}").rstrip()
    path.write_text(whole + added, encoding="utf-8")
    capsys.readouterr()
    assert main(["install", host.name, "--key", "ih_live_anew", "--media-dir", "."]) == 0
    shown = capsys.readouterr().out
    assert '"(hidden)"' in shown
    for secret in (SECRET, "ih_live_anew", "xb-other"):
        assert secret not in shown
    assert "xb-other" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["my server", "a.b", 'a"b', "x]"])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_server_may_have_any_name(
    name: str, host: Host, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", host.name, "--name", name, "--print"]) == 0
    assert entry(host, capsys.readouterr().out, name)["args"] == [PINNED]
    assert main(["install", host.name, "--name", name]) == 0
    assert main(["install", host.name, "--name", name, "--local"]) in {0, 2}
    assert entry(host, file_of(host, home).read_text(encoding="utf-8"), name)["command"] == "uvx"


JSON_HOSTS = [host for host in HOSTS.values() if host.format is Format.JSON]
FOREIGN = {
    "theme": "dark",
    "mcpServers": {"other": {"command": "x", "args": [], "env": {"K": "ü"}}},
    "servers": {"other": {"command": "x"}},
    "context_servers": {"other": {"command": "x"}},
}


@pytest.mark.parametrize("host", JSON_HOSTS, ids=lambda host: host.name)
def test_what_is_there_is_kept_in_its_order_with_a_backup(host: Host, home: Path) -> None:
    path = file_of(host, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    old = json.dumps(FOREIGN, indent=4)
    path.write_text(old, encoding="utf-8")
    path.chmod(0o640)
    assert main(["install", host.name]) == 0
    new = json.loads(path.read_text(encoding="utf-8"))
    assert list(new)[: len(FOREIGN)] == list(FOREIGN)
    del new[host.key][NAME]
    new.pop("inputs", None)
    assert new == FOREIGN
    assert path.with_name(f"{path.name}.bak1").read_text(encoding="utf-8") == old
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


CODEX = """\
# mine
model = "o9"

[mcp_servers.other]
command = "x" # stays

[mcp_servers.interhuman]
command = "old"
enabled = false

[mcp_servers.interhuman.env]
IH_MCP_API = "v2"

[profiles.fast]
model = "mini"
"""


def test_toml_keeps_its_comments_and_the_users_own_fields(home: Path) -> None:
    path = home / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(CODEX, encoding="utf-8")
    assert main(["install", "codex"]) == 0
    written = path.read_text(encoding="utf-8")
    assert "# mine\n" in written
    assert 'command = "x" # stays' in written
    before, after = tomllib.loads(CODEX), tomllib.loads(written)
    found = after["mcp_servers"].pop(NAME)
    del before["mcp_servers"][NAME]
    assert after == before
    assert (found["command"], found["args"]) == STARTS
    assert found["enabled"] is False
    assert found["env"] == {"IH_MCP_API": "v2"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cursor", "{ not json"),
        ("cursor", '{"mcpServers": []}'),
        ("cursor", '{"mcpServers": {"interhuman": "x"}}'),
        ("cursor", '{"a": 1, "a": 2}'),
        ("cursor", "[" * 100_000),
        ("cursor", "[]"),
        ("cursor", '{"a": 1 /* not closed'),
        ("cursor", '{"a": [,]}'),
        ("cursor", '{"a": "\udfff"}'.encode("utf-8", "surrogatepass")),
        ("cursor", "{}".encode("utf-16")),
        ("vscode", '{"inputs": {}, "servers": {}}'),
        ("codex", "[mcp_servers"),
        ("codex", 'mcp_servers = "x"'),
    ],
)
def test_a_file_that_is_not_understood_is_not_touched(
    name: str, text: str | bytes, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(HOSTS[name], home)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    assert main(["install", name]) == 2
    assert "was not touched" in capsys.readouterr().err
    assert path.read_bytes() == data
    assert [file for file in path.parent.iterdir() if file.is_file()] == [path]


def test_a_link_stays_a_link(home: Path) -> None:
    target = home / "dotfiles" / "mcp.json"
    target.parent.mkdir()
    target.write_text("{}", encoding="utf-8")
    link = home / ".cursor" / "mcp.json"
    link.parent.mkdir()
    link.symlink_to(target)
    assert main(["install", "cursor"]) == 0
    assert link.is_symlink()
    assert NAME in target.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="its links need rights")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_link_to_itself_is_refused(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = home / ".cursor" / "mcp.json"
    link.parent.mkdir()
    link.symlink_to(link)
    assert main([command, "cursor"]) == 2
    assert "mcp.json was not touched" in capsys.readouterr().err
    assert main(["install", "zed", "--media-dir", str(link)]) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=often(40, nightly=500), deadline=None)
@given(st.dictionaries(st.sampled_from(["mcpServers", "a", "inputs"]), JSON))
def test_any_json_is_either_kept_whole_or_refused(document: dict[str, Any]) -> None:
    host = HOSTS["cursor"]
    try:
        new = json.loads(changed(json.dumps(document), host, Launch(), NAME, file="f"))
    except ConfigurationError:
        return
    assert new[host.key][NAME]["command"] == "uvx"
    del new[host.key][NAME]
    if host.key not in document:
        assert new.pop(host.key) == {}
    else:
        document[host.key].pop(NAME, None)
    assert new == document


@pytest.mark.parametrize(
    ("platform", "environment", "file"),
    [
        ("darwin", {}, "Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", {}, "AppData/Roaming/Claude/claude_desktop_config.json"),
        ("linux", {}, ".config/Claude/claude_desktop_config.json"),
    ],
)
def test_claude_desktop_is_found_on_each_platform(
    platform: str, environment: Mapping[str, str], file: str, tmp_path: Path
) -> None:
    place = Place(home=tmp_path, project=tmp_path, platform=platform, environment=environment)
    assert HOSTS["claude-desktop"].where(place) == tmp_path / file


# --- the pages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_drawn_from_the_code_is_current(name: str) -> None:
    page = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    assert page == text(name), "run python docs/generate.py"


def test_the_readme_has_each_host_with_its_link() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert hosts_sections() in readme
    links = re.findall(r"\[this link\]\((.*?)\)", readme)
    assert [_decoded(link) for link in links] == [STARTS] * 2


def test_the_settings_page_names_every_variable() -> None:
    page = text("settings.md")
    for found in Settings.model_fields.values():
        assert f"`{found.validation_alias}`" in page


def test_every_snippet_and_link_of_the_hosts_page_starts_the_same_command() -> None:
    page, over_http = text("hosts.md").split("\n## Over HTTP\n")
    assert "uvx" not in over_http.partition("\n## ")[0], "there a host starts nothing"
    snippets = re.findall(r"```(json|toml)\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == len(HOSTS)
    for host, (_, snippet) in zip(HOSTS.values(), snippets, strict=True):
        found = entry(host, snippet)
        assert (found["command"], found["args"]) == STARTS
        assert SECRET not in snippet
    commands = re.findall(r"Its own command: `(.*)`", page)
    assert [command.endswith(f"uvx {PINNED}") for command in commands] == [True] * 2
    links = re.findall(r"\[Install in [\w ]+\]\((https://[^)]+)\)", page)
    assert [_decoded(link) for link in links] == [STARTS, STARTS]


def _decoded(link: str) -> tuple[str, list[str]]:
    """The command a host reads from an install link."""
    found = link_entry(link)
    return found["command"], found["args"]


def link_entry(link: str) -> Mapping[str, Any]:
    """The entry in an install link."""
    asked = parse_qs(urlsplit(link).query, strict_parsing=True)
    assert asked["name"] == [NAME]
    (config,) = asked["config"]
    if not config.startswith("{"):
        config = base64.b64decode(config, validate=True).decode()
    found: Mapping[str, Any] = json.loads(config)
    return found


HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}


def test_the_entry_of_this_installation_starts_the_server(tmp_path: Path, home: Path) -> None:
    assert main(["install", "cursor", "--this", "--local"]) == 0
    found = entry(HOSTS["cursor"], (home / ".cursor" / "mcp.json").read_text(encoding="utf-8"))
    done = subprocess.run(
        [found["command"], *found["args"]],
        input=json.dumps(HELLO) + "\n",
        env={**os.environ, "IH_MCP_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "ih-mcp"
