"""What each host hands to its model when it calls our tools; its model is a double on this machine.

Nothing else is: the hosts are the real programs, and so is the server. What is found stands in
docs/host_calls.json, from which docs/hosts.md is drawn; a host that does otherwise fails here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.node import needs_node, run

from .driven import HOSTS, clean, compare, find_stream, read_lines, server_command
from .model import open_model
from .test_hosts import env, home

__all__ = ["env", "home"]  # fixtures
pytestmark = [needs_node, pytest.mark.timeout(300)]


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


def _facts(lines: Sequence[Mapping[str, Any]], texts: list[str]) -> Mapping[str, Any]:
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
    env = clean(env)
    asked: list[tuple[str, Any]] = [
        ("check_setup", {}),
        ("stream_file", {"path": "dialogue.mp4", "pace": "fast"}),
        ("poll_events", lambda results: {"stream_id": find_stream(results), "wait_s": 20}),
    ]
    with open_model(host.wire, asked) as model:
        words = host.configure(model, server_command(home), env, home)
        done = run(host.which, *host.once, *words, env=env, cwd=home / "project")
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
    compare(name, _facts(read_lines(home / "heard.jsonl"), polled))
