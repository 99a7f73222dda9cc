"""S1-S4, S14: what listens on this machine: the stand-in. The capture page has tests of its own.

There is no MCP over HTTP yet: those rows begin with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest

from ih_mcp.cli import main
from ih_mcp.media.ffmpeg import Ffmpeg
from ih_mcp.net import listen
from ih_mcp.standin.serve import Running, serve
from tests.road.host import KEY

from .budget import report

pytestmark = pytest.mark.timeout(60)
FOREIGN_HOSTS = [
    *("evil.example", "127.0.0.1.evil", "localhost.evil", "127.0.0.1@evil.example", "evil:80"),
    *("", "127.0.0.1:0", "127.0.0.1:x", "[::1", "[::2]", "10.0.0.1", "2130706433", "localhost."),
]
OWN_HOSTS = ["127.0.0.1", "localhost", "LOCALHOST", "localhost:{port}", "[::1]:{port}", "127.0.0.1"]
FOREIGN_ORIGINS = ["https://evil.example", "null", "http://localhost.evil", "file://", "x" * 5000]


@pytest.fixture(scope="module")
async def running(ffmpeg: Ffmpeg) -> AsyncIterator[Running]:
    async with serve(ffmpeg=ffmpeg) as opened:
        yield opened


async def ask(running: Running, path: str = "/standin/sessions", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(running.url + path, headers=headers)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_s1_a_foreign_name_is_not_served(host: str, running: Running) -> None:
    answer = await ask(running, host=host)
    assert answer.status_code in {400, 421}, answer.text
    assert "sessions" not in answer.text


@pytest.mark.parametrize("host", OWN_HOSTS)
async def test_s1_names_of_this_machine_are_served(host: str, running: Running) -> None:
    port = running.url.rpartition(":")[2]
    assert (await ask(running, host=host.format(port=port))).status_code == 200


async def test_s1_a_websocket_under_a_foreign_name_is_refused(running: Running) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": f"Bearer {KEY}"}
    answer = await ask(running, "/v1/stream/analyze", **headers, host="evil.example")
    assert answer.status_code == 421


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_s2_a_foreign_page_reads_nothing_of_what_was_recorded(
    origin: str, running: Running
) -> None:
    assert (await ask(running, origin=origin)).status_code == 403
    answer = await ask(running, "/", origin=origin)
    assert "access-control-allow-origin" not in answer.headers


def test_s3_no_command_listens_beyond_this_machine() -> None:
    """There is no option that could; the capture page refuses without its own token."""
    with pytest.raises(SystemExit):
        main(["standin", "--host", "0.0.0.0"])  # noqa: S104 - is refused


@pytest.mark.parametrize("credential", ["", "Basic x", "Bearer"])
async def test_s4_a_call_without_a_fitting_credential_is_401(
    credential: str, running: Running
) -> None:
    """Any bearer will do for a stand-in, which guards nothing; none will not."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{running.url}/v1/upload/analyze", headers={"Authorization": credential}
        )
    assert answer.status_code == 401


async def test_s14_half_heads_are_dropped_and_do_not_hold_up_others(
    ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_HEAD_SECONDS", 1.0)
    count = 200
    async with serve(ffmpeg=ffmpeg) as running, anyio.create_task_group() as tasks:
        port = int(running.url.rpartition(":")[2])
        dropped = 0

        async def half_head() -> None:
            nonlocal dropped
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nHost: 127")
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
                dropped += 1

        for _ in range(count):
            tasks.start_soon(half_head)
        with anyio.fail_after(20):
            assert (await ask(running)).status_code == 200  # meanwhile
    assert dropped == count
    report("S14", "test_security_doors.py", f"{count} half heads dropped, a call served meanwhile")
