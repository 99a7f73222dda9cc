"""A caller that leaves within the body of its request: nothing is kept, and it is no mistake."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from ih_mcp import observer
from ih_mcp.http_server.app import CALLER_LEFT
from ih_mcp.http_server.cluster_signature import PassedOnCaller, sign
from ih_mcp.http_server.forward import CALL_PATH
from ih_mcp.http_server.metrics import REQUEST
from ih_mcp.streams.stream import Stream
from tests.streams.test_all_or_nothing import webm_header

from .conftest import KEYS, Team, said


class Requests:
    """Notes the statuses of requests that are over."""

    def __init__(self) -> None:
        self.statuses: list[str] = []

    def note(self, name: str, _value: float, labels: tuple[str, ...]) -> None:
        if name == REQUEST:
            self.statuses.append(labels[-1])


@pytest.fixture
def requests() -> Iterator[Requests]:
    noted = Requests()
    with observer.observing(noted):
        yield noted


def scope_of(method: str, path: str, *headers: tuple[str, str]) -> Scope:
    given = {"authorization": f"Bearer {KEYS['ann']}", "content-type": "application/json"}
    given |= {"accept": "application/json, text/event-stream"} | dict(headers)
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": raw,
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip


async def leave(team: Team, scope: Scope, pieces: list[bytes]) -> None:
    """Send the beginning of a body, and leave."""
    coming: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    coming.append({"type": "http.disconnect"})

    async def receive() -> Message:
        return coming.pop(0) if len(coming) > 1 else coming[0]

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await team.app(scope, receive, send)


@pytest.mark.parametrize("declared", [("content-length", "1000"), ("transfer-encoding", "chunked")])
@pytest.mark.parametrize("pieces", [[], [b'{"jsonrpc":'], [b'{"jsonrpc"', b":"]], ids=len)
async def test_a_caller_that_leaves_within_its_body_is_noted_and_no_mistake(
    team: Team,
    requests: Requests,
    caplog: pytest.LogCaptureFixture,
    pieces: list[bytes],
    declared: tuple[str, str],
) -> None:
    async with team.client() as client:
        stream_id = said(await client.call_tool("start_stream", {"include": []}))["stream_id"]
        ticket = said(await client.call_tool("upload_file", {"name": "u.mp4"}))["put_url"].split(
            "/"
        )[-1]
    requests.statuses.clear()
    paths = {
        "/mcp": "POST",
        f"/streams/{stream_id}/segments/1": "PUT",
        "/files/a.mp4": "PUT",
        f"/uploads/{ticket}": "PUT",
    }
    for path, method in paths.items():
        with pytest.raises(ClientDisconnect):
            await leave(team, scope_of(method, path, declared), pieces)
    assert requests.statuses == [str(CALLER_LEFT)] * len(paths)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    async with team.http() as http:  # nothing of it was kept, and all is as before
        again = await http.put(f"/streams/{stream_id}/segments/1", content=webm_header())
        assert (again.status_code, again.json()["ih_mcp"]["next_seq"]) == (200, 2)
        assert (await http.delete("/files/a.mp4")).status_code == 400
        assert (await http.put(f"/uploads/{ticket}", content=b"x")).status_code == 201
    async with team.client() as client:
        await client.call_tool("end_stream", {"stream_id": stream_id})


async def test_a_start_that_was_passed_on_is_cancelled_where_the_other_replica_leaves(
    own_team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does where its caller has left: nobody gets the id of the stream."""
    secret, begun = b"s" * 32, anyio.Event()

    async def wait_for_ever(_: Stream) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(Stream, "wait_until_open", wait_for_ever)
    app = own_team.app.cluster_app(secret, max_segment_bytes=10**6, max_queued_bytes=10**7)
    body = b'{"tool":"start_stream","arguments":{}}'
    signed = sign(secret, PassedOnCaller("acme", "ann"), CALL_PATH, body)
    coming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if coming:
            return coming.pop()
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        return

    with anyio.fail_after(20):
        await app(scope_of("POST", CALL_PATH, *signed.items()), receive, send)
    tenant = await own_team.app.tenant_of("acme")
    (stream,) = tenant.runtime.registry.live_streams
    assert not stream.request_end()  # that was asked for before
