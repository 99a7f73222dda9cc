"""Real hosts on a team's server: with a key, through a balancer, while servers are replaced.

What they send is kept in sent_over_http.json, and is sent again by a test that needs no host:
`IH_MCP_WRITE_HOSTS=FILE` writes that file anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import Scope

from docs.generate import OVER_HTTP
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.http_server.conftest import KEYS
from tests.node import needs_node, run
from tests.team.rolling import replacing_balancer, rolling

from .driven import HOSTS, clean, find_stream
from .model import open_model
from .test_hosts import env, home

__all__ = ["env", "home"]  # fixtures
pytestmark = [needs_node, pytest.mark.timeout(300)]
ADDRESS = "https://ih.example.org"
NOT_KEPT = {"authorization", "host", "content-length", "connection", "traceparent", "tracestate"}


@pytest.fixture(autouse=True)
def _leases_do_not_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="the extra `team` is not installed")
    for name in ("RENEW_SECONDS", "LEASE_SECONDS"):
        monkeypatch.setattr(f"ih_mcp.journal.postgres.leases.{name}", 10**6)


def use_http(name: str, url: str, words: list[str], home: Path) -> list[str]:
    """Put the entry of docs/hosts.md into a configuration in the place of the other; the words."""
    entry = OVER_HTTP[name][2].replace(ADDRESS, url)
    if name == "claude-code":
        return [words[0], entry, *words[2:]]
    if name == "codex":
        file = home / ".codex" / "config.toml"
        before, _, after = file.read_text().partition("[mcp_servers.interhuman]\n")
        kept = [
            line for line in after.splitlines() if not line.startswith(("command", "args", "env"))
        ]
        file.write_text("\n".join([before + entry, *kept]))
    else:
        file = home / ".gemini" / "settings.json"
        servers = json.loads(entry)["mcpServers"]
        servers["interhuman"]["trust"] = True
        file.write_text(json.dumps(json.loads(file.read_text()) | {"mcpServers": servers}))
    return words


def keep(file: Path, name: str, sent: list[dict[str, Any]]) -> None:
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {name: sent}, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("name", HOSTS)
async def test_a_host_does_a_job_with_a_key_while_servers_are_replaced(
    name: str, home: Path, env: dict[str, str], ffmpeg: Ffmpeg, database: str, tmp_path: Path
) -> None:
    host, sent = HOSTS[name], list[dict[str, Any]]()
    env = clean(env) | {"IH_MCP_CALLER_KEY": KEYS["ann"]}
    asked: list[tuple[str, Any]] = [
        ("start_stream", {"include": []}),
        ("end_stream", lambda results: {"stream_id": find_stream(results)}),
        ("poll_events", lambda results: {"stream_id": find_stream(results), "wait_s": 20}),
    ]

    def hear(scope: Scope, body: bytes) -> None:
        headers = Headers(scope=scope)
        assert headers["authorization"] == f"Bearer {KEYS['ann']}"
        kept = {key: value for key, value in headers.items() if key not in NOT_KEPT}
        text = json.loads(body) if body else None
        sent.append(
            {"method": scope["method"], "path": scope["path"], "headers": kept, "body": text}
        )

    async with (
        serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service,
        rolling(service, database, tmp_path / "replicas", "auto") as replicas,
        replacing_balancer(replicas, hear) as url,
    ):
        with open_model(host.wire, asked) as model:
            words = use_http(name, url, host.configure(model, [""], env, home), home)
            done = await to_thread.run_sync(
                lambda: run(
                    host.which, *host.once, *words, env=env, cwd=home / "project", seconds=200
                )
            )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(model.results) == len(asked), model.others
        assert replicas.replaced >= 4
    (session,) = service.recorder.sessions
    started, ended, polled = map(host.texts, model.results)
    assert json.loads(started[0])["ih_mcp"]["state"] in {"open", "connecting"}
    assert json.loads(ended[0])["ih_mcp"]["ended"]
    assert polled[1:] == session.texts
    if target := os.environ.get("IH_MCP_WRITE_HOSTS"):
        keep(Path(target), name, sent)
