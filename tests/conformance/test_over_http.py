"""`ih-mcp serve` by clients of the field, while replicas are replaced: TypeScript, Inspector."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.http_server.conftest import KEYS
from tests.node import (
    CONFORMANCE,
    CONFORMANCE_HANDSHAKE,
    FOLDER,
    INSPECTOR,
    needs_node,
    run,
    run_script,
)
from tests.plain_http import plain_http
from tests.reliability.replicas import KEY, open_balancer, open_fleet, segment
from tests.road.host import environment
from tests.team.rolling import replacing_balancer, rolling

from .test_checkers import passed

pytestmark = [needs_node, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
JOURNEY = HERE.parent / "node" / "journey.mjs"


@pytest.fixture(autouse=True)
def _leases_do_not_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="the extra `team` is not installed")
    for name in ("RENEW_SECONDS", "LEASE_SECONDS"):
        monkeypatch.setattr(f"ih_mcp.journal.postgres.leases.{name}", 10**6)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of `ih-mcp serve`, as a user of this machine starts it."""
    folder = tmp_path_factory.mktemp("serve")
    env = environment(folder, IH_MCP_LISTEN="127.0.0.1:0", IH_MCP_MAX_CALLS_PER_MINUTE="100000")
    command = [sys.executable, "-m", "ih_mcp", "serve", "--local"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()  # a drain would wait for what a checker left open


def handshake_conforms(address: str, folder: Path) -> int:
    """But for fixtures, and for what needs a session: there are none. Gives how many passed."""
    names = ("resources-subscribe", "resources-unsubscribe", "server-sse-multiple-streams")
    refused = "".join(f"  - {name}\n" for name in names)
    expected = folder / "expected.yaml"
    expected.write_text((HERE / "expected-handshake.yaml").read_text() + refused)
    words = ("server", "--url", address, "--expected-failures", expected)
    return passed(
        run(CONFORMANCE_HANDSHAKE, *words, env=environment(folder), cwd=folder, seconds=250)
    )


def newest_conforms(address: str, folder: Path) -> int:
    """But for fixtures; gives how many passed."""
    known = ("--expected-failures", HERE / "expected-2026-07-28.yaml")
    words = ("server", "--url", address, "--requirements", "2026-07-28", *known)
    return passed(run(CONFORMANCE, *words, env=environment(folder), cwd=folder, seconds=280))


def test_serve_conforms_on_the_handshake_wire(address: str, tmp_path: Path) -> None:
    assert handshake_conforms(address, tmp_path) >= 9


def test_serve_conforms_on_the_2026_wire_but_for_fixtures(address: str, tmp_path: Path) -> None:
    assert newest_conforms(address, tmp_path) >= 116


@pytest.mark.parametrize(
    ("conforms", "least"), [(handshake_conforms, 9), (newest_conforms, 116)], ids=["old", "new"]
)
async def test_replicas_that_want_a_key_conform_each_request_at_the_next(
    conforms: Callable[[str, Path], int],
    least: int,
    ffmpeg: Ffmpeg,
    database: str,
    tmp_path: Path,
) -> None:
    """The checkers show no key themselves: the balancer adds it, and passes all else on."""
    async with (
        serve(Options(), ffmpeg=ffmpeg) as service,
        open_fleet(service.url, database, tmp_path) as fleet,  # ends what a checker left open
        open_balancer([(await fleet.start()).url for _ in range(2)]) as balancer,
    ):
        address = f"{balancer.url}/mcp"
        async with plain_http() as http:
            assert (await http.post(address, json={})).status_code == 401
        balancer.adds, balancer.passes_host = {"authorization": f"Bearer {KEY}"}, True
        assert await to_thread.run_sync(conforms, address, tmp_path) >= least
        assert balancer.requests > least


@pytest.mark.parametrize("client", ["client", "client-legacy", "sdk"])
async def test_the_typescript_sdk_does_a_whole_job_with_a_replica_replaced_at_each_call(
    client: str, ffmpeg: Ffmpeg, database: str, tmp_path: Path
) -> None:
    segments = [base64.b64encode(segment(number)).decode() for number in (1, 2, 3)]
    (tmp_path / "segments.json").write_text(json.dumps(segments))
    async with (
        serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service,
        rolling(service, database, tmp_path, "auto") as replicas,
        replacing_balancer(replicas) as url,
    ):
        words: list[str | Path] = [JOURNEY, url, KEYS["ann"], client, tmp_path / "segments.json"]
        env = environment(tmp_path, IH_MCP_NODE=str(FOLDER))
        done = await to_thread.run_sync(lambda: run_script(words, env=env, cwd=tmp_path))
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert not replicas.balancer.failed
        assert replicas.replaced >= 8
    (session,) = service.recorder.sessions
    assert told["messages"] == told["resource"] == session.texts
    assert told["tools"] >= 12


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_shows_a_key_and_calls_a_tool_over_http(
    era: str, ffmpeg: Ffmpeg, database: str, tmp_path: Path
) -> None:
    async with (
        serve(Options(key="ih_k"), ffmpeg=ffmpeg) as service,
        rolling(service, database, tmp_path, "auto") as replicas,
        replacing_balancer(replicas) as url,
    ):
        env = environment(tmp_path, HOME=str(tmp_path))

        async def inspect(*words: str) -> Any:
            server = [
                "--transport",
                "http",
                f"{url}/mcp",
                "--header",
                f"Authorization: Bearer {KEYS['ann']}",
            ]
            every = ["--cli", *server, "--protocol-era", era, *words]
            return await to_thread.run_sync(lambda: run(INSPECTOR, *every, env=env, cwd=tmp_path))

        listed = await inspect("--method", "tools/list", "--strict")
        assert listed.returncode == 0, listed.stderr
        assert "upload_file" in {each["name"] for each in json.loads(listed.stdout)["tools"]}
        called = await inspect("--method", "tools/call", "--tool-name", "list_streams")
        assert called.returncode == 0, called.stderr
        assert json.loads(called.stdout)["content"][0]["text"].startswith('{"ih_mcp":')
