"""Waiting for a message of some type; nothing that was read is left out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.errors import RemoteProtocolError
from ih_mcp.journal import StreamLog
from ih_mcp.mcp_server.message_reader import MessageReader
from ih_mcp.mcp_server.server import make_server
from ih_mcp.notifier import Notifier
from ih_mcp.settings import read_settings
from ih_mcp.streams.ids import IdKind
from ih_mcp.wire.codec import known_types
from ih_mcp.wire.dialects import V0, V1
from ih_mcp.wire.message_names import read_names
from tests.road.host import Answer, Host

RECORD = {"state": "open", "api": "v1", "endpoint": "production"}


class Written:
    """A stream whose messages the test writes."""

    def __init__(self, runtime: Runtime, host: Host, stream_id: str, log: StreamLog) -> None:
        self.runtime, self.host, self.stream_id, self.log = runtime, host, stream_id, log

    async def write(self, *kinds: str) -> None:
        for kind in kinds:
            self.log.append(json.dumps({"type": kind, "data": {}}), leg=0)
        await self.log.flush()

    async def end(self) -> None:
        await self.log.write_record(RECORD | {"state": "ended"}, ended=True)

    async def poll(self, **arguments: object) -> Answer:
        answer = await self.host.call("poll_events", stream_id=self.stream_id, **arguments)
        assert not answer.is_error, answer.text
        return answer


class WatchedNotifier(Notifier):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = anyio.Event()

    async def wait(self) -> None:
        self.is_awaited.set()
        await super().wait()


@pytest.fixture
async def written(tmp_path: Path) -> AsyncIterator[Written]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        yield runtime

    settings = read_settings(endpoint="local", data_dir=tmp_path)
    async with open_runtime(settings) as runtime, Client(make_server(lifespan)) as client:
        stream_id = IdKind.STREAM.make_id()
        log = await runtime.journal.begin(stream_id, RECORD)
        yield Written(runtime, Host(client), stream_id, log)
        runtime.journal.release(log)


def kinds(answer: Answer) -> list[str]:
    return [json.loads(message)["type"] for message in answer.messages]


async def poll_while(written: Written, *batches: tuple[str, ...], **arguments: object) -> Answer:
    """Poll, and write each batch once the poll waits again."""
    found: list[Answer] = []
    waiting = anyio.Event()
    wait = written.runtime.journal.wait

    async def watched(stream_id: str, after: int) -> None:
        nonlocal waiting
        waiting.set()
        await wait(stream_id, after)

    written.runtime.journal.wait = watched  # type: ignore[method-assign]

    async def poll() -> None:
        found.append(await written.poll(wait_s=25, **arguments))

    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            for batch in batches:
                await waiting.wait()
                waiting = anyio.Event()
                await written.write(*batch)
    return found[0]


async def test_it_waits_past_other_types_and_returns_all_of_them(written: Written) -> None:
    answer = await poll_while(
        written,
        ("session.ready",),
        ("engagement.updated", "coverage.dropped"),
        ("signal.detected",),
        until=["signal.detected", "error"],
    )
    assert kinds(answer) == [
        "session.ready", "engagement.updated", "coverage.dropped", "signal.detected"
    ]  # fmt: skip
    assert answer.status["until_met"] is True
    assert (answer.status["first"], answer.status["last"]) == (1, 4)
    assert "notes" not in answer.status


async def test_the_state_at_the_start_meets_until_and_is_said_to_be_no_change(
    written: Written,
) -> None:
    state = "engagement.updated"
    await written.write("session.ready", state, "signal.detected")
    for cursor in (0, 1):
        answer = await written.poll(cursor=cursor, until=[state], wait_s=0)
        assert (answer.status["until_met"], answer.status["until_met_by"]) == (True, [2])
        (note,) = answer.status["notes"]
        assert note == (
            "message 2 is the first engagement.updated of its session: the state at the start, not "
            "a change; to wait for a change, call again with cursor 3 and the same until"
        )
    waiting = await written.poll(cursor=3, until=[state], wait_s=0)
    assert (waiting.status["until_met"], "until_met_by" in waiting.status) == (False, False)
    await written.write(state)
    changed = await written.poll(cursor=3, until=[state], wait_s=0)
    assert changed.status["until_met_by"] == [4]
    assert "notes" not in changed.status
    both = await written.poll(until=[state], wait_s=0)
    assert both.status["until_met_by"] == [2, 4]


async def test_each_session_of_a_stream_begins_with_its_state(written: Written) -> None:
    state = json.dumps({"type": "engagement.updated", "data": {}})
    for leg in (0, 0, 1, 1):
        written.log.append(state, leg=leg)
    await written.log.flush()
    said = [
        (await written.poll(cursor=cursor, until=["engagement.updated"], wait_s=0)).status
        for cursor in range(4)
    ]
    assert ["notes" in each for each in said] == [True, False, True, False]


async def test_it_waits_for_a_signal_or_a_state_by_the_name_the_api_gives_it(
    written: Written,
) -> None:
    for kind, fields in (
        ("session.ready", {}),
        ("engagement.updated", {"state": "neutral", "start": 0}),
        ("signal.detected", {"signal_type": "interest", "start": 0}),
        ("signal.detected", {"signal_type": "stress", "start": 3}),
        ("signal.updated", {"signal_type": "stress", "start": 6}),
        ("signal.ended", {"signal_type": "stress", "end": 9}),
        ("engagement.updated", {"state": "disengaged", "start": 9}),
        ("feedback.generated", {"feedback": "stress", "state": "disengaged"}),
    ):
        written.log.append(json.dumps({"type": kind, "data": fields}), leg=0)
    await written.log.flush()

    async def met_by(*until: str) -> list[int]:
        answer = await written.poll(until=list(until), wait_s=0)
        assert answer.status["returned"] == 8  # nothing is filtered
        assert answer.status["until_met"] is bool(answer.status.get("until_met_by"))
        assert len(answer.status.get("notes", ())) == ("neutral" in until)  # the opening state
        return list(answer.status.get("until_met_by", ()))

    assert await met_by("stress") == [4]
    assert await met_by("disengaged", "interest") == [3, 7]
    assert await met_by("signal.ended", "stress") == [4, 6]
    assert await met_by("neutral") == [2]
    assert await met_by("hesitation") == []


def test_a_message_of_v0_has_all_that_a_segment_reports() -> None:
    result = {
        "status": "result",
        "signals": [{"type": "Stress", "start": 0, "end": 5}],
        "engagement_state": [{"state": "engaged", "start": 0, "end": 5}],
    }
    assert read_names(json.dumps(result), V0) == {"result", "stress", "engaged"}
    assert read_names('{"status": "result", "signals": []}', V0) == {"result"}
    assert read_names('{"status": "processing", "segment": 1}', V0) == {"processing"}


@pytest.mark.parametrize("body", ["{}", '{"type": 3}', "[]", '"stress"', "nonsense"])
def test_what_cannot_be_read_has_no_names(body: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read_names(body, V1)


@pytest.mark.parametrize(
    "data", [None, [], {}, {"signal_type": None}, {"signal_type": 3}, {"signals": [3, {}]}]
)
def test_a_signal_without_a_name_has_its_type_alone(data: object) -> None:
    body = json.dumps({"type": "signal.detected", "data": data})
    assert "signal.detected" in read_names(body, V1)
    assert len(read_names(body, V1)) == 1


async def test_without_types_the_first_message_is_enough(written: Written) -> None:
    answer = await poll_while(written, ("session.ready",))
    assert kinds(answer) == ["session.ready"]
    assert "until_met" not in answer.status


async def test_a_type_that_was_there_before_the_cursor_is_not_new(written: Written) -> None:
    await written.write("signal.detected", "signal.ended")
    answer = await written.poll(cursor=1, until=["signal.detected"], wait_s=0)
    assert kinds(answer) == ["signal.ended"]
    assert answer.status["until_met"] is False
    assert (answer.status["first"], answer.status["next_cursor"]) == (2, 2)


async def test_the_end_is_enough(written: Written) -> None:
    await written.write("session.ready", "session.ended")
    await written.end()
    answer = await written.poll(until=["signal.detected"], wait_s=25)
    assert (answer.status["until_met"], answer.status["ended"]) == (False, True)
    assert answer.status["summary"] == {
        "signals": {}, "engagement": [], "dropped_s": 0, "lost_s": 0, "not_sent_s": 0,
        "minutes_analysed": 0,
    }  # fmt: skip


async def test_a_full_page_is_returned_before_the_type_comes(written: Written) -> None:
    await written.write(*["signal.updated"] * 3)
    answer = await written.poll(until=["signal.ended"], limit=2, wait_s=25)
    assert (answer.status["returned"], answer.status["remaining"]) == (2, 1)
    assert answer.status["next"] == "poll_events(cursor=2)"


async def test_a_process_that_may_end_soon_answers_with_what_there_is(written: Written) -> None:
    found: list[Answer] = []

    async def poll() -> None:
        found.append(await written.poll(until=["signal.detected"], wait_s=25))

    await written.write("session.ready")
    written.runtime.draining.leaving = leaving = WatchedNotifier()
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poll)
            await leaving.is_awaited.wait()
            written.runtime.draining.begin()
    assert kinds(found[0]) == ["session.ready"]


async def test_a_type_that_nobody_knows_is_answered_at_once_with_those_that_are(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessageReader, "wait", None)  # to call it would fail
    await written.write("session.ready")
    answer = await written.poll(until=["stream.ended", "signal.ended"], wait_s=25)
    (note,) = answer.status["notes"]
    assert "the type stream.ended, or to report it, so this call did not wait;" in note
    assert "session.ended" in note
    assert "signal.detected, signal.updated" in note
    assert "stress, uncertainty, engagement, disengagement, engaged, neutral, disengaged" in note


async def test_messages_that_cannot_be_read_are_none_of_the_types(written: Written) -> None:
    for body in ("{", b"\xff", '{"kind": "signal.detected"}'):
        written.log.append(body, leg=0)
    await written.log.flush()
    answer = await written.poll(until=["signal.detected"], wait_s=0)
    assert (answer.status["returned"], answer.status["until_met"]) == (3, False)


def test_each_version_has_its_own_types() -> None:
    assert "coverage.dropped" in known_types(V1)
    assert known_types(V0) == ("processing", "completed", "error", "result")
