"""MCP hosts as rows: where each keeps its servers, in which shape, and its install link.

Everything that names a host's configuration is made from this table: `ih-mcp install`, the pages
of the docs and the links in them. Sources are the hosts' own pages, 2026-11; **seen** where a
host was run.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from ih_mcp import __version__

NAME = "interhuman"
KEY = "INTERHUMAN_API_KEY"
DIRS = "IH_MCP_MEDIA_DIRS"
COMMAND = ("uvx", f"ih-mcp=={__version__}")
"""Pinned: what a host starts with the key changes when its user says so."""
_COMMAND_LINE = " ".join(COMMAND)


class Format(StrEnum):
    """How a host writes its configuration down."""

    JSON = "json"
    TOML = "toml"


@dataclass(frozen=True, slots=True)
class Place:
    """The machine a host runs on."""

    home: Path
    project: Path
    platform: str
    """As `sys.platform` has it."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> Path:
        """Where programs keep their configuration for this user."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environment.get("APPDATA") or self.home / "AppData" / "Roaming")
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.home / ".config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How the server is started: its command and its environment."""

    command: Sequence[str] = COMMAND
    env: Mapping[str, str] = field(default_factory=dict)
    """What the user gave: it wins over what a file has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One row."""

    name: str
    title: str
    where: Callable[[Place], Path]
    """Its file."""
    is_shared: bool = False
    """Whether that file belongs to a project, so that others write it too."""
    shown: str
    """The file, as its users know it."""
    key: str = "mcpServers"
    """What holds the servers in it."""
    format: Format = Format.JSON
    reference: str | None = None
    """How the value of a variable is named instead of written, where it can be."""
    first: Mapping[str, Any] = field(default_factory=dict)
    """Fields of an entry that come first."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of an entry that come last, unless the file has them already."""
    inputs: Sequence[Mapping[str, Any]] = ()
    """What the host asks its user for; kept beside the servers."""
    link: Callable[[str, Mapping[str, Any]], str] | None = None
    """A link that installs an entry."""
    by_command: str | None = None
    """The host's own command for it."""
    also: str = ""
    """What of ours it installs that brings the server too."""
    page: str = ""
    """Where it says how it reads its file; empty where a test drives the host itself."""
    after: str = ""
    """What to do then."""
    client_words: Sequence[str] = ()
    """What the name contains by which it introduces itself to servers, in small letters and digits
    alone; seen in its own source or in logs of servers."""

    def entry(self, launch: Launch) -> dict[str, Any]:
        """The server, as this host writes it; a key that was not given is only named."""
        env = dict(launch.env)
        if self.reference and KEY not in env and "--local" not in launch.command:
            env = {KEY: self.reference, **env}
        entry = {**self.first, "command": launch.command[0], "args": [*launch.command[1:]]}
        if env:
            entry["env"] = env
        return {**entry, **self.more}

    def snippet(self, launch: Launch, name: str = NAME) -> str:
        """What to put into an empty file."""
        if self.format is Format.TOML:
            return toml_table((self.key, name), self.entry(launch))
        return json_text(self.document(launch, name))

    def document(self, launch: Launch, name: str = NAME) -> dict[str, Any]:
        """The same as data."""
        entry = self.entry(launch)
        asks = any("${input:" in str(value) for value in entry.get("env", {}).values())
        inputs = {"inputs": [dict(asked) for asked in self.inputs]} if asks else {}
        return {**inputs, self.key: {name: entry}}


def json_text(document: object) -> str:
    """As people write it by hand."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def toml_table(path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """One table of TOML, with a table of its own for each mapping in it."""
    lines = [f"[{toml_path(path)}]"]
    tables = []
    for name, value in entry.items():
        if isinstance(value, Mapping):
            tables.append(toml_table((*path, name), value))
        else:
            lines.append(f"{toml_path([name])} = {toml_value(value)}")
    return "\n".join(lines) + "\n" + "".join(f"\n{table}" for table in tables)


def toml_path(names: Sequence[str]) -> str:
    """Names joined by dots; quoted where they are not bare."""
    return ".".join(name if _BARE.fullmatch(name) else toml_value(name) for name in names)


def toml_value(value: object) -> str:
    """A value on one line: JSON of text, numbers, booleans and lists of these is TOML too."""
    if isinstance(value, Mapping):
        members = (f"{toml_path([name])} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {', '.join(members)} }}" if value else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _cursor_link(name: str, entry: Mapping[str, Any]) -> str:
    config = base64.b64encode(json.dumps(entry, separators=(",", ":")).encode()).decode()
    return f"https://cursor.com/en/install-mcp?name={quote(name)}&config={quote(config, safe='')}"


def _vscode_link(name: str, entry: Mapping[str, Any]) -> str:
    asked = json.dumps([dict(row) for row in _VSCODE_INPUTS], separators=(",", ":"))
    config = quote(json.dumps(entry, separators=(",", ":")), safe="")
    return (
        "https://insiders.vscode.dev/redirect/mcp/install"
        f"?name={quote(name)}&inputs={quote(asked, safe='')}&config={config}"
    )


_VSCODE_INPUTS = (
    {
        "type": "promptString",
        "id": "interhuman_api_key",
        "description": "Interhuman API key",
        "password": True,
    },
)

_ROWS = (
    Host(
        name="claude-code",
        title="Claude Code",
        client_words=("claudecode",),
        where=lambda place: place.project / ".mcp.json",
        shown=".mcp.json in the project's folder",
        is_shared=True,
        reference="${INTERHUMAN_API_KEY:-}",
        by_command=f"claude mcp add --scope user interhuman -- {_COMMAND_LINE}",
        also="the plugin",
        after="Start Claude Code in this folder and allow the server. Or, with the skills: "
        "`/plugin install interhuman --marketplace ih-mcp/ih-mcp`.",
    ),
    Host(
        name="claude-desktop",
        title="Claude Desktop",
        client_words=(
            "claudeai",
            "claudedesktop",
        ),
        where=lambda place: place.config() / "Claude" / "claude_desktop_config.json",
        shown="claude_desktop_config.json (Settings, Developer, Edit Config)",
        also="the .mcpb bundle",
        page="https://modelcontextprotocol.io/docs/tools/debugging",
        after="Its file cannot refer to a variable: give the key with --key, or install the .mcpb "
        "bundle, which keeps it in the system's keychain. Then restart Claude Desktop.",
    ),
    Host(
        name="cursor",
        title="Cursor",
        client_words=("cursor",),
        where=lambda place: place.home / ".cursor" / "mcp.json",
        shown="~/.cursor/mcp.json, or .cursor/mcp.json in a project",
        reference="${env:INTERHUMAN_API_KEY}",
        link=_cursor_link,
        page="https://cursor.com/docs/mcp",
        after="Turn the server on in Settings, MCP.",
    ),
    Host(
        name="vscode",
        title="VS Code",
        client_words=(
            "visualstudiocode",
            "vscode",
        ),
        where=lambda place: place.config() / "Code" / "User" / "mcp.json",
        shown="mcp.json of the user's profile, or .vscode/mcp.json in a project",
        key="servers",
        reference="${input:interhuman_api_key}",
        first={"type": "stdio"},
        inputs=_VSCODE_INPUTS,
        link=_vscode_link,
        page="https://code.visualstudio.com/docs/agents/reference/mcp-configuration",
        after="VS Code asks for the key when the server first starts, and keeps it. Sessions in "
        "Copilot's own harness get no server that asks for a key: give --key for those.",
    ),
    Host(
        name="codex",
        title="Codex",
        client_words=("codex",),
        where=lambda place: (
            Path(place.environment.get("CODEX_HOME") or place.home / ".codex") / "config.toml"
        ),
        shown="~/.codex/config.toml",
        key="mcp_servers",
        format=Format.TOML,
        more={"env_vars": [KEY], "startup_timeout_sec": 30},  # seen: 10 s in older builds
        # seen: `codex mcp add` hands on no variable, unless its value is written down
        after="Codex passes on INTERHUMAN_API_KEY from the environment it was started in, because "
        "`env_vars` names it; its own `codex mcp add` cannot do that.",
    ),
    Host(
        name="gemini",
        title="Gemini CLI",
        client_words=("gemini",),
        where=lambda place: place.home / ".gemini" / "settings.json",
        shown="~/.gemini/settings.json",
        reference="$INTERHUMAN_API_KEY",
        # seen: without -e Gemini keeps variables whose names look like a credential to itself
        by_command="gemini mcp add --scope user -e 'INTERHUMAN_API_KEY=$INTERHUMAN_API_KEY' "
        f"interhuman {_COMMAND_LINE}",
        also="the extension",
        after="`gemini mcp list` shows it in a trusted folder.",
    ),
    Host(
        name="windsurf",
        title="Windsurf",
        client_words=(
            "windsurf",
            "codeium",
        ),
        where=lambda place: place.home / ".codeium" / "windsurf" / "mcp_config.json",
        shown="~/.codeium/windsurf/mcp_config.json",
        reference="${env:INTERHUMAN_API_KEY}",
        page="https://docs.windsurf.com/windsurf/cascade/mcp",
        after="Refresh the servers in Cascade.",
    ),
    Host(
        name="zed",
        title="Zed",
        client_words=("zed",),
        where=lambda place: (
            (place.config() / "Zed" if place.platform == "win32" else place.home / ".config/zed")
            / "settings.json"
        ),
        shown="settings.json of Zed",
        key="context_servers",
        page="https://zed.dev/docs/environment",
        after="Its file cannot refer to a variable: start Zed where INTERHUMAN_API_KEY is set, or "
        "give --key.",
    ),
)
HOSTS: Mapping[str, Host] = MappingProxyType({row.name: row for row in _ROWS})


def find_host(client: str) -> Host | None:
    """The row of the client that introduced itself by this name; None where it has none."""
    name = "".join(filter(str.isalnum, client.lower()))
    rows = (row for row in _ROWS if any(word in name for word in row.client_words))
    return next(rows, None)


def launch_command() -> Sequence[str]:
    """What starts this server again: this installation, or the package from the index. Blocks."""
    return [sys.executable, "-m", "ih_mcp"] if is_from_elsewhere() else COMMAND


def is_from_elsewhere() -> bool:
    """Whether this installation comes from a clone, a file or a repository.

    Then the package of this name on the index may be another one, and it would get the key.
    """
    try:
        found = distribution("ih-mcp").read_text("direct_url.json")  # PEP 610
    except PackageNotFoundError:
        return True
    return found is not None
