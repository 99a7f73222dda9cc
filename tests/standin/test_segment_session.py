from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.facts import Facts
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.socket import SocketClosed
from ih_mcp.standin.credential_store import Grant
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder
from ih_mcp.standin.sessions.segment_session import SegmentSession
from ih_mcp.standin.sessions.server_session import SessionRequest
from ih_mcp.standin.uploads.files import MediaFiles
from ih_mcp.wire.dialects import V0
from ih_mcp.wire.rest import STREAM_SCOPE
from tests.memory_socket import socket_pair

from .fakes import Client, Json, MemoryClientSocket, ScriptedAnalyst, open_toy, toy

CQI = ("conversation_quality_overall", "conversation_quality_timeline")


class PlainFiles(MediaFiles):
    """Files whose bytes are in order already."""

    async def facts(self, path: Path) -> Facts:
        raise NotImplementedError(path)

    @asynccontextmanager
    async def chunks(self, path: Path) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield await anyio.Path(path).read_bytes()

        yield pieces()


@asynccontextmanager
async def session(
    options: Options | None = None,
    *,
    includes: Sequence[str] = (),
    scopes: frozenset[str] = frozenset({STREAM_SCOPE}),
    lacks_quota: bool = False,
) -> AsyncIterator[Client]:
    ours, theirs = socket_pair(room=1000)
    recorder = Recorder()
    record = recorder.begin(V0.path, "c0ffee", {})
    grant = Grant(scopes=scopes, lacks_quota=lacks_quota)
    service = SegmentSession(
        MemoryClientSocket(theirs),
        SessionRequest(dialect=V0, grant=grant, includes=tuple(includes)),
        options=options or Options(analyst=ScriptedAnalyst),
        record=record,
        recorder=recorder,
        open_decoder=open_toy,
        files=PlainFiles(Ffmpeg("", "", "")),  # it is not asked
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run)
            yield Client(ours, record, grant)
            tasks.cancel_scope.cancel()


def statuses(messages: Sequence[Json], segment: int) -> list[object]:
    return [message["status"] for message in messages if message["segment"] == segment]


async def test_each_segment_has_its_own_receipts_and_no_greeting_comes() -> None:
    async with session() as client:
        for _ in range(3):
            await client.socket.send_segment(toy(0, 5))
        messages = [await client.message() for _ in range(9)]
    for number in (1, 2, 3):
        assert statuses(messages, number) == ["processing", "result", "completed"]
    assert messages[0] == {
        "status": "processing",
        "correlation_id": "c0ffee",
        "segment": 1,
        "bytes": len(toy(0, 5)),
    }
    results = [message for message in messages if message["status"] == "result"]
    assert results[1]["signals"] == [
        {"type": "agreement", "start": 5.0, "end": 10.0, "probability": "high", "rationale": "why"}
    ]
    assert results[1]["engagement_state"] == [{"state": "engaged", "start": 5.0, "end": 10.0}]
    assert "conversation_quality" not in results[1]
    assert client.record.billed.seconds == 15.0


async def test_times_count_from_the_segment_where_that_is_asked_for() -> None:
    options = Options(has_segment_times=True, analyst=ScriptedAnalyst)
    async with session(options) as client:
        for _ in range(2):
            await client.socket.send_segment(toy(0, 5))
        messages = [await client.message() for _ in range(6)]
    for message in messages:
        if message["status"] == "result":
            assert message["engagement_state"] == [{"state": "engaged", "start": 0.0, "end": 5.0}]


@pytest.mark.parametrize("includes", [CQI, CQI[:1], CQI[1:]])
async def test_quality_is_cumulative_and_its_timeline_the_segment(includes: list[str]) -> None:
    async with session(includes=includes) as client:
        for _ in range(2):
            await client.socket.send_segment(toy(0, 5))
        results = [(await client.until("result"))[-1] for _ in range(2)]
    quality = results[1]["conversation_quality"]
    assert isinstance(quality, dict)
    assert set(quality) == {name.removeprefix("conversation_quality_") for name in includes}
    if "timeline" in quality:
        assert [(e["start"], e["end"]) for e in quality["timeline"]] == [(5.0, 10.0)]


@pytest.mark.parametrize(
    ("media", "code"),
    [
        (b"no container", "ih5004"),
        (b"\x1a\x45\xdf\xa3\nbroken\n", "ih5004"),
        (toy(0, 2), "ih5006"),
        (bytes(5001), "ih6002"),
    ],
)
async def test_a_refused_segment_has_an_error_and_the_next_one_is_fine(
    media: bytes, code: str
) -> None:
    options = Options(max_segment_bytes=5000, analyst=ScriptedAnalyst)
    async with session(options) as client:
        await client.socket.send_segment(media)
        error = (await client.until("error"))[-1]
        assert (error["error_id"], error["segment"]) == (code, 1)
        assert {"message", "link", "correlation_id"} <= set(error)
        await client.socket.send_segment(toy(0, 5))
        messages = await client.until("completed")
    assert statuses(messages, 2) == ["processing", "result", "completed"]
    assert client.record.billed.seconds == 5.0


async def test_text_is_answered_with_an_error_that_names_a_segment() -> None:
    async with session() as client:
        await client.socket.send_text("{}")
        message = await client.message()
    assert (message["status"], message["error_id"], message["segment"]) == ("error", "ih6001", 0)


async def test_a_used_up_quota_closes_the_session_before_any_segment() -> None:
    async with session(lacks_quota=True) as client:
        (error,), closed = await client.rest()
    assert (error["error_id"], closed.code) == ("ih3003", 4029)


async def test_a_missing_scope_closes_the_session() -> None:
    async with session(scopes=frozenset()) as client:
        (error,), closed = await client.rest()
    assert (error["error_id"], closed.code) == ("ih2003", 4003)


async def test_idleness_ends_it_too() -> None:
    async with session(Options(max_idle_seconds=0.05)) as client:
        (error,), closed = await client.rest()
    assert (error["error_id"], closed.code) == ("ih6003", 1001)


async def test_a_fault_can_be_ordered_for_a_segment() -> None:
    script = Script.parse([{"at": "segment", "n": 2, "error": "ih3001"}])
    async with session(Options(analyst=ScriptedAnalyst, script=script)) as client:
        for _ in range(2):
            await client.socket.send_segment(toy(0, 5))
        error = (await client.until("error"))[-1]
        assert (error["error_id"], error["segment"]) == ("ih3001", 2)
        await client.socket.close()
    with pytest.raises(SocketClosed):
        await client.socket.receive()


async def test_the_first_shapes_of_v0_can_be_asked_for() -> None:
    options = Options(has_older_shapes=True, analyst=ScriptedAnalyst)
    async with session(options) as client:
        await client.socket.send_segment(toy(0, 5))
        result = (await client.until("result"))[-1]
        await client.socket.send_segment(b"x")
        error = (await client.until("error"))[-1]
    assert "signals" not in result
    assert result["data"] == {
        "signal": [
            {
                "type": "Agreement",
                "start": 0.0,
                "end": 5.0,
                "reasoning": "why",
                "feedback": "",
                "confidence": "High",
                "intensity": "Strong",
            }
        ]
    }
    assert set(error) == {"status", "segment", "correlation_id", "error"}
