"""Tenants are apart: in every tool and route, and no key is where it does not belong."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import anyio
import pytest
from mcp_types import TextContent

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .conftest import CALLERS, KEYS, Era, Team, said

pytest.importorskip("prometheus_client")


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_another_tenant_s_file_and_messages_are_as_unknown_as_none(
    team: Team, era: Era
) -> None:
    async with team.http("ann") as http:
        assert (await http.put("/files/secret.mp4", content=b"video")).is_success
    async with team.client("ann", era) as client:
        stream = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
    never = "st_" + "0" * 32
    async with team.http("bob") as http:
        answers = [await http.delete(f"/files/{name}.mp4") for name in ("secret", "never")]
        assert (
            len({(each.status_code, each.text.replace("never", "secret")) for each in answers}) == 1
        )
    async with team.client("bob", era) as client:
        for name in ("stream_file", "analyze_file"):
            refused = [
                (await client.call_tool(name, {"path": f"{each}.mp4"})).content[0]
                for each in ("secret", "never")
            ]
            texts = [block.text for block in refused if isinstance(block, TextContent)]
            assert texts[0] == texts[1].replace("never", "secret")
        errors = []
        for each in (stream, never):
            with pytest.raises(Exception, match="stream") as unknown:
                await client.read_resource(f"ih://streams/{each}/messages?cursor=0&limit=1")
            errors.append(str(unknown.value).replace(each, "ID"))
        assert errors[0] == errors[1]
        listed = await client.read_resource("ih://streams?limit=10")
        assert stream not in str(listed)
    async with team.client("ann", era) as client:
        await client.call_tool("end_stream", {"stream_id": stream})
    async with team.http("ann") as http:
        assert (await http.delete("/files/secret.mp4")).is_success


async def test_no_key_is_found_in_files_logs_answers_or_metrics(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ACME_KEY", "ih_k")
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("ih_mcp.audit"), "propagate", True)
    rows = f'[tenants.acme]\napi_key_variable = "ACME_KEY"\n{CALLERS}'
    await anyio.Path(tmp_path / "callers.toml").write_text(rows)
    changed = settings.model_copy(update={"admin_listen": "127.0.0.1:0"})
    answers = list[str]()
    async with open_team_server(changed) as server:
        team = Team(server.url, server.app, changed)
        for caller in ("ann", "bob"):
            async with team.client(caller) as client, team.http(caller) as http:
                started = await client.call_tool("start_stream", {"include": []})
                stream = {"stream_id": said(started)["stream_id"]}
                path = f"/streams/{stream['stream_id']}/segments/1"
                answers.append((await http.put(path, content=webm_header() + cluster(0))).text)
                for tool in ("poll_events", "list_streams", "end_stream"):
                    answers.append(str(await client.call_tool(tool, stream)))
                answers.append(str(await client.call_tool("check_setup", {})))
        async with plain_http() as http:
            answers.append((await http.get(f"{server.admin_url}/metrics")).text)
    kept = [path.read_bytes() for path in changed.data_dir.rglob("*") if path.is_file()]
    assert kept
    assert caplog.text
    everything = b"\n".join([*kept, caplog.text.encode(), "\n".join(answers).encode()])
    for key in (*KEYS.values(), "ih_k"):
        assert not re.search(rb"(?<![\w])" + key.encode() + rb"(?![\w])", everything), key
