"""T14: the HTTP layer of `ih-mcp serve`, on each of its addresses and through nginx."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from anyio import to_thread

from ih_mcp.http_server.callers import hash_key
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net import listen
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.http_server.conftest import KEYS, Team, make_settings, said
from tests.plain_http import plain_http
from tests.team.rolling import CLUSTER

from .budget import IS_LONG, often, report
from .replicas import segment

pytest.importorskip("psycopg", reason="the extra `team` is not installed")
pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.timeout(often(90, nightly=1800))
FILE = "test_team_http.py"
ERAS = ("auto", "legacy")
_WANTED = "signal.updated"
_UNBOUNDED = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2025-11-25",
}


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(Options(key="ih_k"), ffmpeg=ffmpeg) as running:
        yield running


@pytest.fixture
async def team(service: RunningStandin, database: str, tmp_path: Path) -> AsyncIterator[Team]:
    settings = make_settings(
        service,
        tmp_path,
        journal=database,
        cluster_listen="127.0.0.1:0",
        cluster_secret="s" * 32,
        admin_listen="127.0.0.1:0",
        max_segment_bytes=2**20,
        max_call_bytes=2**20,
    )
    async with open_team_server(settings) as server:
        team = Team(server.url, server.app, settings)
        team.admin_url = server.admin_url or ""  # type: ignore[attr-defined]  # for `addresses`
        yield team


def addresses(team: Team) -> dict[str, str]:
    """A path of each address that it listens on."""
    engine = team.app.tenants._engine
    assert engine
    return {
        "public": f"{team.url}/health",
        "admin": f"{team.admin_url}/metrics",  # type: ignore[attr-defined]  # see `team`
        "cluster": f"{engine.lease.address}/call",
    }


async def test_t14_a_page_of_another_site_is_refused_at_every_address(team: Team) -> None:
    foreign = {"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}
    async with plain_http() as http:
        for name, url in addresses(team).items():
            found = [(await http.get(url, headers=each)).status_code for each in foreign]
            assert found == [421, 403, 403], name
            assert (await http.get(url)).status_code in {200, 405}, name
    report("T14", FILE, "foreign Host and Origin refused at 3 addresses")


async def test_t14_a_body_that_is_too_large_is_refused_at_every_address(team: Team) -> None:
    large, known = bytes(2 * 2**20), {"Authorization": f"Bearer {KEYS['ann']}"}
    cluster = addresses(team)["cluster"]
    async with plain_http(headers=known) as http, team.client() as client:
        stream = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
        url = f"{team.url}/streams/{stream}/segments/1"
        assert (await http.put(url, content=large)).status_code == 413
        call = await http.post(f"{team.url}/mcp", content=large + large, headers=HEADERS)
        assert call.status_code == 413
        assert (await http.post(cluster, content=large)).status_code == 413
        put = await http.put(cluster.replace("/call", f"/segments/{stream}/1"), content=large)
        assert put.status_code == 413
        await client.call_tool("end_stream", {"stream_id": stream})
    report("T14", FILE, "bodies beyond their bound refused on 4 paths")


async def test_t14_slow_heads_and_bodies_are_dropped_at_every_address(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not IS_LONG:
        monkeypatch.setattr(listen, "_CHECK_SECONDS", 0.2)
    half_head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
    no_body = b"POST /call HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
    count = often(5, nightly=100)

    async def hold(url: str, sent: bytes) -> None:
        parts = httpx2.URL(url)
        async with await anyio.connect_tcp(str(parts.host), parts.port or 80) as stream:
            await stream.send(sent)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:  # an answer may come first
                    await stream.receive()

    places = addresses(team)
    async with anyio.create_task_group() as tasks, plain_http() as http:
        for url in places.values():
            for sent in (half_head, no_body):
                for _ in range(count):
                    tasks.start_soon(hold, url, sent)
        for _ in range(10):
            assert (await http.get(places["public"])).is_success
    report("T14", FILE, f"{2 * count} slow heads and bodies at each of 3 addresses: dropped")


async def test_t14_many_polls_wait_at_once_and_are_all_answered(
    ffmpeg: Ffmpeg, database: str, tmp_path: Path
) -> None:
    """Of many callers, half of them at the replica that carries the stream, half at another one."""
    polls, at_once = often((120, 120), nightly=(10_000, 1_000))
    keys = [f"ihc_of_{number}" for number in range(-(-at_once // 30))]
    entries = "".join(
        f'[[tenants.acme.callers]]\nname = "{key}"\nkey_sha256 = "{hash_key(key)}"\n'
        for key in keys
    )
    script = Script.parse([{"at": "segment", "send": f'{{"type":"{_WANTED}"}}'}])
    async with AsyncExitStack() as stack:
        options = Options(key="ih_k", script=script)
        service = await stack.enter_async_context(serve(options, ffmpeg=ffmpeg))
        teams = list[Team]()
        for name in ("owner", "other"):
            more = {"journal": database, "max_calls_per_minute": 100_000, **CLUSTER}
            settings = make_settings(service, tmp_path / name, **more)
            with (tmp_path / name / "callers.toml").open("a") as file:
                file.write("\n" + entries)
            server = await stack.enter_async_context(open_team_server(settings))
            teams.append(Team(server.url, server.app, settings))
        least = await _poll_in_waves(teams, keys, polls // at_once, at_once)
    figure = f"{polls} polls at 2 replicas, {least} and more waiting at once: all answered"
    report("T14", FILE, figure)


async def _poll_in_waves(teams: list[Team], keys: list[str], waves: int, at_once: int) -> int:
    """So many at a time, each of which waits for the next message; gives how many did at least.

    Where it takes long until the last of them has come, the first one was answered after its 25 s.
    """
    owner, other = teams
    async with owner.client() as client:
        stream = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
    least = at_once
    async with AsyncExitStack() as stack:
        # A client for each caller: with each request one looks through all connections that it has.
        callers = [
            await stack.enter_async_context(
                plain_http(headers=HEADERS | {"Authorization": f"Bearer {key}"}, limits=_UNBOUNDED)
            )
            for key in keys
        ]
        cursor = 0
        for number in range(1, waves + 1):
            async with owner.client() as client:
                asked = {"stream_id": stream, "cursor": cursor, "wait_s": 0, "limit": 200}
                cursor = said(await client.call_tool("poll_events", asked))["next_cursor"]
            asked = {"stream_id": stream, "cursor": cursor, "wait_s": 25, "until": [_WANTED]}
            params = {"name": "poll_events", "arguments": asked}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answers = list[bool]()

            async def poll(place: int, body: object = body, answers: list[bool] = answers) -> None:
                url = f"{teams[place % 2].url}/mcp"
                answer = await callers[place % len(callers)].post(url, json=body)
                assert answer.status_code == 200, answer.text
                assert not result_of(answer.text)["isError"]
                answers.append(len(result_of(answer.text)["content"]) > 1)

            async with anyio.create_task_group() as tasks:
                for place in range(at_once):
                    tasks.start_soon(poll, place)
                most = 0
                while (waiting := _waiting(teams)) + len(answers) < at_once:
                    most = max(most, waiting)
                    await anyio.sleep(0.01)
                least = min(least, max(most, waiting))
                async with other.http() as http:
                    assert (await http.get("/health")).is_success  # beside them
                    put = await http.put(
                        f"/streams/{stream}/segments/{number}", content=segment(number)
                    )
                    assert put.is_success
            assert len(answers) == at_once
            assert any(answers)  # the message, in all that waited until it came
    return least


def _waiting(teams: list[Team]) -> int:
    return sum(team.app.limits.waiting_polls for team in teams)


def result_of(text: str) -> Any:
    """The result in an answer, which is JSON or one event of a stream."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if '"result"' in line]
    return json.loads(lines[-1])["result"]


# --- through nginx -------------------------------------------------------------------------------

_CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; }}
    }}
}}
"""


NGINX = os.environ.get("IH_MCP_NGINX") or shutil.which("nginx")


@contextmanager
def nginx(upstream: str, folder: Path) -> Iterator[str]:
    """nginx with its defaults: answers are buffered, bodies have a mebibyte, reads 60 s."""
    assert NGINX is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, upstream=upstream))
    with subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config)]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.skipif(NGINX is None, reason="no nginx is installed, nor does IH_MCP_NGINX name one")
@pytest.mark.parametrize("era", ERAS)
async def test_t14_a_job_goes_through_nginx_as_it_comes(
    era: Any, service: RunningStandin, tmp_path: Path
) -> None:
    settings = make_settings(service, tmp_path)
    folder = tmp_path / "nginx"
    folder.mkdir()
    async with open_team_server(settings) as server:
        opened = nginx(server.url, folder)
        url = await to_thread.run_sync(opened.__enter__)
        try:
            await _wait_for(f"{url}/health")
            longest = await _do_a_job(Team(url, server.app, settings), era)
        finally:
            await to_thread.run_sync(opened.__exit__, None, None, None)
    if IS_LONG:
        assert longest < 16
        report("T14", FILE, f"through nginx with its defaults: silent for {longest:.1f} s at most")


async def _wait_for(url: str) -> None:
    async with plain_http() as http:
        with anyio.fail_after(60):
            while True:
                try:
                    assert (await http.get(url)).is_success
                except httpx2.ConnectError:
                    await anyio.lowlevel.checkpoint()
                else:
                    return


async def _do_a_job(team: Team, era: Any) -> float:
    """A stream from its start to its end; gives the longest silence of a poll, in seconds."""
    async with team.client(era=era) as client, team.http() as http:
        stream = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
        path = f"/streams/{stream}/segments"
        assert (await http.put(f"{path}/1", content=segment(1))).is_success
        large = await http.put(f"{path}/2", content=segment(2, 2 * 2**20))
        assert large.status_code == 413  # of nginx; the snippet in examples/team lets it pass
        longest = await _longest_silence(team, stream) if IS_LONG else 0.0
        assert said(await client.call_tool("end_stream", {"stream_id": stream}))["ended"]
        read = await client.call_tool("poll_events", {"stream_id": stream, "wait_s": 20})
        assert said(read)["ended"]
    return longest


async def _longest_silence(team: Team, stream: str) -> float:
    """Of a poll that finds nothing for as long as it may wait."""
    async with team.client() as client:
        last = said(await client.call_tool("poll_events", {"stream_id": stream}))["next_cursor"]
    asked = {"stream_id": stream, "cursor": last, "wait_s": 25}
    params = {"name": "poll_events", "arguments": asked, "_meta": {"progressToken": 1}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    heard_at, longest = anyio.current_time(), 0.0
    async with (
        team.http() as http,
        http.stream("POST", "/mcp", json=body, headers=HEADERS) as answer,
    ):
        async for _ in answer.aiter_raw():
            longest = max(longest, anyio.current_time() - heard_at)
            heard_at = anyio.current_time()
    return longest
