"""`ih-mcp serve` as a process: its first line, its log, and its end by a signal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from ih_mcp.cli.serve import _missing_key
from ih_mcp.http_server.callers import read_callers
from ih_mcp.settings import read_settings
from tests.forked import forked
from tests.plain_http import plain_http
from tests.road.host import environment

from .conftest import CALLERS, said


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*forked(), "serve", "--local", "--listen", "127.0.0.1:0"],
        env=environment(tmp_path, IH_MCP_ANALYST="placeholder"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        started.kill()


async def test_sigterm_waits_for_live_streams_and_ends_in_order(
    process: subprocess.Popen[str],
) -> None:
    assert process.stdout
    assert process.stderr
    address = (await to_thread.run_sync(process.stdout.readline)).strip()
    assert "The stand-in answers, not Interhuman" in process.stderr.readline()
    async with (
        plain_http() as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        stream = said(await client.call_tool("start_stream", {}))["stream_id"]
        process.send_signal(signal.SIGTERM)
        while "live ones go on" not in await to_thread.run_sync(process.stderr.readline):
            pass  # lines of the log
        assert said(await client.call_tool("start_stream", {}))["code"] == "draining"
        assert said(await client.call_tool("end_stream", {"stream_id": stream}))["ended"]
    log = await to_thread.run_sync(process.stderr.read)
    assert "ih_mcp.audit end_stream" in log
    assert "http tenant='' caller='this machine' method='POST' path='/mcp' status=200" in log
    assert await to_thread.run_sync(process.wait) == 0


@pytest.mark.parametrize(
    ("rows", "more", "is_told"),
    [
        (None, {}, True),
        ("", {}, True),
        ("", {"api_key": "ih_k"}, False),
        ("", {"endpoint": "local"}, False),
        ("", {"keys": "caller"}, False),
        ('[tenants.acme]\napi_key_variable = "ACME_KEY"\n', {}, False),
    ],
)
def test_an_operator_who_forgot_the_key_is_told_at_the_start(
    rows: str | None, more: dict[str, Any], is_told: bool, tmp_path: Path
) -> None:
    file = tmp_path / "callers.toml"
    file.write_text((rows or "") + CALLERS.partition("[[tenants.beta")[0])
    callers = None if rows is None else read_callers(file, needs_caller=True)
    told = _missing_key(read_settings(**more), callers)
    assert ("No key for Interhuman is set" in told) == is_told
