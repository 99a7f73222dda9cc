"""Two replicas with one journal: any of them answers any call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from mcp_types import TextContent

from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server.callers import Caller
from ih_mcp.http_server.cluster_signature import PassedOnCaller, SignatureCheck, sign
from ih_mcp.http_server.forward import Forwarder
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.journal import StreamRow
from ih_mcp.standin.server.serve import RunningStandin
from tests.http_server.conftest import KEYS, Team, make_settings, said
from tests.plain_http import plain_http
from tests.streams.test_all_or_nothing import cluster, webm_header

from .rolling import CLUSTER

Replicas = tuple[Team, Team]
READ_SECONDS = "ih_mcp.journal.postgres.tickets.READ_SECONDS"


async def call(team: Team, tool: str, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """Our status, and the messages."""
    async with team.client() as client:
        result = await client.call_tool(tool, arguments)
    texts = [block.text for block in result.content[1:] if isinstance(block, TextContent)]
    return said(result), texts


async def put(team: Team, stream_id: str, number: int) -> dict[str, Any]:
    data = (webm_header() if number == 1 else b"") + cluster(1000 * (number - 1))
    async with team.http() as http:
        answer = await http.put(f"/streams/{stream_id}/segments/{number}", content=data)
    told: dict[str, Any] = answer.json()["ih_mcp"]
    return told


async def read_all(*teams: Team, stream_id: str) -> list[str]:
    """All messages to the end, each poll from the next of some replicas."""
    cursor, messages, turn = 0, list[str](), 0
    while True:
        status, texts = await call(
            teams[turn % len(teams)], "poll_events", stream_id=stream_id, cursor=cursor, wait_s=10
        )
        turn += 1
        messages += texts
        if status["ended"]:
            return messages
        cursor = status["next_cursor"]


async def test_a_stream_of_one_replica_is_read_from_the_other(replicas: Replicas) -> None:
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    for number in (1, 2, 3):
        assert (await put(one, stream_id, number))["accepted"]
    await call(one, "end_stream", stream_id=stream_id)
    messages = await read_all(other, stream_id=stream_id)
    assert messages
    assert messages == await read_all(one, stream_id=stream_id)
    assert messages == await read_all(one, other, stream_id=stream_id)
    listed, _ = await call(other, "list_streams")
    assert [each["stream_id"] for each in listed["streams"]] == [stream_id]


async def test_a_call_that_touches_a_live_stream_is_passed_on_to_its_replica(
    replicas: Replicas,
) -> None:
    one, other = replicas
    started, _ = await call(one, "start_stream", include=[])
    stream_id = started["stream_id"]
    assert (await put(one, stream_id, 1))["next_seq"] == 2
    assert (await put(other, stream_id, 2))["next_seq"] == 3
    again = await put(other, stream_id, 2)
    assert (again["next_seq"], again["duplicate"]) == (3, True)
    gap, _ = await call(other, "push_segment", stream_id=stream_id, seq=9, data_base64="AAAA")
    assert (gap["code"], gap["next_seq"]) == ("seq_gap", 3)
    configured, _ = await call(other, "configure_stream", stream_id=stream_id, include=[])
    assert configured["confirmed"]
    ended, _ = await call(other, "end_stream", stream_id=stream_id)
    assert ended["ended"]
    messages = await read_all(other, one, stream_id=stream_id)
    assert messages == await read_all(one, stream_id=stream_id)
    over, _ = await call(other, "end_stream", stream_id=stream_id)
    assert "it was over before" in over["notes"]


async def test_only_the_first_segment_that_is_passed_on_is_looked_up(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream stays where it is; one that ended is looked up again, and so is another's."""
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    assert (await put(other, stream_id, 1))["next_seq"] == 2
    journal, looked_up = runtime_of(other).journal, list[str]()
    find_stream = journal.find_stream

    async def find_noting(stream_id: str) -> StreamRow:
        looked_up.append(stream_id)
        return await find_stream(stream_id)

    monkeypatch.setattr(journal, "find_stream", find_noting)
    assert (await put(other, stream_id, 2))["next_seq"] == 3
    assert not looked_up
    assert await answer_before_the_body(other, "bob", stream_id) == 404
    await call(one, "end_stream", stream_id=stream_id)
    told = await put(other, stream_id, 3)  # its replica says it
    assert (told["error"]["code"], looked_up) == ("stream_ended", [])
    assert await answer_before_the_body(other, "ann", stream_id) == 409
    assert looked_up == [stream_id]
    assert await answer_before_the_body(other, "ann", "st_none") == 404


def test_the_addresses_of_a_bounded_number_of_streams_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ih_mcp.http_server.forward._MAX_ADDRESSES", 2)
    forwarder, ann = (
        Forwarder(cast("Any", None), b"", cast("Any", None)),
        Caller("acme", "ann", frozenset()),
    )
    for number in range(4):
        forwarder.remember(ann, f"st_{number}", "http://127.0.0.1:1")
    known = [number for number in range(4) if forwarder.known_address(ann, f"st_{number}")]
    assert known == [2, 3]


async def answer_before_the_body(team: Team, caller: str, stream_id: str) -> int:
    """The status that answers the head of a request whose body never comes."""
    place = urlsplit(team.url)
    head = (
        f"PUT /streams/{stream_id}/segments/4 HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {KEYS[caller]}\r\nContent-Length: 1000000\r\n\r\n"
    )
    async with await anyio.connect_tcp(str(place.hostname), place.port or 0) as stream:
        await stream.send(head.encode())
        return int((await stream.receive()).split()[1])


async def test_a_replica_that_drains_passes_new_streams_on_and_keeps_its_own(
    replicas: Replicas,
) -> None:
    one, other = replicas
    await call(other, "list_streams")  # so that both know each other
    for team in replicas:
        await renew(team)
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    assert one.app.drain() == 1
    new = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    assert live_ids(one) == [stream_id]
    assert live_ids(other) == [new]
    assert (await put(other, stream_id, 1))["accepted"]  # from now on a balancer asks the other
    assert (await put(one, new, 1))["accepted"]
    other.app.drain()
    refused, _ = await call(one, "start_stream", include=[])
    assert (refused["code"], refused["retry"]) == ("draining", True)
    for each in (stream_id, new):
        await call(one, "end_stream", stream_id=each)


async def test_an_address_of_one_replica_takes_a_file_at_the_other(
    service: RunningStandin, database: str, tmp_path: Path
) -> None:
    one, other = (
        make_settings(
            service, tmp_path / name, journal=database, uploads=tmp_path / "files", **CLUSTER
        )
        for name in ("one", "other")
    )
    async with open_team_server(one) as first, open_team_server(other) as second:
        asked, elsewhere = Team(first.url, first.app, one), Team(second.url, second.app, other)
        put_url = (await call(asked, "upload_file", name="talk.mp4"))[0]["put_url"]
        path = put_url.removeprefix(asked.url)
        async with elsewhere.http(None) as http:
            assert "talk.mp4" in (await http.get(path)).text
            assert (await http.put(path, content=b"video")).status_code == 201
            for team in (asked, elsewhere):  # used, for both
                async with team.http(None) as again:
                    assert (await again.put(path, content=b"video")).status_code == 404
        assert (tmp_path / "files" / "acme" / "talk.mp4").read_bytes() == b"video"


async def test_a_file_that_one_replica_wrote_is_fetched_at_the_other(replicas: Replicas) -> None:
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    await call(one, "end_stream", stream_id=stream_id)
    drawn = (await call(one, "render_timeline", stream_id=stream_id, format="csv"))[0]
    path = drawn["get_url"].removeprefix(one.url)
    async with one.http(None) as http, other.http(None) as elsewhere:
        here, there = await http.get(path), await elsewhere.get(path)
    assert (here.status_code, there.status_code) == (200, 200)
    assert here.content == there.content


def runtime_of(team: Team) -> Runtime:
    return team.app.tenants._open["acme"].runtime


def live_ids(team: Team) -> list[str]:
    return runtime_of(team).registry.live_ids


async def renew(team: Team) -> None:
    engine = team.app.tenants._engine
    assert engine
    await to_thread.run_sync(engine.lease.renew)


async def test_an_owner_that_does_not_answer_is_a_failure_to_try_again(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    await renew(other)
    engine = other.app.tenants._engine
    assert engine
    owner = next(name for name in engine.lease.replicas if name != engine.lease.name)
    gone = replace(engine.lease.replicas[owner], address="http://127.0.0.1:1")
    monkeypatch.setitem(engine.lease.replicas, owner, gone)
    refused, _ = await call(other, "end_stream", stream_id=stream_id)
    assert (refused["code"], refused["retry"]) == ("owner_unreachable", True)
    told = await put(other, stream_id, 1)
    assert told["error"]["code"] == "owner_unreachable"
    await call(one, "end_stream", stream_id=stream_id)


async def test_a_replica_says_why_its_database_keeps_nothing_new_and_stays_ready(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All replicas are in that state, and all of them can read."""
    one, _ = replicas
    engine = one.app.tenants._engine
    assert engine
    why = "its synchronous copy is away, and each commit waits for it"
    monkeypatch.setattr(engine.lease, "outage", why)
    async with one.http(None) as http:
        answer = await http.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "journal": why})
    checked, _ = await call(one, "check_setup")
    assert checked["journal"] == f"problem: nothing new can be kept: {why}"
    monkeypatch.setattr(engine.connections, "copy_is_away", True)
    monkeypatch.setattr(READ_SECONDS, 0)
    assert one.app.tenants.copy_is_away
    refused, _ = await call(one, "upload_file", name="talk.mp4")
    assert (refused["code"], refused["retry"]) == ("journal_failed", True)


async def test_replicas_that_do_not_know_each_other_say_so_and_what_to_set(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's key is good, so it is not told that it is not."""
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    monkeypatch.setattr(other.app.tenants._forwarder, "_secret", b"x" * 32)
    told = (await put(other, stream_id, 1))["error"]
    refused, _ = await call(other, "end_stream", stream_id=stream_id)
    for error in (told, refused):
        assert (error["code"], error["retry"]) == ("owner_unreachable", False)
    for text in (told["help"], caplog.text):
        assert "the same IH_MCP_CLUSTER_SECRET, and clocks that are within 30 s" in text
    await call(one, "end_stream", stream_id=stream_id)


async def test_another_tenant_s_stream_is_unknown_at_every_replica(replicas: Replicas) -> None:
    one, other = replicas
    stream_id = (await call(one, "start_stream", include=[]))[0]["stream_id"]
    for team in replicas:
        async with team.client("bob") as client:
            for tool in ("poll_events", "end_stream"):
                result = await client.call_tool(tool, {"stream_id": stream_id})
                assert said(result)["code"] == "unknown_stream"
    await call(other, "end_stream", stream_id=stream_id)


# --- what replicas say to each other --------------------------------------------------------------


async def test_a_call_that_no_replica_signed_is_not_answered(replicas: Replicas) -> None:
    engine = replicas[0].app.tenants._engine
    assert engine
    address, body = engine.lease.address, b'{"tool":"list_streams","arguments":{}}'
    good = sign(b"s" * 32, PassedOnCaller("acme", "ann"), "/call", body)
    async with plain_http() as http:

        async def post(headers: dict[str, str], content: bytes = body) -> int:
            answer = await http.post(f"{address}/call", content=content, headers=headers)
            return answer.status_code

        assert await post({}) == 401
        assert await post(sign(b"x" * 32, PassedOnCaller("acme", "ann"), "/call", body)) == 401
        assert await post(good | {"x-ih-tenant": "beta"}) == 401
        assert await post(good, body + b" ") == 401
        assert await post(good) == 200
        assert await post(good) == 401  # once


def test_a_signature_holds_for_a_short_time() -> None:
    check, caller = SignatureCheck(b"s" * 32), PassedOnCaller("acme", "ann \u00fc")
    headers = sign(b"s" * 32, caller, "/call", b"{}")
    signed_at = float(headers["x-ih-time"])
    for now in (signed_at - 31, signed_at + 31):
        assert check.find_caller(headers, "/call", b"{}", now=now) is None
    assert check.find_caller(headers, "/call", b"{}", now=signed_at + 29) == caller


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cluster_secret": "short"}, "secret of 32 characters"),
        ({"cluster_secret": None}, "secret of 32 characters"),
        ({"journal": None}, "a database that they share"),
        ({"cluster_listen": "0.0.0.0:0"}, "cannot know the address"),
    ],
)
async def test_a_replica_that_others_could_not_call_does_not_start(
    changes: dict[str, Any], text: str, service: RunningStandin, tmp_path: Path
) -> None:
    dsn = "postgresql://nobody@127.0.0.1:1/x"
    settings = make_settings(service, tmp_path, **({"journal": dsn} | CLUSTER | changes))
    with pytest.raises(ConfigurationError, match=text) as failed:
        async with open_team_server(settings):
            raise AssertionError
    assert failed.value.help
