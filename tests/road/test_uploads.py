"""Recorded files uploaded whole, and tokens: through the real server to a real stand-in."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from tests.facts import shows
from tests.forked import forked
from tests.plain_http import plain_http

from .conftest import StartStandin
from .host import ERAS, KEY, Answer, Host, Process, environment, open_host


async def finished(host: Host, analysis_id: str) -> Answer:
    while True:
        answer = await host.call("get_analysis", analysis_id=analysis_id, wait_s=5)
        assert not answer.is_error, answer.text
        if answer.status["done"]:
            return answer


@shows("upload-v2-is-a-job")
@pytest.mark.parametrize("era", ERAS)
async def test_a_job_is_followed_and_its_json_comes_byte_for_byte(
    era: str, standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with standin({"at": "job", "n": 1, "lingers": 1}) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        async with open_host(env, era) as host:
            started = await host.call("analyze_file", path=str(dialogue), include=["signals"])
            assert started.status["state"] in {"sending", "running"}
            answer = await finished(host, started.status["analysis_id"])
            again = await host.call("get_analysis", analysis_id=started.status["analysis_id"])
            listed = await host.call("list_streams")
        async with plain_http() as client:
            path = json.loads(answer.messages[0])["status_url"]
            bearer = {"Authorization": f"Bearer {KEY}"}
            theirs = await client.get(running.url + path, headers=bearer)
    assert answer.messages == again.messages == [theirs.text]
    assert answer.status["state"] == "ended"
    assert json.loads(answer.messages[0])["result"]["signals"]
    assert listed.status["streams"] == []  # an upload is no stream


@shows("upload-v1-waits")
async def test_a_synchronous_upload_goes_on_in_the_background(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with standin() as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        async with open_host(env) as host:
            started = await host.call(
                "analyze_file",
                path=str(dialogue),
                api="v1",
                include=["conversation_quality_overall"],
            )
            answer = await finished(host, started.status["analysis_id"])
    result = json.loads(answer.messages[0])
    assert set(result) >= {"signals", "engagement_state", "conversation_quality"}


async def test_a_job_is_followed_on_after_the_server_was_killed(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    async with standin({"at": "job", "n": 1, "lingers": 2}) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        analysis_id = await to_thread.run_sync(_kill_while_it_runs, env, dialogue)
        async with open_host(env) as host:
            (lost,) = (await host.call("list_streams")).status["analyses"]
            answer = await finished(host, lost["analysis_id"])
        async with open_host(env) as host:
            again = await finished(host, analysis_id)
    assert json.loads(answer.messages[0])["status"] == "completed"
    assert again.messages == answer.messages
    assert (lost["analysis_id"], lost["source"]) == (analysis_id, "dialogue.mp4")


def _kill_while_it_runs(env: dict[str, str], clip: Path) -> str:
    server = Process(env)
    try:
        started = server.call("analyze_file", path=str(clip))
        analysis_id = started.status["analysis_id"]
        state = ""
        while state != "running":
            answer = server.call("get_analysis", analysis_id=analysis_id, wait_s=0)
            state = answer.status["state"]
            assert state in {"sending", "running"}, answer.text
        server.kill()
    finally:
        server.close()
    return str(analysis_id)


@pytest.mark.parametrize(
    ("steps", "code", "server_code", "retry"),
    [
        ([{"status": 413, "error": "ih4003"}], "refused", "ih4003", False),
        ([{"status": 429, "error": "ih3002", "retry_after": 9}], "rate_limited", "ih3002", True),
        ([{"status": 503, "error": "ih1003"}], "service_error", "ih1003", True),
        ([{"status": 401, "error": "ih2001"}], "auth_failed", "ih2001", False),
    ],
)
async def test_a_refused_upload_says_why(
    steps: list[dict[str, object]],
    code: str,
    server_code: str,
    retry: bool,
    standin: StartStandin,
    dialogue: Path,
    tmp_path: Path,
) -> None:
    ordered = [{"at": "request", "path": "/v2/upload/analyze", **step} for step in steps]
    async with standin(*ordered) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
        async with open_host(env) as host:
            started = await host.call("analyze_file", path=str(dialogue))
            answer = await finished(host, started.status["analysis_id"])
    error = answer.status["error"]
    assert (error["code"], error["server_code"], error["retry"]) == (code, server_code, retry)
    assert answer.status["state"] == "failed"
    assert answer.messages == []


async def test_what_an_upload_cannot_take_is_refused_before_it_is_sent(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.mp4"
    shutil.copy(dialogue, large)
    os.truncate(large, 40 * 2**20)
    async with standin() as running:
        env = environment(tmp_path / "d", endpoint=running.url, IH_MCP_MEDIA_DIRS=str(tmp_path))
        async with open_host(env) as host:
            answer = await host.call("analyze_file", path=str(large))
            unknown = await host.call("get_analysis", analysis_id="an_x")
            version = await host.call("analyze_file", path=str(large), api="v0")
    assert answer.error["code"] == "file_too_large"
    assert "Use stream_file" in answer.text
    assert unknown.error["code"] == "unknown_stream"
    assert "Use one of v1, v2" in version.text


async def test_an_option_that_would_not_travel_is_refused(
    standin: StartStandin, dialogue: Path, tmp_path: Path
) -> None:
    env = environment(tmp_path, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
    path = str(dialogue)
    async with standin() as running, open_host(env | {"IH_MCP_ENDPOINT": running.url}) as host:
        context = await host.call("analyze_file", path=path, conversation_context="x")
        model = await host.call("analyze_file", path=path, api="v1", model="inter-2")
        goals = await host.call("start_stream", api="v0", goal_dimensions=["clarity"])
        sound = await host.call("start_stream", api="v0", sample_rate=16_000)
    assert "Uploads of v2 take no conversation_context." in context.text
    assert "Uploads of v1 take no model." in model.text
    assert "Streams of v0 take no goal_dimensions." in goals.text
    assert "Streams of v0 take no sample_rate." in sound.text


@shows("client-tokens")
async def test_a_client_token_is_the_services_json(standin: StartStandin, tmp_path: Path) -> None:
    async with standin() as running, open_host(environment(tmp_path, endpoint=running.url)) as host:
        answer = await host.call("create_token", max_video_seconds=60, expires_in=120)
    minted = json.loads(answer.messages[0])
    assert (minted["max_video_seconds"], minted["expires_in"]) == (60, 120)
    assert minted["access_token"].startswith("ct_")


async def test_no_bound_that_was_asked_for_is_left_out_of_a_token_in_silence(
    standin: StartStandin, tmp_path: Path
) -> None:
    pair = {"INTERHUMAN_KEY_ID": "kid", "INTERHUMAN_KEY_SECRET": "s3cret"}
    async with (
        standin() as running,
        open_host(environment(tmp_path, endpoint=running.url, **pair)) as host,
    ):
        capped = await host.call("create_token", kind="access", max_bytes=1, expires_in=60)
        nowhere = await host.call("create_token", allowed_origins=[])
        scopeless = await host.call("create_token", kind="access", scopes=[])
    assert capped.is_error
    assert "expires_in, max_bytes: the service bounds tokens of the kind client" in capped.text
    assert json.loads(nowhere.messages[0])["allowed_origins"] == []
    assert scopeless.error["server_code"] == "ih4005"


async def test_an_access_token_needs_the_key_pair(standin: StartStandin, tmp_path: Path) -> None:
    async with standin() as running:
        env = environment(tmp_path, endpoint=running.url)
        async with open_host(env) as host:
            refused = await host.call("create_token", kind="access")
        pair = {"INTERHUMAN_KEY_ID": "kid", "INTERHUMAN_KEY_SECRET": "s3cret"}
        async with open_host(env | pair) as host:
            answer = await host.call("create_token", kind="access")
    assert refused.error["code"] == "no_key_pair"
    assert json.loads(answer.messages[0])["expires_in"] == 900


@shows("bearer-by-subprotocol")
async def test_a_key_pair_alone_opens_streams_by_the_subprotocol(
    standin: StartStandin, tmp_path: Path
) -> None:
    async with standin() as running:
        env = environment(
            tmp_path,
            endpoint=running.url,
            INTERHUMAN_API_KEY="",
            INTERHUMAN_KEY_ID="kid",
            INTERHUMAN_KEY_SECRET="s3cret",
            IH_MCP_AUTH="subprotocol",
        )
        async with open_host(env) as host:
            started = await host.call("start_stream")
            checked = await host.call("check_setup")
        session, looked_at = running.recorder.sessions
    assert looked_at.end == "refused: ih2002"  # by the check, without a credential
    assert started.status["state"] == "open", started.text
    assert checked.status["api_key"] == "key_pair is set"
    assert "s3cret" not in json.dumps(session.as_json()) + started.text + checked.text


async def test_a_tool_can_be_left_out(tmp_path: Path) -> None:
    async with open_host(environment(tmp_path, IH_MCP_DISABLE="create_token")) as host:
        tools = (await host.client.list_tools()).tools
    assert "create_token" not in [tool.name for tool in tools]


async def test_leaving_out_what_is_no_tool_stops_the_start(tmp_path: Path) -> None:
    done = await anyio.run_process(
        forked(),
        env=environment(tmp_path, IH_MCP_DISABLE="create_tokens"),
        check=False,
    )
    assert done.returncode == 2
    assert b"create_tokens, which is no tool" in done.stderr
