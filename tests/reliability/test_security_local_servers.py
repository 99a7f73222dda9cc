"""S29, S30, S36: what any local program or web page can ask of the servers on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import to_thread
from anyio.abc import SocketStream
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from ih_mcp.app.credentials import LOCAL_KEY
from ih_mcp.app.runtime import Runtime, StreamOptions, open_runtime
from ih_mcp.capture.connection_limit import MAX_CONNECTIONS
from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.serve import open_page_server
from ih_mcp.capture.tickets import PagePermission
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.rest import Token
from tests.forked import forked
from tests.plain_http import plain_http

MIB = 1 << 20
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, ConnectionResetError)

# --- S29: the stand-in inside a server -----------------------------------------------------------


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Runtime]:
    """A process with `--local`; its stand-in is started."""
    async with open_runtime(read_settings(endpoint="local", data_dir=tmp_path)) as runtime:
        await runtime.standin()
        yield runtime


async def local_client(runtime: Runtime, key: str = LOCAL_KEY, **headers: str) -> httpx2.Response:
    """The answer to a handshake with this key, a refusal or the 101."""
    url = (await runtime.standin()).replace("http", "ws", 1) + "/v1/stream/analyze"
    protocols = [Subprotocol("access_token"), Subprotocol(key)]
    try:
        async with connect(url, subprotocols=protocols, additional_headers=headers) as socket:
            assert socket.response is not None
            return httpx2.Response(socket.response.status_code)
    except InvalidStatus as refused:
        response = refused.response
        return httpx2.Response(response.status_code, content=bytes(response.body))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "file://", "http://localhost.evil"]
)
async def test_s29_a_page_of_elsewhere_gets_nothing_of_it(origin: str, local: Runtime) -> None:
    assert (await local_client(local, origin=origin)).status_code == 403
    async with plain_http(base_url=await local.standin()) as client:
        for path in ("/", "/v1/auth", "/v1/client_tokens", "/v2/upload/analyze"):
            answer = await client.post(path, headers={"Origin": origin}, content=b"{}")
            assert answer.status_code == 403, path


@pytest.mark.parametrize("key", ["x", "ih_live_x", "ih_local_stand_in", "ih_test_no_quota"])
async def test_s29_another_program_gets_in_with_no_key_but_that_of_the_process(
    key: str, local: Runtime
) -> None:
    refused = await local_client(local, key)
    assert (refused.status_code, refused.json()["error_id"]) == (401, "ih2001")
    bearer = {"Authorization": f"Bearer {key}"}
    pair = {"key_id": "k", "key_secret": key, "scopes": ["interhumanai.stream"]}
    async with plain_http(base_url=await local.standin()) as client:
        answers = [
            await client.post("/v1/auth", json=pair),
            await client.post("/v1/client_tokens", json={"api_key": key}),
            await client.post("/v1/client_tokens/revoke", json={"api_key": key, "token": "ct_"}),
            await client.post("/v2/upload/analyze", headers=bearer),
            *[
                await client.get(f"/standin/{name}", headers=bearer)
                for name in ("sessions", "billing", "evidence")
            ],
        ]
    assert {answer.status_code for answer in answers} == {401}


async def test_s29_its_own_process_gets_in(local: Runtime) -> None:
    assert (await local_client(local)).status_code == 101
    stream = await local.start_stream(StreamOptions(api="v1"))
    await stream.wait_until_open()
    minted = await local.mint("/v1/auth", local.credentials.key_pair().body())
    token = Token.from_body(minted.body.encode())
    assert (await local_client(local, token.access_token)).status_code == 101


def test_s29_every_process_has_another_key() -> None:
    command = "from ih_mcp.app.credentials import LOCAL_KEY; print(LOCAL_KEY)"
    others = {subprocess.check_output([sys.executable, "-c", command], text=True) for _ in range(2)}
    assert len({*others, LOCAL_KEY}) == 3


@pytest.mark.parametrize("path", ["/v0/auth", "/v1/auth", "/v1/client_tokens/revoke"])
async def test_s29_a_body_without_an_end_is_refused_at_64_kib(path: str, ffmpeg: Ffmpeg) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {200 * MIB}\r\n\r\n"
    async with serve(ffmpeg=ffmpeg) as running:
        port = int(running.url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(head.encode() + bytes(65 * 1024))
            with anyio.fail_after(5):
                answer = await stream.receive()
                while b"\r\n\r\n{" not in answer:
                    answer += await stream.receive()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"ih4003" in answer
    assert b"must not exceed 65_536 bytes" in answer


async def test_s29_sessions_and_uploads_are_bounded_and_the_refusal_says_how_many(
    ffmpeg: Ffmpeg,
) -> None:
    options = Options(max_sessions=2, max_uploads=0)
    bearer = {"Authorization": "Bearer ih_live_x"}
    async with serve(options, ffmpeg=ffmpeg) as running, AsyncExitStack() as stack:
        url = running.url.replace("http", "ws", 1) + "/v1/stream/analyze"
        for _ in range(2):
            await stack.enter_async_context(connect(url, additional_headers=bearer))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(connect(url, additional_headers=bearer))
        async with plain_http(base_url=running.url) as client:
            uploads = [
                await client.post(f"/{version}/upload/analyze", headers=bearer)
                for version in ("v0", "v1", "v2")
            ]
    response = refused.value.response
    assert (response.status_code, json.loads(response.body)["error_id"]) == (429, "ih3002")
    assert b"holds 2 sessions at once" in response.body
    for answer in uploads:
        assert (answer.status_code, answer.json()["error_id"]) == (503, "ih1002")
        assert "works on 0 uploads at once" in answer.json()["message"]


async def test_s29_what_a_client_says_is_kept_within_64_mib_of_all(ffmpeg: Ffmpeg) -> None:
    """As many sessions as there may be records of, each with texts of 30 MiB."""
    async with serve(ffmpeg=ffmpeg) as running:
        url = running.url.replace("http", "ws", 1) + "/v1/stream/analyze"
        bearer = {"Authorization": "Bearer ih_live_x"}
        for _ in range(4):
            async with connect(url, additional_headers=bearer) as socket:
                await socket.recv()
                await socket.send("x" * 30 * MIB)
                assert "ih4006" in str(await socket.recv())
        kept = [len(text) for record in running.recorder.sessions for text in record.received]
        assert kept == [30 * MIB] * 2
        assert [record.received_left_out for record in running.recorder.sessions] == [1, 1, 0, 0]


# --- S36: a ticket and who reads command lines ---------------------------------------------------

FAKE_BROWSER = """#!/bin/sh
printf '%s\\n' "$@" > "$SEEN"
"""


@pytest.mark.skipif(os.name == "nt", reason="the fake browser is a shell script")
async def test_s36_no_command_line_shows_the_ticket(tmp_path: Path) -> None:
    seen, data, browser = tmp_path / "seen", tmp_path / "data with space", tmp_path / "browser"
    data.mkdir()
    os.mkfifo(seen)
    browser.write_text(FAKE_BROWSER)
    browser.chmod(0o700)
    env = os.environ | {"BROWSER": f"{browser} %s", "SEEN": str(seen), "IH_MCP_DATA_DIR": str(data)}
    command = [*forked(), "capture", "--local", "--open"]
    async with await anyio.open_process(command, env=env) as process:
        assert process.stderr
        assert process.stdout
        with anyio.fail_after(40):
            said = b""
            while not (link := re.search(rb"(http://\S+#\S+)\s", said)):
                said += await process.stderr.receive()
            argv = await to_thread.run_sync(seen.read_text, abandon_on_cancel=True)
            (file,) = data.glob("*open-*.html")
            forwards, mode = file.read_text(), file.stat().st_mode & 0o777
            await process.stdout.receive()  # from here on a signal ends it in order
            process.terminate()
            with suppress(anyio.EndOfStream):
                await process.stderr.receive()
            await process.wait()
    ticket = link[1].decode()
    assert argv.splitlines() == [file.as_uri()]
    assert ticket.partition("#")[2] not in argv
    assert (f'url={ticket}"' in forwards, mode) == (True, 0o600)
    assert not list(data.glob("*open-*"))


# --- S30: the capture page -----------------------------------------------------------------------


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PageServer]:
    async with open_journal(tmp_path) as journal, open_page_server(journal, None) as opened:
        yield opened


def page(server: PageServer) -> connect:
    url = server.origin.replace("http", "ws", 1) + "/live"
    return connect(url, origin=server.origin, compression=None)  # type: ignore[arg-type]  # a plain string


@asynccontextmanager
async def raw_page(server: PageServer) -> AsyncIterator[SocketStream]:
    """The same as bare bytes: a client that answers nothing."""
    host = server.origin.partition("//")[2]
    async with await anyio.connect_tcp("127.0.0.1", int(host.rpartition(":")[2])) as stream:
        head = f"GET /live HTTP/1.1\r\nHost: {host}\r\nOrigin: {server.origin}\r\n"
        head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        await stream.send(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        assert (await stream.receive()).startswith(b"HTTP/1.1 101 ")
        yield stream


def frame(opcode: int, data: bytes, *, claims: int | None = None) -> bytes:
    """A masked frame; `claims` is the length it says, where that is not so."""
    size = len(data) if claims is None else claims
    head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big") + bytes(4)
    return head + data


async def is_dropped(stream: SocketStream) -> bool:
    """Whether the other end is gone, whatever it said before."""
    try:
        with anyio.fail_after(2):
            while True:
                await stream.receive()
    except TimeoutError:
        return False
    except GONE:
        return True


@pytest.mark.parametrize("claims", [4097, 61 * MIB])
async def test_s30_a_first_message_above_4_kib_ends_the_connection_as_it_begins(
    claims: int, server: PageServer
) -> None:
    async with raw_page(server) as stream:
        await stream.send(frame(1, b"x" * 100, claims=claims))
        assert await is_dropped(stream)


async def test_s30_nor_does_it_come_in_fragments(server: PageServer) -> None:
    async with raw_page(server) as stream:
        first, more = frame(1, b"x" * 3000), frame(0, b"x" * 3000)
        await stream.send(bytes([first[0] & 0x7F]) + first[1:] + bytes([more[0] & 0x7F]) + more[1:])
        assert await is_dropped(stream)


async def test_s30_one_message_is_taken_before_the_key_and_no_second(server: PageServer) -> None:
    hello = json.dumps({"type": "hello", "key": "guess", "page": "p"}).encode()
    async with raw_page(server) as stream:
        await stream.send(frame(1, hello) + frame(2, b"") * 10_000)
        assert await is_dropped(stream)


async def test_s30_a_wrong_hello_is_answered_and_its_close_not_waited_for(
    server: PageServer,
) -> None:
    hello = json.dumps({"type": "hello", "key": "guess", "page": "p"}).encode()
    async with raw_page(server) as stream:
        await stream.send(frame(1, hello))
        with anyio.fail_after(2):
            assert (4401).to_bytes(2, "big") in await stream.receive()
        assert await is_dropped(stream)


async def test_s30_a_silent_one_goes_after_a_short_limit(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.capture.page_connection._HELLO_SECONDS", 0.05)
    async with raw_page(server) as stream:
        with anyio.fail_after(2):
            assert (4400).to_bytes(2, "big") in await stream.receive()
        assert await is_dropped(stream)


async def test_s30_pings_whose_answers_nobody_reads_end_the_connection(server: PageServer) -> None:
    async with raw_page(server) as stream:
        with pytest.raises(GONE), anyio.fail_after(20):
            await send_forever(stream, frame(9, bytes(125)) * 1000)


async def send_forever(stream: SocketStream, data: bytes) -> None:
    while True:
        await stream.send(data)


async def test_s30_those_without_a_key_make_room_for_a_page_with_one(server: PageServer) -> None:
    key = server.tickets.redeem(
        server.tickets.issue(PagePermission("st_x", may_record=False), now=0), now=0
    )
    async with AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(raw_page(server)) for _ in range(MAX_CONNECTIONS)]
        known = await stack.enter_async_context(page(server))
        await say_hello(known, key)
        assert await is_dropped(silent[0])


async def test_s30_there_are_32_pages_and_no_more(server: PageServer) -> None:
    key = server.tickets.redeem(
        server.tickets.issue(PagePermission("st_x", may_record=False), now=0), now=0
    )
    async with AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            await say_hello(await stack.enter_async_context(page(server)), key)
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(page(server))
    assert refused.value.response.status_code == 503
    assert b"32 pages are open" in refused.value.response.body
    async with page(server) as again:
        await say_hello(again, key)


async def say_hello(socket: ClientConnection, key: str) -> None:
    await socket.send(json.dumps({"type": "hello", "key": key, "page": "p", "cursor": 0}))
    with anyio.fail_after(5):
        assert json.loads(await socket.recv())["type"] == "welcome"


async def test_s30_websockets_count_among_the_connections(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.net.listen._MAX_CONNECTIONS", 3)
    async with raw_page(server), raw_page(server), raw_page(server) as last:
        async with plain_http() as client:
            assert (await client.get(server.origin)).status_code == 503  # and none of them is cut
        await last.aclose()
        with anyio.fail_after(5):
            while not await is_served(server):
                await anyio.lowlevel.checkpoint()


async def is_served(server: PageServer) -> bool:
    try:
        async with plain_http() as client:
            return (await client.get(server.origin)).status_code == 200
    except httpx2.TransportError:
        return False
