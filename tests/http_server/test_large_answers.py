"""S21 over HTTP: large answers and requests hold nobody up, and what nobody reads is bounded."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from mcp_types import TextContent, TextResourceContents

from ih_mcp.http_server import large_texts, tenants
from ih_mcp.http_server.large_texts import LargeTexts
from ih_mcp.journal import Journal, open_journal
from tests.reliability.budget import report
from tests.reliability.hold import Hold, holding

from .conftest import KEYS, Team, said

HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2025-06-18",
}
LONGEST_SECONDS = 0.05
TEXTS = {
    "controls": "\x01" * (4 << 20),
    "quotes": '"\\' * (4 << 20),
    "letters": "é\u2028\r\n" * (1 << 20),
    "pairs": "\U0001f600" * (1 << 20),
    "a mark": f"{'x' * (1 << 19)}ih-mcp-text-{'0' * 32}",
}


async def keep(team: Team, texts: list[str]) -> str:
    """A stream of ann's tenant with these messages."""
    folder = team.settings.data_dir / "tenants" / "acme"
    await to_thread.run_sync(lambda: Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700))
    async with open_journal(folder) as journal:
        return await _keep(journal, texts)


async def _keep(journal: Journal, texts: list[str]) -> str:
    stream_id = f"st_{len(texts):032x}"
    log = await journal.begin(stream_id, {"api": "v1"})
    for text in texts:
        log.append(text, leg=0)
    await log.write_record({"api": "v1", "state": "ended"}, ended=True)
    journal.release(log)
    return stream_id


def check(what: str, hold: Hold) -> None:
    report("S21", "test_large_answers.py", f"{what} over HTTP: {hold.loop_seconds * 1000:.0f} ms")
    assert hold.loop_seconds < LONGEST_SECONDS, hold


async def poll(team: Team, stream_id: str) -> list[str]:
    """All of it, and the first message again as a resource, by the official client."""
    found = list[str]()
    async with team.client() as client:
        for cursor in range(len(TEXTS)):
            asked: dict[str, Any] = {"stream_id": stream_id, "cursor": cursor, "limit": 1}
            block = (await client.call_tool("poll_events", asked)).content[1]
            assert isinstance(block, TextContent)
            found.append(block.text)
        uri = f"ih://streams/{stream_id}/messages?limit=1"
        (resource,) = (await client.read_resource(uri)).contents
        assert isinstance(resource, TextResourceContents)
        assert resource.text.rstrip("\n") == found[0]
    return found


async def poll_before(team: Team, stream_id: str) -> list[str]:
    """The same in the handshake era, whose official client takes no event above 1 MiB."""
    found = list[str]()
    async with team.http() as http:
        for cursor in range(len(TEXTS)):
            asked = {"stream_id": stream_id, "cursor": cursor, "limit": 1}
            answer = await http.post("/mcp", content=_call("poll_events", asked), headers=HEADERS)
            (line,) = (each for each in answer.content.split(b"\r\n") if each.startswith(b"data:"))
            found.append(json.loads(line.removeprefix(b"data:"))["result"]["content"][1]["text"])
    return found


@pytest.mark.parametrize("read", [poll, poll_before])
async def test_s21_messages_of_8_mib_are_read_over_http_just_as_they_came(
    read: Callable[[Team, str], Awaitable[list[str]]], own_team: Team
) -> None:
    stream_id = await keep(own_team, list(TEXTS.values()))
    async with own_team.client() as client:
        await client.list_tools()  # the tenant is open
    async with holding() as hold:  # by a client in a loop of its own: its work is not the server's
        found = await to_thread.run_sync(anyio.run, read, own_team, stream_id)
    for name, told in zip(TEXTS, found, strict=True):
        expected = TEXTS[name]
        assert (len(told), told == expected) == (len(expected), True), name
    check("messages of 8 MiB", hold)


@pytest.mark.parametrize("shape", ["[],", "1,", '{"a":{}},'])
async def test_s21_a_body_of_very_many_values_is_refused_before_it_is_read(
    shape: str, own_team: Team
) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":[{shape * 600_000}1]}}}}'
    async with own_team.http() as http:
        await http.post("/mcp", content="{}", headers=HEADERS)  # the tenant is open
        async with holding() as hold:
            answer = await http.post("/mcp", content=body, headers=HEADERS)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "this body has more than 20_000 values"
    check(f"a body of 600,000 values {shape}", hold)


async def test_what_clients_do_not_read_is_bounded_and_said(
    own_team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a client that asks and asks and reads nothing; others go on."""
    made = list[LargeTexts]()

    def make() -> LargeTexts:
        made.append(LargeTexts())
        return made[-1]

    monkeypatch.setattr(large_texts, "MAX_HELD_CHARS", 3 * (8 << 20))
    monkeypatch.setattr(tenants, "LargeTexts", make)
    stream_id = await keep(own_team, ["x" * (8 << 20)])
    async with own_team.client() as client:
        asked: dict[str, Any] = {"stream_id": stream_id, "cursor": 0}
        assert len((await client.call_tool("poll_events", asked)).content) == 2
        request = _request(own_team, "poll_events", asked)
        sockets = [_send(own_team, request) for _ in range(3)]
        await held(made, 3 * (8 << 20))
        refused = await client.call_tool("list_streams", {})
        assert said(refused)["streams"]
        with pytest.raises(Exception, match="has not been read yet"):
            await client.call_tool("poll_events", asked)
        for each in sockets:
            each.close()
        await held(made, 0)
        assert len((await client.call_tool("poll_events", asked)).content) == 2


async def held(made: list[LargeTexts], chars: int) -> None:
    """Until so much waits to be read."""
    while sum(each.held_chars for each in made) != chars:  # noqa: ASYNC110 - only sockets tell
        await anyio.sleep(0.01)


def _request(team: Team, tool: str, arguments: dict[str, Any]) -> bytes:
    """A call of the handshake era, whose requests need nothing before them."""
    body = _call(tool, arguments)
    headers = HEADERS | {
        "Host": urlsplit(team.url).netloc,
        "Authorization": f"Bearer {KEYS['ann']}",
        "Content-Length": str(len(body)),
    }
    lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", body]).encode()


def _call(tool: str, arguments: dict[str, Any]) -> str:
    call = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})


def _send(team: Team, request: bytes) -> socket.socket:
    at = urlsplit(team.url)
    assert at.hostname
    assert at.port
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the answer has no room
    opened.connect((at.hostname, at.port))
    opened.sendall(request)
    return opened
