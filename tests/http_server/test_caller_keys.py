"""`IH_MCP_KEYS`: whose key the service gets, and that a caller's own is nowhere else."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from ih_mcp import redaction
from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server.callers import TenantRow
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.http_server.tenants import tenant_settings
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import Era, Team, make_settings, said

BOTH_ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
KEY = "ih_of_ann_5dK2vQ9sX1"


@pytest.fixture(scope="module")
async def paid_by_ann(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    """A service that takes this key and no other."""
    async with serve(Options(key=KEY), ffmpeg=ffmpeg) as running:
        yield running


@asynccontextmanager
async def opened(
    service: RunningStandin, folder: Path, **more: Any
) -> AsyncIterator[tuple[Team, str | None]]:
    settings = make_settings(service, folder, keys="caller", admin_listen="127.0.0.1:0", **more)
    async with open_team_server(settings) as server:
        yield Team(server.url, server.app, settings), server.admin_url


@asynccontextmanager
async def with_key(
    team: Team, key: str | None = KEY, era: Era = "auto", caller: str = "ann"
) -> AsyncIterator[Client]:
    async with team.http(caller) as http:
        http.headers |= {"X-Interhuman-Key": key} if key is not None else {}
        transport = streamable_http_client(f"{team.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


@BOTH_ERAS
async def test_a_caller_pays_with_its_own_key(
    paid_by_ann: RunningStandin, tmp_path: Path, era: Era
) -> None:
    """The server has one too, which the service does not take."""
    async with opened(paid_by_ann, tmp_path) as (team, _):
        async with with_key(team, era=era) as client:
            started = said(await client.call_tool("start_stream", {"include": []}))
            stream = {"stream_id": started["stream_id"]}
            data = webm_header() + cluster(0)
            async with team.http() as http:  # the stream has the key, so a segment needs none
                path = f"/streams/{stream['stream_id']}/segments/1"
                assert (await http.put(path, content=data)).is_success
            assert said(await client.call_tool("end_stream", stream))["ended"]
            setup = said(await client.call_tool("check_setup", {}))
            assert "your own came with this call" in str(setup)
        async with with_key(team, None, era) as client:
            refused = await client.call_tool("start_stream", {})
            assert said(refused)["code"] == "no_caller_key"
            assert "sets the header X-Interhuman-Key" in str(refused)
            assert said(await client.call_tool("list_streams", {}))["streams"]
        async with with_key(team, "ih_of_nobody", era) as client:
            started = said(await client.call_tool("start_stream", {}))
            assert (started["code"], started["server_code"]) == ("auth_failed", "ih2001")


async def test_a_caller_s_key_is_in_one_connection_alone_and_gone_with_its_stream(
    paid_by_ann: RunningStandin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("ih_mcp.audit"), "propagate", True)
    answers = list[str]()
    async with opened(paid_by_ann, tmp_path) as (team, admin_url):
        async with with_key(team) as client:
            started = await client.call_tool("start_stream", {"include": []})
            stream = {"stream_id": said(started)["stream_id"]}
            answers.append(str(started))
            assert redaction.redact(f"a text with {KEY}") == "a text with (hidden)"
            for tool in ("poll_events", "list_streams", "end_stream", "check_setup"):
                answers.append(
                    str(await client.call_tool(tool, stream if tool != "check_setup" else {}))
                )
        runtime = team.app.tenants._open["acme"].runtime
        await runtime.registry.wait_until_ended()
        while runtime.registry.live_ids:
            await anyio.lowlevel.checkpoint()
        async with plain_http() as http:
            answers.append((await http.get(f"{admin_url}/metrics")).text)
        assert KEY not in redaction._held
        assert KEY not in "".join(redaction._forms)
    kept = [path.read_bytes() for path in team.settings.data_dir.rglob("*") if path.is_file()]
    assert kept
    everything = b"\n".join([*kept, caplog.text.encode(), "\n".join(answers).encode()])
    assert not re.search(KEY.encode(), everything)


@pytest.mark.parametrize(
    ("sent", "code"),
    [(["a b"], "bad_caller_key"), ([""], "bad_caller_key"), ([KEY] * 2, "bad_caller_key")],
)
async def test_a_key_that_is_none_is_refused_and_not_shown(
    paid_by_ann: RunningStandin, tmp_path: Path, sent: list[str], code: str
) -> None:
    async with opened(paid_by_ann, tmp_path) as (team, _), team.http() as http:
        headers = [("X-Interhuman-Key", each) for each in sent]
        answer = await http.post("/mcp", headers=headers, json={})
        assert (answer.status_code, answer.json()["ih_mcp"]["error"]["code"]) == (400, code)
        assert KEY not in answer.text


@pytest.mark.parametrize("keys", ["server", "tenant"])
async def test_a_server_with_keys_of_its_own_says_that_it_takes_none(
    paid_by_ann: RunningStandin, tmp_path: Path, keys: str
) -> None:
    settings = make_settings(paid_by_ann, tmp_path, keys=keys)
    async with (
        open_team_server(settings) as server,
        Team(server.url, server.app, settings).http() as http,
    ):
        answer = await http.post("/mcp", headers={"X-Interhuman-Key": KEY}, json={})
        error = answer.json()["ih_mcp"]["error"]
        assert (answer.status_code, error["code"]) == (400, "key_not_taken")


def test_a_tenant_without_a_key_of_its_own_does_not_get_the_server_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(data_dir=tmp_path, keys="tenant", api_key="ih_k", key_id="i")
    with pytest.raises(ConfigurationError, match="names no variable") as refused:
        tenant_settings(settings, "acme", TenantRow())
    assert refused.value.code == "no_api_key"
    monkeypatch.setenv("ACME_KEY", "ih_acme")
    changed = tenant_settings(settings, "acme", TenantRow("ACME_KEY"))
    assert changed.api_key
    assert (changed.api_key.get_secret_value(), changed.key_id) == ("ih_acme", None)
