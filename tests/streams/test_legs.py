"""Streams of several legs: what follows when a session is lost, or grows too old."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from ih_mcp import observer
from ih_mcp.errors import JournalError, TransportError
from ih_mcp.journal import Journal, StreamLog, open_journal
from ih_mcp.net.retry import RetryBudget
from ih_mcp.net.socket import Socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.deadlines import Deadlines, SessionTimeouts
from ih_mcp.streams.leg import Leg
from ih_mcp.streams.outbox import Outbox, QueuedSegment, RandomAccessPoint
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V0, V1, Dialect
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.messages import Completed, Config, Ended, Error, Reading, Ready
from ih_mcp.wire.session import Session, Side, State

from .service import Service

HEAD = b"HEAD"


class Services:
    """A service that is connected to again and again; each time another session."""

    def __init__(self, dialect: Dialect = V1) -> None:
        self.dialect = dialect
        self.sessions: list[Service] = []
        self.refuses = 0
        """So many connections fail."""
        self._moved = anyio.Condition()

    @asynccontextmanager
    async def opener(self, url: str) -> AsyncIterator[Socket]:
        if self.refuses:
            self.refuses -= 1
            raise TransportError("h cannot be reached", code="unreachable", retry=True)
        service = Service(self.dialect)
        async with service.opener(url) as socket, self._moved:
            self.sessions.append(service)
            self._moved.notify_all()
            self._moved.release()
            try:
                yield socket
            finally:
                with anyio.CancelScope(shield=True):
                    await self._moved.acquire()

    async def session(self, number: int, *, greets: bool = True) -> Service:
        async with self._moved:
            while len(self.sessions) <= number:
                await self._moved.wait()
        service = self.sessions[number]
        if greets and self.dialect.greets:
            await service.greet()
        return service


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(
    journal: Journal,
    services: Services,
    *,
    config: Config | None = None,
    reconnects: bool = True,
    resends: bool = False,
    chance: float = 0.0,
) -> AsyncIterator[Stream]:
    """A stream that runs while the block does, bounded in time."""
    stream = Stream(
        "st_1",
        StreamConfig(
            dialect=services.dialect,
            base_url="http://h",
            config=config or Config(),
            reconnects=reconnects,
            resends=resends,
        ),
        log=await journal.begin("st_1", {}),
        opener=services.opener,
        chance=lambda: chance,
    )
    stream.is_fed = True  # whoever feeds it knows where a session can begin
    with anyio.fail_after(8):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            yield stream
            tasks.cancel_scope.cancel()


def chunk(data: bytes, start: float, *, key: int | None = None) -> QueuedSegment:
    """One second of a recorder; `key` is where in it a key frame begins."""
    entry = None if key is None else RandomAccessPoint(HEAD, key, start + key / 10)
    if data.startswith(HEAD):
        entry = RandomAccessPoint(seconds=start)
    return QueuedSegment(data, start, start + 1, entry)


def cut(data: bytes, start: float, *, is_key: bool = True) -> QueuedSegment:
    """One second of a file."""

    def rebased(origin_seconds: float, *, headed: bool) -> bytes:
        return b"%s%s@%d" % (HEAD if headed else b"", data, start - origin_seconds)

    return QueuedSegment(
        data, start, start + 1, RandomAccessPoint(seconds=start) if is_key else None, rebased
    )


async def over(stream: Stream) -> None:
    await stream.until(lambda: False)


def gaps(stream: Stream) -> list[dict[str, object]]:
    found = stream.status().to_json().get("gaps", [])
    assert isinstance(found, list)
    return found


# --- after a loss ---------------------------------------------------------------------------------


async def test_a_recording_goes_on_with_header_and_key_frame_and_nothing_is_sent_twice(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        for item in (chunk(HEAD + b"aaa", 0), chunk(b"bbb", 1)):
            await stream.put(item)
            await first.hear()
        await first.say(Reading("signal.detected", {"start": 0.4}))
        await stream.until(lambda: stream.answered_seconds == 0.4)
        await first.socket.abort()
        second = await services.session(1)
        for item in (chunk(b"ccc", 2), chunk(b"xKdd", 3, key=1), chunk(b"eee", 4)):
            await stream.put(item)
        assert [await second.hear(), await second.hear()] == [HEAD + b"Kdd", b"eee"]
        stream.request_end()
        await second.drain()
        await over(stream)
    assert stream.failure is None
    record = json.loads((await journal.find_stream("st_1")).record)
    assert record["gaps"] == [
        {
            "legs": [0, 1],
            "cursor": 2,
            "reason": "connection_lost",
            "segments": {"unknown": 2},
            "media_offset_s": 3.1,
            "clock": "as_recorded",
            "lost_media_s": [0.4, 3.1],
        }
    ]
    assert record["segments"] == {"unknown": 2, "completed": 2, "left_out": 1}
    assert record["lost"] == {
        "media_s": [[0.4, 3.1]],
        "segments_unknown": 2,
        "segments_not_sent": 1,
    }
    page = await journal.read_page("st_1", 0, limit=99, max_chars=9999)
    assert [entry.leg for entry in page.entries] == [0, 0, 1, 1, 1]


async def test_a_file_goes_on_with_clocks_that_begin_anew(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        assert await first.hear() == b"a"
        await first.socket.abort()
        second = await services.session(1)
        for item in (cut(b"b", 1, is_key=False), cut(b"c", 2), cut(b"d", 3, is_key=False)):
            await stream.put(item)
        assert [await second.hear(), await second.hear()] == [HEAD + b"c@0", b"d@1"]
        await second.say(Reading("signal.detected", {"start": 1}))
        await stream.until(lambda: stream.answered_seconds == 3)
    assert gaps(stream)[0]["media_offset_s"] == 2
    assert gaps(stream)[0]["clock"] == "from_zero"


async def test_what_was_answered_before_a_loss_is_done(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        for start in range(4):
            await stream.put(cut(b"x", start))
            await first.hear()
        await first.say(Reading("conversation_quality.updated", {"timeline": [{"end": 2}]}))
        await stream.until(lambda: stream.answered_seconds == 2)
        await first.socket.abort()
        await services.session(1)
        await stream.until(lambda: len(stream.legs) == 2)
        assert stream.status().segments == {"completed": 2, "unknown": 2}


async def test_the_configuration_holds_in_the_next_session(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, config=Config(include=("a",))) as stream:
        first = await services.session(0)
        assert json.loads(await first.hear()) == {"include": ["a"]}
        stream.configure(Config(include=("b",)))
        await stream.put(cut(b"x", 0))
        assert [await first.hear(), await first.hear()] == ['{"include": ["b"]}', b"x"]
        await first.socket.abort()
        second = await services.session(1)
        assert json.loads(await second.hear()) == {"include": ["b"]}


async def test_while_there_is_no_connection_the_state_says_so_and_little_more_is_taken(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services, chance=1.0) as stream:
        first = await services.session(0)
        await stream.put(cut(b"x", 0))
        await first.hear()
        services.refuses = 99
        await first.socket.abort()
        await stream.until(lambda: stream.pending_reconnect is not None)
        record = stream.status().to_json()
        assert (record["state"], record["reason"]) == ("reconnecting", "connection_lost")
        assert record["retryable"] is True
        assert record["what_now"] == "Nothing to do: reconnecting, try 1 of 6."
        assert 0 < float(str(record["retry_after_s"])) <= 0.5
        await stream.put(cut(b"y", 1))
        await stream.put(cut(b"z", 2))
        assert not stream.outbox.has_room(1)
        assert stream.request_end()
        await over(stream)
    assert stream.state.value == "failed"
    assert stream.status().to_json()["lost"] == {
        "media_s": [[0.0, 1.0]],
        "segments_unknown": 1,
        "segments_not_sent": 2,
    }


async def test_a_stream_that_was_stopped_opens_no_other_session(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, chance=1.0) as stream:
        first = await services.session(0)
        await first.socket.abort()
        await stream.until(lambda: stream.pending_reconnect is not None)
        stream.request_end()
        await over(stream)
    assert len(services.sessions) == 1


async def test_segments_that_wait_when_the_file_is_over_are_sent_in_the_next_session(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=False)
        for start in range(3):
            await stream.put(cut(b"x", start))
        stream.request_end(stops=False)
        await first.socket.abort()
        second = await services.session(1)
        await second.drain()
        await over(stream)
    assert second.heard[:3] == [b"x", b"x", b"x"]
    assert stream.state.value == "ended"
    assert "gaps" not in stream.status().to_json()


async def test_a_loss_after_the_last_segment_ends_the_stream(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"x", 0))
        stream.request_end(stops=False)
        await first.hear()
        await first.hear()
        await first.socket.abort()
        await over(stream)
    assert len(services.sessions) == 1
    assert stream.failure
    assert stream.failure.code == "connection_lost"
    assert stream.status().what_now == (
        "Start a new stream; what was received is kept. Results up to 0.0 s are safe."
    )


async def test_segments_of_unknown_fate_are_sent_again_where_that_was_asked_for(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await services.session(0)
        for start in range(4):
            await stream.put(cut(b"%d" % start, start))
            await first.hear()
        stream.request_end(stops=False)
        await first.say(Reading("coverage.degraded", {"ranges": [{"start": 0, "end": 2}]}))
        await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        await second.drain()
        await over(stream)
    assert second.heard[:2] == [HEAD + b"2@0", b"3@1"]
    assert stream.state.value == "ended"


@pytest.mark.parametrize("reconnects", [False, True])
async def test_a_recording_without_a_known_header_is_not_gone_on_with(
    journal: Journal, reconnects: bool
) -> None:
    services = Services()
    async with running(journal, services, reconnects=reconnects) as stream:
        stream.is_fed = not reconnects
        first = await services.session(0)
        await stream.put(QueuedSegment(b"RIFF"))
        await first.hear()
        await first.socket.abort()
        await over(stream)
    assert len(services.sessions) == 1
    assert stream.status().reason == "connection_lost"


async def test_v0_segments_stand_alone_so_any_of_them_begins_a_session(journal: Journal) -> None:
    services = Services(V0)
    async with running(journal, services) as stream:
        first = await services.session(0)
        whole = [QueuedSegment(bytes([n]) * 20_000, entry=RandomAccessPoint()) for n in range(3)]
        await stream.put(whole[0])
        await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        await stream.put(whole[1])
        assert await second.hear() == whole[1].data
        await second.say(Completed(1))
        stream.request_end()
        await over(stream)
    assert stream.status().segments == {"unknown": 1, "completed": 1}


async def test_a_connection_that_drops_again_and_again_is_given_up(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, noted = Services(), list[tuple[object, ...]]()
    monkeypatch.setattr(observer, "note", lambda *what: noted.append(what))
    async with running(journal, services) as stream:
        for number in range(11):
            session = await services.session(number)
            await stream.put(cut(b"x", number))
            await session.hear()
            await session.say(Reading("signal.detected", {"start": 0.5}))
            await stream.until(lambda n=number: stream.answered_seconds == n + 0.5)  # type: ignore[misc]
            await session.socket.abort()
        await over(stream)
    assert len(services.sessions) == 11
    moves = [rest for name, *rest in noted if name == "ih_moves_total"]
    assert moves == [[1, "connection_lost", "next"]] * 10 + [[1, "connection_lost", "given_up"]]
    assert stream.status().reason == "unstable"
    assert len(gaps(stream)) == 10


async def test_an_unreachable_service_is_tried_again_before_the_first_session(
    journal: Journal,
) -> None:
    services = Services()
    services.refuses = 2
    async with running(journal, services) as stream:
        await stream.until(lambda: stream.pending_reconnect is not None)
        assert stream.state.value == "connecting"
        first = await services.session(0)
        await stream.put(cut(b"x", 0))
        assert await first.hear() == b"x"
        assert stream.state.value == "sending" or stream.outbox.segments == 0
        assert "gaps" not in stream.status().to_json()
        assert "reason" not in stream.status().to_json()


async def test_an_unreachable_service_is_given_up_after_its_tries(journal: Journal) -> None:
    services = Services()
    services.refuses = 99
    async with running(journal, services) as stream:
        await over(stream)
    assert services.refuses == 99 - 7
    assert stream.status().reason == "unreachable"


async def test_a_session_that_was_idle_too_long_is_followed_with_the_next_segment(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"x", 0))
        await first.hear()
        await first.say(Error(code="ih6003", message="Idle."))
        await first.socket.close(1001)
        await stream.until(lambda: stream.pending_reconnect is not None)
        record = stream.status().to_json()
        assert (record["state"], record["reason"]) == ("waiting", "idle_timeout")
        assert record["what_now"] == (
            "Push the next segment: a new session opens with it; or end the stream."
        )
        await anyio.wait_all_tasks_blocked()
        assert len(services.sessions) == 1
        await stream.put(cut(b"y", 1))
        second = await services.session(1)
        assert await second.hear() == HEAD + b"y@0"
        assert stream.status().gaps[0].reason == "idle_timeout"


async def test_an_idle_stream_that_is_ended_while_it_waits_did_not_fail(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await first.say(Error(code="ih6003", message="Idle."))
        await first.socket.close(1001)
        await stream.until(lambda: stream.pending_reconnect is not None)
        stream.request_end()
        await over(stream)
    assert stream.state.value == "ended"


@pytest.mark.parametrize(
    ("error", "code", "state", "reason"),
    [
        (Error(code="ih3006", message="Budget."), 1008, "failed", "quota_used_up"),
        (Error(code="ih4005", message="Model."), 1008, "failed", "refused"),
        (None, 1009, "failed", "refused"),
        (None, 4999, "failed", "service_error"),
    ],
)
async def test_what_another_session_cannot_help_ends_the_stream(
    journal: Journal, error: Error | None, code: int, state: str, reason: str
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        if error:
            await first.say(error)
        await first.socket.close(code, "no")
        await over(stream)
    record = stream.status().to_json()
    assert (record["state"], record["reason"], len(services.sessions)) == (state, reason, 1)


async def test_a_segment_that_comes_too_late_for_its_session_is_told(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, reconnects=False) as stream:
        first = await services.session(0)
        await stream.wait_until_open()
        await first.say(Ended("maintenance"))
        await stream.until(lambda: bool(stream.leg and stream.leg.session.end_reason))
        stream.configure(Config(include=("a",)))
        await stream.put(cut(b"late", 0))
        await stream.until(lambda: bool(stream.leg and stream.leg.left_out))
        await first.socket.close(1000)
        await over(stream)
    assert stream.status().segments == {"left_out": 1}
    assert stream.status().to_json()["lost"] == {"segments_not_sent": 1}


@pytest.mark.parametrize("is_full", [False, True])
async def test_what_cannot_be_kept_ends_the_stream_and_is_not_acknowledged(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"x", 0))
        await first.hear()
        await stream.log.flush()
        before = stream.log.last

        async def fail(_: StreamLog) -> None:
            raise JournalError("the disk is full")

        def refuse(*_: object, **__: object) -> None:
            raise JournalError("the disk is full")

        if is_full:
            monkeypatch.setattr(StreamLog, "is_full", True)
            monkeypatch.setattr(StreamLog, "flush", fail)
        else:
            monkeypatch.setattr(StreamLog, "append", refuse)
            monkeypatch.setattr(StreamLog, "flush", fail)
            monkeypatch.setattr(StreamLog, "write_record", refuse)
        await first.say(Reading("signal.detected", {"start": 1}))
        await over(stream)
        assert stream.log.last <= before + is_full
    assert stream.state.value == "failed"
    assert stream.failure
    assert stream.failure.code == "journal_failed"
    assert len(services.sessions) == 1


async def test_the_bytes_of_a_live_source_that_were_let_go_are_told(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        await services.session(0)
        stream.note_skipped(2.5)
        assert stream.skipped_seconds == 2.5


def test_the_wait_for_quiet_begins_with_the_end_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Session(V1, Side.CLIENT)
    deadlines = Deadlines(session, SessionTimeouts(quiet_seconds=20.0))
    now = 100.0
    monkeypatch.setattr(anyio, "current_time", lambda: now)
    session.state = State.OPEN
    deadlines.note_phase(close_sent=False)
    now = 1000.0
    deadlines.note_phase(close_sent=True)
    assert deadlines.current() == (1020.0, EndReason.DRAIN_TIMEOUT)
    now = 1010.0
    deadlines.note_message()
    assert deadlines.current() == (1030.0, EndReason.DRAIN_TIMEOUT)


async def test_a_deadline_that_has_moved_meanwhile_gives_nothing_up() -> None:
    done, closed = iter([False, True]), list[bool]()
    deadlines = iter([(0.0, EndReason.DRAIN_TIMEOUT), (math.inf, EndReason.DRAIN_TIMEOUT)])

    async def close() -> None:
        closed.append(True)

    leg: Any = SimpleNamespace(
        _is_done=lambda: next(done),
        _deadlines=SimpleNamespace(current=lambda: next(deadlines)),
        _moved=anyio.Event(),
        _gave_up=None,
    )
    await Leg._watch(leg, cast("Any", SimpleNamespace(close=close)))
    assert (leg._gave_up, closed) == (None, [True])


@pytest.mark.parametrize(
    ("dialect", "config", "sent", "updates", "is_configured"),
    [
        (V1, None, 0, 0, True),  # nothing is to be answered
        (V1, Config(), 0, 0, False),  # it is still to be sent
        (V1, Config(), 1, 0, False),
        (V1, Config(), 1, 1, True),
        (V1, Config(), 2, 1, False),
        (V0, Config(), 0, 0, True),  # its address says it
        (V0, None, 0, 0, True),
    ],
)
async def test_a_session_is_configured_when_each_message_is_answered(
    dialect: Dialect, config: Config | None, sent: int, updates: int, is_configured: bool
) -> None:
    leg: Any = SimpleNamespace(
        session=SimpleNamespace(dialect=dialect),
        config=config, _configurations=sent, updates=updates,
    )  # fmt: skip
    assert cast("Any", Leg.is_configured).fget(leg) is is_configured


async def test_a_session_is_as_old_as_its_greeting(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    leg = Leg(
        0, V1, log=await journal.begin("st_1", {}), outbox=Outbox(), timeouts=SessionTimeouts()
    )
    now = 100.0
    with monkeypatch.context() as clock:
        clock.setattr(anyio, "current_time", lambda: now)
        leg._handle_message('{"type":"session.ready","data":{}}')
        now = 500.0
        leg._handle_message('{"type":"session.updated","data":{}}')
    assert leg.is_open
    assert leg.updates == 1
    assert leg.opened_at == 100.0


# --- rotation -------------------------------------------------------------------------------------


async def greet_for(service: Service, seconds: int) -> None:
    limits = replace(V1.limits, max_session_seconds=seconds)
    await service.say(Ready(limits=limits))


async def in_old_session(services: Services, stream: Stream, segment: QueuedSegment) -> Service:
    """The first session of a stream, with a segment, when it is to be renewed; a short one."""
    first = await services.session(0, greets=False)
    await greet_for(first, 1)
    await stream.put(segment)
    assert await first.hear() == segment.data
    await anyio.sleep(1)
    return first


@pytest.mark.usefixtures("short_sessions")
async def test_before_a_session_grows_too_old_a_file_goes_on_in_the_next(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await in_old_session(services, stream, cut(b"a", 0))
        await stream.put(cut(b"b", 1, is_key=False))  # no session can begin with it
        assert await first.hear() == b"b"
        await stream.put(cut(b"c", 2))
        await stream.put(cut(b"d", 3, is_key=False))
        assert stream.leg
        assert await first.drain()
        second = await services.session(1)
        assert [await second.hear(), await second.hear()] == [HEAD + b"c@0", b"d@1"]
        stream.request_end()
        await second.drain()
        await over(stream)
    assert stream.failure is None
    assert gaps(stream) == [
        {
            "legs": [0, 1],
            "cursor": 3,
            "reason": "rotated",
            "segments": {"completed": 2},
            "close_code": 1000,
            "media_offset_s": 2,
            "clock": "from_zero",
        }
    ]
    assert "lost" not in stream.status().to_json()
    assert stream.status().segments == {"completed": 4}


@pytest.mark.usefixtures("short_sessions")
async def test_a_recording_is_parted_within_a_chunk_and_no_byte_is_left_out(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await in_old_session(services, stream, chunk(HEAD + b"aaa", 0))
        await stream.put(chunk(b"xxKdd", 1, key=2))
        assert await first.hear() == b"xx"
        await first.drain()
        second = await services.session(1)
        assert await second.hear() == HEAD + b"Kdd"
        stream.request_end()
        await second.drain()
        await over(stream)
    assert gaps(stream)[0]["media_offset_s"] == 1.2
    assert "lost" not in stream.status().to_json()


async def test_a_key_frame_with_pictures_before_it_begins_a_session_only_when_time_is_short(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=False)
        await greet_for(first, 3600)  # the last minute is for parting, its half for any
        await stream.put(cut(b"a", 0))
        assert await first.hear() == b"a"
        open_group = cut(b"b", 1)
        assert open_group.entry
        open_group = replace(open_group, entry=replace(open_group.entry, is_clean=False))
        assert stream.leg
        stream.leg._rotate_at = anyio.current_time() - 1
        await stream.put(open_group)
        assert await first.hear() == b"b"
        stream.leg._rotate_at = anyio.current_time() - 30
        await stream.put(open_group)
        await first.drain()
        second = await services.session(1)
        assert await second.hear() == HEAD + b"b@0"


@pytest.mark.usefixtures("short_sessions")
async def test_a_session_that_would_not_drain_in_a_rotation_is_told(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await in_old_session(services, stream, cut(b"a", 0))
        await stream.put(cut(b"b", 1))
        await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        assert await second.hear() == HEAD + b"b@0"
    assert gaps(stream)[0]["segments"] == {"unknown": 1}
    assert gaps(stream)[0]["lost_media_s"] == [0.0, 1.0]


@pytest.mark.usefixtures("short_sessions")
async def test_without_leave_to_go_on_an_old_session_is_warned_of(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, reconnects=False) as stream:
        first = await services.session(0, greets=False)
        limits = replace(V1.limits, max_session_seconds=1, max_idle_seconds=1)
        await first.say(Ready(limits=limits))
        await stream.wait_until_open()
        await anyio.sleep(0.95)
        assert stream.status().what_now.startswith("No segment for 1 s; at 1 s")
        assert stream.leg
        stream.leg.sent_at = anyio.current_time()
        assert stream.status().what_now.startswith("The session is 1 s old; at 1 s")


async def test_renewals_count_among_the_new_sessions_of_an_hour(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=False)
        await greet_for(first, 60)
        await stream.put(cut(b"a", 0))
        await first.hear()
        assert stream.leg
        for _ in range(10):
            stream._runner._retries.count_renewal(now=anyio.current_time())
        stream.leg._rotate_at = anyio.current_time() - 1
        await stream.put(cut(b"b", 1))
        assert await first.hear() == b"b"  # where a new session would begin, were one left
        stream.leg.opened_at -= 55
        assert stream.status().what_now.startswith("The session is 55 s old; at 60 s")
        stream._runner._retries = RetryBudget(chance=lambda: 0)
        await stream.put(cut(b"c", 2))
        await first.drain()
        await services.session(1)
        assert len(stream._runner._retries._sessions_opened) == 1


async def test_a_session_whose_declared_age_is_not_believed_is_not_renewed_and_that_is_told(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=False)
        await greet_for(first, 1)
        await stream.wait_until_open()
        assert stream.leg
        assert stream.leg._rotate_at == math.inf
        (note,) = stream.status().notes
        assert note.startswith("The service says that it ends a session after 1 s.")
