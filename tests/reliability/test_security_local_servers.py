"""S29, S30, S36: what any local program or web page can ask of the servers on this machine."""

from __future__ import annotations

import json
import os
import re
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

from ih_mcp.capture.house import House
from ih_mcp.capture.places import MAX_PAGES
from ih_mcp.capture.serve import open_house
from ih_mcp.capture.tickets import Pass
from ih_mcp.journal import open_journal

pytestmark = pytest.mark.timeout(60)
MIB = 1 << 20
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, ConnectionResetError)

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
    command = [sys.executable, "-m", "ih_mcp", "capture", "--local", "--open"]
    async with await anyio.open_process(command, env=env) as process:
        assert process.stderr
        assert process.stdout
        with anyio.fail_after(40):
            said = b""
            while not (link := re.search(rb"(http://\S+#\S+)\s", said)):
                said += await process.stderr.receive()
            argv = await to_thread.run_sync(seen.read_text, abandon_on_cancel=True)
            (file,) = data.glob("open-*.html")
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
    assert not list(data.glob("open-*"))


# --- S30: the capture page -----------------------------------------------------------------------


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_journal(tmp_path) as journal, open_house(journal, None) as opened:
        yield opened


def page(house: House) -> connect:
    url = house.origin.replace("http", "ws", 1) + "/live"
    return connect(url, origin=house.origin, compression=None)  # type: ignore[arg-type]  # a plain string


@asynccontextmanager
async def raw_page(house: House) -> AsyncIterator[SocketStream]:
    """The same as bare bytes: a client that answers nothing."""
    host = house.origin.partition("//")[2]
    async with await anyio.connect_tcp("127.0.0.1", int(host.rpartition(":")[2])) as stream:
        head = f"GET /live HTTP/1.1\r\nHost: {host}\r\nOrigin: {house.origin}\r\n"
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
    claims: int, house: House
) -> None:
    async with raw_page(house) as stream:
        await stream.send(frame(1, b"x" * 100, claims=claims))
        assert await is_dropped(stream)


async def test_s30_nor_does_it_come_in_fragments(house: House) -> None:
    async with raw_page(house) as stream:
        first, more = frame(1, b"x" * 3000), frame(0, b"x" * 3000)
        await stream.send(bytes([first[0] & 0x7F]) + first[1:] + bytes([more[0] & 0x7F]) + more[1:])
        assert await is_dropped(stream)


async def test_s30_one_message_is_taken_before_the_key_and_no_second(house: House) -> None:
    hello = json.dumps({"type": "hello", "key": "guess", "page": "p"}).encode()
    async with raw_page(house) as stream:
        await stream.send(frame(1, hello) + frame(2, b"") * 10_000)
        assert await is_dropped(stream)


async def test_s30_a_wrong_hello_is_answered_and_its_close_not_waited_for(house: House) -> None:
    hello = json.dumps({"type": "hello", "key": "guess", "page": "p"}).encode()
    async with raw_page(house) as stream:
        await stream.send(frame(1, hello))
        with anyio.fail_after(2):
            assert (4401).to_bytes(2, "big") in await stream.receive()
        assert await is_dropped(stream)


async def test_s30_a_silent_one_goes_after_a_short_limit(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.capture.visit._HELLO_SECONDS", 0.05)
    async with raw_page(house) as stream:
        with anyio.fail_after(2):
            assert (4400).to_bytes(2, "big") in await stream.receive()
        assert await is_dropped(stream)


async def test_s30_pings_whose_answers_nobody_reads_end_the_connection(house: House) -> None:
    async with raw_page(house) as stream:
        with pytest.raises(GONE), anyio.fail_after(20):
            await send_forever(stream, frame(9, bytes(125)) * 1000)


async def send_forever(stream: SocketStream, data: bytes) -> None:
    while True:
        await stream.send(data)


async def test_s30_those_without_a_key_make_room_for_a_page_with_one(house: House) -> None:
    key = house.tickets.redeem(house.tickets.issue(Pass("st_x", may_record=False), now=0), now=0)
    async with AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(raw_page(house)) for _ in range(MAX_PAGES)]
        known = await stack.enter_async_context(page(house))
        await say_hello(known, key)
        assert await is_dropped(silent[0])


async def test_s30_there_are_32_pages_and_no_more(house: House) -> None:
    key = house.tickets.redeem(house.tickets.issue(Pass("st_x", may_record=False), now=0), now=0)
    async with AsyncExitStack() as stack:
        for _ in range(MAX_PAGES):
            await say_hello(await stack.enter_async_context(page(house)), key)
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(page(house))
    assert refused.value.response.status_code == 503
    assert b"32 pages are open" in refused.value.response.body
    async with page(house) as again:
        await say_hello(again, key)


async def say_hello(socket: ClientConnection, key: str) -> None:
    await socket.send(json.dumps({"type": "hello", "key": key, "page": "p", "cursor": 0}))
    with anyio.fail_after(5):
        assert json.loads(await socket.recv())["type"] == "welcome"


async def test_s30_websockets_count_among_the_connections(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ih_mcp.net.listen._MAX_CONNECTIONS", 3)
    async with raw_page(house), raw_page(house), raw_page(house) as last:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx2.TransportError):
                await client.get(house.origin)
        await last.aclose()
        with anyio.fail_after(5):
            while not await is_served(house):
                await anyio.lowlevel.checkpoint()


async def is_served(house: House) -> bool:
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return (await client.get(house.origin)).status_code == 200
    except httpx2.TransportError:
        return False
