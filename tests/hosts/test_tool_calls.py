"""What each host hands to its model when it calls our tools; its model is a double on this machine.

Nothing else is: the hosts are the real programs, and so is the server. What is found stands in
docs/host_calls.json, from which docs/hosts.md is drawn; a host that does otherwise fails here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from docs.generate import HOST_CALLS
from tests.node import CLAUDE, CODEX, GEMINI, needs_node, run

from .model import GENERATE, MESSAGES, RESPONSES, Json, Model, Wire, open_model
from .test_hosts import VIDEOS, env, home

__all__ = ["env", "home"]  # fixtures
pytestmark = [needs_node, pytest.mark.timeout(300)]
_TEE = Path(__file__).with_name("tee.py")
_OTHERS = ("ANTHROPIC_", "CLAUDE_CODE", "GEMINI_", "GOOGLE_", "OPENAI_")


@dataclass
class Driven:
    """How a host is started with a model of ours, and where it has the blocks of an answer."""

    wire: Wire
    start: Callable[[Model, list[str], dict[str, str], Path], subprocess.CompletedProcess[str]]
    texts: Callable[[Json], list[str]]


def _claude(
    model: Model, server: list[str], env: dict[str, str], home: Path
) -> subprocess.CompletedProcess[str]:
    entry = {"command": server[0], "args": server[1:]}
    env |= {
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ENABLE_TOOL_SEARCH": "false",  # else it offers tools only by their names
    }
    config = json.dumps({"mcpServers": {"interhuman": entry}})
    words = ("-p", "go", "--mcp-config", config, "--strict-mcp-config")
    return run(CLAUDE, *words, "--allowedTools", "mcp__interhuman", env=env, cwd=home / "project")


def _codex(
    model: Model, server: list[str], env: dict[str, str], home: Path
) -> subprocess.CompletedProcess[str]:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(
        'model = "none"\nmodel_provider = "double"\n'
        f'[model_providers.double]\nname = "double"\nbase_url = "{model.url}/v1"\n'
        f"[mcp_servers.interhuman]\ncommand = {json.dumps(server[0])}\n"
        f"args = {json.dumps(server[1:])}\n"
        f"env_vars = {json.dumps([name for name in env if name.startswith('IH_MCP_')])}\n"
        'default_tools_approval_mode = "approve"\n'
        "required = true\nstartup_timeout_sec = 60\n"  # else its first turn does not wait for tools
    )
    return run(CODEX, "exec", "--skip-git-repo-check", "go", env=env, cwd=home / "project")


def _gemini(
    model: Model, server: list[str], env: dict[str, str], home: Path
) -> subprocess.CompletedProcess[str]:
    (home / ".gemini").mkdir()
    entry = {"command": server[0], "args": server[1:], "trust": True}
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "mcpServers": {"interhuman": entry},
    }
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings))
    trusted = {str(home / "project"): "TRUST_FOLDER"}
    (home / ".gemini" / "trustedFolders.json").write_text(json.dumps(trusted))
    env |= {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": model.url}
    return run(
        GEMINI, "-p", "go", "--yolo", "--model", "gemini-2.5-pro", env=env, cwd=home / "project"
    )


def _gemini_texts(result: Json) -> list[str]:
    """One text, with marks around each block."""
    output = result["response"]["output"]
    texts = re.findall(r"<untrusted_context>\n(.*?)\n</untrusted_context>", output, re.DOTALL)
    marked = (f"<untrusted_context>\n{text}\n</untrusted_context>" for text in texts)
    assert "".join(output.split()) == "".join("".join(marked).split())
    return texts


HOSTS: Mapping[str, Driven] = {
    "claude-code": Driven(
        MESSAGES, _claude, lambda result: [block["text"] for block in result["content"]]
    ),
    "codex": Driven(
        RESPONSES, _codex, lambda result: [block["text"] for block in result["output"][1:]]
    ),
    "gemini": Driven(GENERATE, _gemini, _gemini_texts),
}


def _poll(results: list[Json]) -> Json:
    found = re.search(r"st_[0-9a-f]{32}", json.dumps(results))
    assert found, results
    return {"stream_id": found[0], "wait_s": 20}


def _hello(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], list[str]]:
    """The protocol of a message that says who sends it, with its client and its capabilities.

    Before 2026-07-28 `initialize` alone says it; since then the `_meta` of every request does.
    """
    params = message.get("params", {})
    said = params if message.get("method") == "initialize" else params.get("_meta", {})
    named = {name.removeprefix("io.modelcontextprotocol/"): said[name] for name in said}
    client = named.get("clientInfo", {})
    asks = named.get("clientCapabilities", named.get("capabilities", {}))
    return named.get("protocolVersion", ""), client, sorted(asks)


def _facts(lines: list[Mapping[str, Any]], texts: list[str]) -> Mapping[str, Any]:
    """What the host told the server, and what its model got.

    Where a server does not answer the new protocol in time, hosts begin anew with the old one: the
    newest that they speak is what stays the same.
    """
    protocol, client, asks = max((_hello(line) for line in lines), key=itemgetter(0))
    calls = [line["params"] for line in lines if line.get("method") == "tools/call"]
    return {
        "version": client["version"],
        "protocol": protocol,
        "asks for": asks,
        "asks for progress": all("progressToken" in call.get("_meta", {}) for call in calls),
        "hands on": "status and messages" if len(texts) > 1 else "the status alone",
    }


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_calls_tools_and_hands_on_what_they_answer(
    name: str, home: Path, env: dict[str, str]
) -> None:
    host = HOSTS[name]
    heard = home / "heard.jsonl"
    server = [sys.executable, str(_TEE), str(heard), sys.executable, "-m", "ih_mcp", "--local"]
    env = {key: value for key, value in env.items() if not key.startswith(_OTHERS)}
    env["IH_MCP_MEDIA_DIRS"] = str(VIDEOS)
    asked: list[tuple[str, Any]] = [
        ("check_setup", {}),
        ("stream_file", {"path": "dialogue.mp4", "pace": "fast"}),
        ("poll_events", _poll),
    ]
    with open_model(host.wire, asked) as model:
        done = host.start(model, server, env, home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(model.results) == len(asked), model.others
    checked, started, polled = map(host.texts, model.results)
    assert json.loads(checked[0])["ih_mcp"]["ok"] is True
    stream_id = json.loads(started[0])["ih_mcp"]["stream_id"]
    kept = subprocess.run(
        [sys.executable, "-m", "ih_mcp", "messages", stream_id],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    status = json.loads(polled[0])["ih_mcp"]
    assert polled[1:] == kept[: status["returned"]]
    assert polled[1:]
    lines = [json.loads(line) for line in heard.read_text(encoding="utf-8").splitlines()]
    facts = _facts(lines, polled)
    if write := os.environ.get("IH_MCP_WRITE_HOSTS"):
        Path(write).write_text(json.dumps({**HOST_CALLS, name: facts}, indent=2) + "\n")
    else:
        assert facts == HOST_CALLS[name], "IH_MCP_WRITE_HOSTS=docs/host_calls.json; make docs"
