"""How each host is started with a model of ours, without a login."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docs.generate import HOST_CALLS
from tests.node import CLAUDE, CODEX, GEMINI

from .model import GENERATE, MESSAGES, RESPONSES, Json, Model, Wire
from .test_hosts import VIDEOS

_TEE = Path(__file__).with_name("tee.py")
_OTHERS = ("ANTHROPIC_", "CLAUDE_CODE", "GEMINI_", "GOOGLE_", "OPENAI_")


@dataclass
class Driven:
    """How a host is started with a model of ours, and where it has the blocks of an answer."""

    wire: Wire
    which: tuple[str, str]
    configure: Callable[[Model, list[str], dict[str, str], Path], list[str]]
    """Writes its configuration; gives its arguments."""
    once: list[str]
    """More arguments, for one turn without a person."""
    texts: Callable[[Json], list[str]]


def _claude(model: Model, server: list[str], env: dict[str, str], home: Path) -> list[str]:
    entry = {"command": server[0], "args": server[1:]}
    env |= {
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ENABLE_TOOL_SEARCH": "false",  # else it offers tools only by their names
    }
    known = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": ["none"], "rejected": []},
        "projects": {str(home / "project"): {"hasTrustDialogAccepted": True}},
    }
    (home / ".claude").mkdir()
    (home / ".claude" / ".claude.json").write_text(json.dumps(known))
    config = json.dumps({"mcpServers": {"interhuman": entry}})
    # one string: else a prompt behind it would be read as a tool
    return ["--mcp-config", config, "--strict-mcp-config", "--allowedTools=mcp__interhuman"]


def _codex(model: Model, server: list[str], env: dict[str, str], home: Path) -> list[str]:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        'model = "none"\nmodel_provider = "double"\n'
        f'[model_providers.double]\nname = "double"\nbase_url = "{model.url}/v1"\n'
        f'[projects.{json.dumps(str(home / "project"))}]\ntrust_level = "trusted"\n'
        f"[mcp_servers.interhuman]\ncommand = {json.dumps(server[0])}\n"
        f"args = {json.dumps(server[1:])}\n"
        f"env_vars = {json.dumps([name for name in env if name.startswith('IH_MCP_')])}\n"
        'default_tools_approval_mode = "approve"\n'
        "required = true\nstartup_timeout_sec = 60\n"  # else its first turn does not wait for tools
    )
    return []


def _gemini(model: Model, server: list[str], env: dict[str, str], home: Path) -> list[str]:
    (home / ".gemini").mkdir()
    entry = {"command": server[0], "args": server[1:], "trust": True}
    settings = {
        "general": {"enableAutoUpdate": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "mcpServers": {"interhuman": entry},
    }
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings))
    trusted = {str(home / "project"): "TRUST_FOLDER"}
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    env |= {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": model.url}
    return ["--yolo", "--model", "gemini-2.5-pro"]


def _gemini_texts(result: Json) -> list[str]:
    """One text, with marks around each block; or the error of a failed call, as it stands."""
    if "error" in result["response"]:
        return [result["response"]["error"]]
    output = result["response"]["output"]
    texts = re.findall(r"<untrusted_context>\n(.*?)\n</untrusted_context>", output, re.DOTALL)
    marked = (f"<untrusted_context>\n{text}\n</untrusted_context>" for text in texts)
    assert "".join(output.split()) == "".join("".join(marked).split())
    return texts


def _texts(blocks: str | list[Json]) -> list[str]:
    return [blocks] if isinstance(blocks, str) else [block["text"] for block in blocks]


HOSTS: Mapping[str, Driven] = {
    "claude-code": Driven(
        MESSAGES, CLAUDE, _claude, ["-p", "go"], lambda result: _texts(result["content"])
    ),
    "codex": Driven(
        RESPONSES,
        CODEX,
        _codex,
        ["exec", "--skip-git-repo-check", "go"],
        lambda result: _texts(result["output"])[1:],  # the first tells how long it took
    ),
    "gemini": Driven(GENERATE, GEMINI, _gemini, ["-p", "go"], _gemini_texts),
}


def server_command(home: Path) -> list[str]:
    """Our server, with what it and its host say written into files of this folder."""
    return [sys.executable, str(_TEE), str(home), sys.executable, "-m", "ih_mcp", "--local"]


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a host asks no model but ours; the server reads our clip."""
    kept = {key: value for key, value in env.items() if not key.startswith(_OTHERS)}
    return kept | {"IH_MCP_MEDIA_DIRS": str(VIDEOS)}


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines that are whole so far; empty where nothing was said."""
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def find_stream(results: list[Json]) -> str:
    """The stream that a call began."""
    found = re.search(r"st_[0-9a-f]{32}", json.dumps(results))
    assert found, results
    return found[0]


def compare(name: str, facts: Mapping[str, object]) -> None:
    """Compare what a host did with what docs/host_calls.json says, or write that anew."""
    if write := os.environ.get("IH_MCP_WRITE_HOSTS"):
        known = json.loads(Path(write).read_text(encoding="utf-8"))
        known[name] = {**known.get(name, {}), **facts}
        Path(write).write_text(json.dumps(known, indent=2) + "\n")
    else:
        known = {key: HOST_CALLS[name].get(key) for key in facts}
        assert facts == known, "IH_MCP_WRITE_HOSTS=docs/host_calls.json; make docs"
