"""S1-S4, S14: what listens on this machine: the stand-in and the capture page.

There is no MCP over HTTP yet: those rows begin with it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream

from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.serve import open_page_server
from ih_mcp.capture.tickets import PagePermission, Tickets
from ih_mcp.cli import main
from ih_mcp.errors import ConfigurationError
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net import listen
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.plain_http import plain_http
from tests.road.host import KEY

from .budget import IS_LONG, often, report

FOREIGN_HOSTS = [
    *("evil.example", "127.0.0.1.evil", "localhost.evil", "127.0.0.1@evil.example", "evil:80"),
    *("", "127.0.0.1:0", "127.0.0.1:x", "[::1", "[::2]", "10.0.0.1", "2130706433", "localhost."),
]
OWN_HOSTS = ["127.0.0.1", "localhost", "LOCALHOST", "localhost:{port}", "[::1]:{port}", "127.0.0.1"]
FOREIGN_ORIGINS = ["https://evil.example", "null", "http://localhost.evil", "file://", "x" * 5000]


@pytest.fixture(scope="module")
async def running(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(ffmpeg=ffmpeg) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PageServer]:
    async with open_journal(tmp_path) as journal, open_page_server(journal, None) as opened:
        yield opened


async def ask_page(
    server: PageServer, path: str = "/", *, method: str = "GET", **headers: str
) -> httpx2.Response:
    async with plain_http() as client:
        return await client.request(method, server.origin + path, headers=headers)


async def free_port() -> int:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))


async def ask(
    running: RunningStandin, path: str = "/standin/sessions", **headers: str
) -> httpx2.Response:
    async with plain_http() as client:
        return await client.get(running.url + path, headers=headers)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_s1_a_foreign_name_is_not_served(host: str, running: RunningStandin) -> None:
    answer = await ask(running, host=host)
    assert answer.status_code in {400, 421}, answer.text
    assert "sessions" not in answer.text


@pytest.mark.parametrize("host", OWN_HOSTS)
async def test_s1_names_of_this_machine_are_served(host: str, running: RunningStandin) -> None:
    port = running.url.rpartition(":")[2]
    assert (await ask(running, host=host.format(port=port))).status_code == 200


@pytest.mark.parametrize("host", [*FOREIGN_HOSTS, "127.0.0.1", "localhost", "[::1]:{port}"])
async def test_s1_the_page_is_served_under_its_own_names_alone(
    host: str, server: PageServer
) -> None:
    """Browsers name the port, so a name without it is foreign here."""
    port = server.origin.rpartition(":")[2]
    answer = await ask_page(server, host=host.format(port=port))
    assert answer.status_code in {400, 421}, answer.text
    assert "<video" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
async def test_s1_the_page_is_served_under_names_of_this_machine(
    host: str, server: PageServer
) -> None:
    port = server.origin.rpartition(":")[2]
    assert (await ask_page(server, host=host.format(port=port))).status_code == 200


@pytest.mark.parametrize(("host", "status"), [("live.example", 200), ("evil.example", 421)])
async def test_s1_it_holds_on_other_addresses_too(host: str, status: int, tmp_path: Path) -> None:
    origin = "https://live.example"
    async with (
        open_journal(tmp_path) as journal,
        plain_http() as client,
    ):
        port = await free_port()
        async with open_page_server(journal, None, host="0.0.0.0", port=port, origin=origin):  # noqa: S104
            answer = await client.get(f"http://127.0.0.1:{port}/", headers={"Host": host})
            assert answer.status_code == status


async def test_s1_a_websocket_under_a_foreign_name_is_refused(running: RunningStandin) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Authorization": f"Bearer {KEY}"}
    answer = await ask(running, "/v1/stream/analyze", **headers, host="evil.example")
    assert answer.status_code == 421


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_s2_a_foreign_page_reads_nothing_of_what_was_recorded(
    origin: str, running: RunningStandin
) -> None:
    assert (await ask(running, origin=origin)).status_code == 403
    answer = await ask(running, "/", origin=origin)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_s2_a_foreign_page_gets_nothing_of_the_capture_page(
    origin: str, server: PageServer
) -> None:
    for method, path in (("GET", "/"), ("GET", "/static/page.js"), ("POST", "/ticket")):
        answer = await ask_page(server, path, method=method, origin=origin)
        assert answer.status_code == 403, path
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/ticket", "/standin/sessions"])
async def test_s2_the_refusal_does_not_wait_for_the_body(
    path: str, server: PageServer, running: RunningStandin
) -> None:
    url = server.origin if path == "/ticket" else running.url
    head = f"POST {path} HTTP/1.1\r\nHost: {url.partition('//')[2]}\r\nOrigin: null\r\n"
    async with await dial(url) as stream:
        await stream.send(head.encode() + b"Content-Length: 100\r\n\r\n")
        with anyio.fail_after(10):
            assert (await stream.receive()).startswith(b"HTTP/1.1 403 ")


def test_s3_no_command_listens_beyond_this_machine() -> None:
    """There is no option that could; the capture page refuses without its own token."""
    with pytest.raises(SystemExit):
        main(["standin", "--host", "0.0.0.0"])  # noqa: S104 - is refused


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - are refused
async def test_s3_neither_listens_beyond_this_machine(
    host: str, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=f"open to others at {host}") as caught:
        async with serve(ffmpeg=ffmpeg, host=host):
            pass
    assert "127.0.0.1" in caught.value.help
    async with open_journal(tmp_path) as journal:
        with pytest.raises(ConfigurationError, match=f"open to others at {host}") as caught:
            async with open_page_server(journal, None, host=host):
                pass
    assert "HTTPS" in caught.value.help


@pytest.mark.parametrize("credential", ["", "Basic x", "Bearer"])
async def test_s4_a_call_without_a_fitting_credential_is_401(
    credential: str, running: RunningStandin
) -> None:
    """Any bearer will do for a stand-in, which guards nothing; none will not."""
    async with plain_http() as client:
        answer = await client.post(
            f"{running.url}/v1/upload/analyze", headers={"Authorization": credential}
        )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_s4_a_stream_without_a_credential_is_401(running: RunningStandin) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    answer = await ask(running, "/v1/stream/analyze", **headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_s4_the_page_keeps_no_secret_that_a_look_could_be_timed_on() -> None:
    """Tickets and keys are found by their digest: how far a guess agrees cannot be measured."""
    tickets = Tickets()
    ticket, other = (
        tickets.issue(PagePermission("st_1", may_record=True), now=0.0) for _ in range(2)
    )
    key = tickets.redeem(ticket, now=1.0)
    kept = repr(vars(tickets))
    assert other not in kept
    assert key not in kept
    assert tickets.find_permission(key) is not None
    assert tickets.find_permission(key[:-1]) is None


PATIENCE_SECONDS = 1.0  # of a look by day; less, and a busy machine looks like a client that waits
HALF_HEAD = "GET / HTTP/1.1\r\nHost: 127"
TRICKLE = (
    "POST /v1/upload/analyze HTTP/1.1\r\nHost: {name}\r\nAuthorization: Bearer ih_key\r\n"
    "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n--x"
)
SCRIPTS = "GET /static/page.js HTTP/1.1\r\nHost: {name}\r\n\r\n" * 1000
GONE = (anyio.EndOfStream, anyio.BrokenResourceError)


async def dial(url: str) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", int(url.rpartition(":")[2]))


async def pour(stream: SocketStream, data: bytes, *, pause_seconds: float = 0.0) -> None:
    while True:
        await stream.send(data)
        await anyio.sleep(pause_seconds)


async def send_and_read(url: str, data: bytes) -> float:
    """Send it and no more, and read what comes, until the connection was dropped.

    Gives when it last did what it has to.
    """
    async with await dial(url) as stream:
        await stream.send(data)
        sent_at = anyio.current_time()
        with pytest.raises(GONE):
            await drain(stream)
    return sent_at


async def drain(stream: SocketStream) -> None:
    while True:
        await stream.receive()


async def send_and_never_read(url: str, data: bytes) -> float:
    """Send it without end, until the connection was dropped; gives when it last could.

    The kernel gets little room for answers, so that hundreds of such fit into it.
    """
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        raw.setblocking(False)
        raw.connect_ex(("127.0.0.1", int(url.rpartition(":")[2])))
        sent_at = anyio.current_time()
        while True:
            await anyio.wait_writable(raw)
            try:
                raw.send(data)
            except ConnectionError:
                return sent_at
            sent_at = anyio.current_time()


Hold = Callable[[str, bytes], Awaitable[float]]


@asynccontextmanager
async def besieged(
    url: str, sent: str, count: int, hold: Hold = send_and_read
) -> AsyncIterator[list[float]]:
    """So many connections that hold on; ends when all were dropped.

    Gives after how many seconds of doing nothing each was.
    """
    dropped: list[float] = []
    data = sent.format(name=url.partition("//")[2]).encode()

    async def come() -> None:
        idle_since = await hold(url, data)
        dropped.append(anyio.current_time() - idle_since)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(come)
        yield dropped


SIEGES = {
    "half heads at the stand-in": (HALF_HEAD, send_and_read),
    "half heads at the page": (HALF_HEAD, send_and_read),
    "endless bodies at the stand-in": (TRICKLE, send_and_read),
    "unread answers of the page": (SCRIPTS, send_and_never_read),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", SIEGES)
async def test_s14_a_siege_is_dropped_and_does_not_hold_up_others(
    what: str, running: RunningStandin, server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The long form has the patience that is there in use: two looks, 15 s apart."""
    sent, hold = SIEGES[what]
    count = often(100, nightly=500)
    if not IS_LONG:
        monkeypatch.setattr(listen, "_CHECK_SECONDS", PATIENCE_SECONDS)
    url = running.url if "stand-in" in what else server.origin
    async with plain_http() as client:

        async def call() -> float:
            await anyio.sleep(often(0.1, nightly=0.02))
            began = time.perf_counter()
            answer = await client.get(url, headers={"Connection": "close"})
            assert answer.status_code == 200
            return (time.perf_counter() - began) * 1000

        alone = [await call() for _ in range(often(3, nightly=30))]
        beside: list[float] = []
        async with besieged(url, sent, count, hold) as dropped:
            while not dropped:  # the last hundred calls: by then all hold on
                beside.append(await call())
    assert len(dropped) == count
    report(
        "S14",
        "test_security_doors.py",
        f"{count} {what}: dropped after {min(dropped):.1f} to {max(dropped):.1f} s; "
        f"a call {median(alone):.1f} ms, beside them {median(beside[-100:]):.1f} ms",
    )


async def test_s14_a_second_half_head_of_a_connection_is_dropped_too(
    running: RunningStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_CHECK_SECONDS", PATIENCE_SECONDS)
    whole = "GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"
    async with besieged(running.url, whole + HALF_HEAD, 3):
        assert (await ask(running)).status_code == 200


async def test_s14_bodies_that_do_not_come_are_dropped_after_their_answer(
    running: RunningStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key the answer was given before they came."""
    monkeypatch.setattr(listen, "_CHECK_SECONDS", PATIENCE_SECONDS)
    sent = TRICKLE.replace("Bearer ih_key", "none")
    async with besieged(running.url, sent, 100):
        assert (await ask(running)).status_code == 200


async def test_s14_a_trickle_is_no_progress(
    running: RunningStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_CHECK_SECONDS", PATIENCE_SECONDS)
    async with await dial(running.url) as stream:
        await stream.send(TRICKLE.format(name=running.url.partition("//")[2]).encode())
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(20):
            await pour(stream, b"-", pause_seconds=0.02)


async def test_s14_an_upload_without_an_end_is_refused_and_dropped(
    ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its length is not said, so only counting helps."""
    monkeypatch.setattr(listen, "_CHECK_SECONDS", PATIENCE_SECONDS)
    head = TRICKLE.replace("Content-Length: 1000000", "Transfer-Encoding: chunked")
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    async with (
        serve(Options(max_upload_bytes=1 << 16), ffmpeg=ffmpeg) as running,
        await dial(running.url) as stream,
        anyio.create_task_group() as tasks,
    ):

        async def send_without_end() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await pour(stream, b"10000\r\n" + bytes(1 << 16) + b"\r\n")

        name = running.url.partition("//")[2]
        await stream.send(head.format(name=name).removesuffix("--x").encode())
        await stream.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        tasks.start_soon(send_without_end)
        with anyio.fail_after(20):
            answer = await stream.receive()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"ih4003" in answer


async def test_s14_a_ticket_without_an_end_is_refused(server: PageServer) -> None:
    name = server.origin.partition("//")[2]
    head = f"POST /ticket HTTP/1.1\r\nHost: {name}\r\nOrigin: {server.origin}\r\n"
    head += "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    async with await dial(server.origin) as stream:
        await stream.send(head.encode() + b"100\r\n" + bytes(0x100) + b"\r\n")
        with anyio.fail_after(10):
            assert (await stream.receive()).startswith(b"HTTP/1.1 413 ")


async def test_s14_of_too_many_connections_the_oldest_that_wait_go(
    running: RunningStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look is near: it is the number alone that ends them."""
    monkeypatch.setattr(listen, "_MAX_CONNECTIONS", 20)
    async with await dial(running.url) as oldest:
        await oldest.send(HALF_HEAD.encode())
        others = [await dial(running.url) for _ in range(60)]
        with anyio.fail_after(20):
            assert (await ask(running)).status_code == 200
            with pytest.raises(GONE):
                await oldest.receive()
        for other in others:
            await other.aclose()
    report("S14", "test_security_doors.py", "61 connections where 20 may be, a call served")
