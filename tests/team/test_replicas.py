"""Two replicas with one journal: any of them answers any call."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_types import TextContent

from tests.http_server.conftest import Team, said
from tests.streams.test_all_or_nothing import cluster, webm_header

pytestmark = pytest.mark.timeout(60)
Replicas = tuple[Team, Team]


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
