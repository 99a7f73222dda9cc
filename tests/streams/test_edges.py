"""Edges of a stream's life: odd numbers, old errors, ends at bad moments, what is counted then."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import CallerError, StreamEndedError, TransportError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.net.socket import Socket, SocketClosed
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueueBudget, QueuedSegment, RandomAccessPoint
from ih_mcp.streams.registry import open_registry
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V0, V1, Dialect
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.messages import Closing, Completed, Config, Ended, Error, Reading, Ready

from .test_legs import HEAD, Services, chunk, cut, gaps, in_old_session, over, running

PLAN = StreamConfig(dialect=V1, base_url="http://h")
BIG = "1" + "0" * 400


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


# --- what the service says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f'{{"type":"signal.detected","data":{{"start":{BIG}}}}}',
        f'{{"type":"coverage.dropped","data":{{"ranges":[{{"start":0,"end":{BIG}}}]}}}}',
        '{"type":"coverage.degraded","data":{"ranges":[{"start":0,"end":1e999}]}}',
        '{"type":"signal.detected","data":{"start":NaN}}',
        '{"type":"error","data":{"code":"ih5004","segment":1e400}}',
        f'{{"type":"error","data":{{"code":"ih5004","segment":{BIG}}}}}',
    ],
)
async def test_no_number_of_the_service_breaks_a_stream(journal: Journal, text: str) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        await first.hear()
        await first.say(text, Reading("signal.detected", {"start": 0.5}))
        await stream.until(lambda: bool(stream.leg and stream.leg.messages == 3))
        assert not stream.is_over
        assert stream.answered_seconds == 0.5
        assert stream.dropped_seconds == 0


@pytest.mark.parametrize("seconds", ["1e999", "1e12"])
async def test_an_endless_drain_is_bounded(journal: Journal, seconds: str) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        stream.request_end()
        await first.hear()
        await first.say(f'{{"type":"session.closing","data":{{"max_drain_seconds":{seconds}}}}}')
        leg = stream.leg
        assert leg
        await stream.until(lambda: leg.messages == 2)
        assert leg._deadlines.current()[0] - anyio.current_time() < 700


@pytest.mark.parametrize(
    ("error", "code"), [("ih5004", 1012), ("ih4003", 1011), ("ih6001", 1001), ("ih6002", 1013)]
)
async def test_an_old_error_does_not_explain_a_later_close(
    journal: Journal, error: str, code: int
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        await first.hear()
        await first.say(Error(code=error, message="one segment", segment=1))
        await first.say(Reading("signal.detected", {"start": 5}))
        await stream.until(lambda: stream.answered_seconds == 5)
        await first.socket.close(code, "restart")
        await stream.until(lambda: stream.pending_reconnect is not None or len(stream.legs) == 2)
        assert not stream.is_over


@pytest.mark.parametrize(
    ("error", "greets", "state"),
    [("ih6004", True, "reconnecting"), ("ih3006", True, "failed"), ("ih3006", False, "failed")],
)
async def test_an_error_that_ends_sessions_is_believed_before_the_code_1000(
    journal: Journal, error: str, greets: bool, state: str
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=greets)
        await first.say(Error(code=error, message="why"))
        await first.socket.close(1000)
        await stream.until(lambda: stream.pending_reconnect is not None or len(stream.legs) == 2)
        assert stream.state.value == state
    if state == "failed":
        assert stream.status().to_json()["error"]["server_code"] == error  # type: ignore[index]


async def test_an_end_that_nobody_asked_for_is_the_services(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await first.say(Ended("maintenance"))  # and the socket stays open
        await over(stream)
    assert stream.status().reason == "by_service"


# --- ends at bad moments --------------------------------------------------------------------------


async def test_who_waits_for_room_when_a_stream_ends_is_told_and_nothing_stays(
    journal: Journal,
) -> None:
    services, queued, taken = Services(), QueueBudget(1000), 0
    log = await journal.begin("st_1", {})
    stream = Stream(
        "st_1", PLAN, log=log, opener=services.opener, max_outbox_bytes=10, queued=queued
    )

    async def put() -> None:
        nonlocal taken
        try:
            while True:
                await stream.put(QueuedSegment(b"x" * 10))
                taken += 1
        except StreamEndedError:
            return

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            first = await services.session(0, greets=False)
            tasks.start_soon(put)
            await anyio.wait_all_tasks_blocked()
            await first.socket.abort()
    assert queued.bytes == 0
    assert taken == stream.unsent == 1


@pytest.mark.usefixtures("short_sessions")
async def test_an_end_that_is_asked_for_in_a_rotation_sends_what_was_taken(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await in_old_session(services, stream, cut(b"a", 0))
        await stream.put(cut(b"b", 1))
        assert await first.hear() == '{"type":"session.close"}'
        stream.request_end()
        await first.say(Closing(5.0), Ended("client_shutdown"))
        await first.socket.close(1000)
        second = await services.session(1)
        await second.drain()
        await over(stream)
    assert stream.status().segments == {"completed": 2}
    assert "lost" not in stream.status().to_json()


async def test_an_end_does_not_wait_for_a_connection_that_hangs(journal: Journal) -> None:
    @asynccontextmanager
    async def hangs(_: str) -> AsyncIterator[Socket]:
        await anyio.sleep_forever()
        yield  # type: ignore[misc]  # never

    async with open_registry(journal) as registry:
        stream = await registry.start(PLAN, hangs)
        await anyio.wait_all_tasks_blocked()
        stream.request_end()
        with anyio.fail_after(1):
            await stream.until(lambda: False)
        assert stream.state.value == "ended"


async def test_a_host_that_stops_tells_what_is_unknown(journal: Journal) -> None:
    services = Services()
    async with open_registry(journal, close_seconds=0.2) as registry:
        stream = await registry.start(PLAN, services.opener)
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        await first.hear()
    record = json.loads((await journal.find_stream(stream.id)).record)
    assert record["reason"] == "host_stopped"
    assert record["lost"] == {"media_s": [[0.0, 1.0]], "segments_unknown": 1}


async def test_a_mistake_of_ours_fails_the_stream_by_name(journal: Journal) -> None:
    services = Services()

    def broken(origin_seconds: float, *, headed: bool) -> bytes:
        raise RuntimeError(f"{origin_seconds} {headed}")

    async with open_registry(journal) as registry:
        plan = replace(PLAN, reconnects=True)
        stream = await registry.start(plan, services.opener)
        stream.is_fed = True
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        await first.hear()
        await first.socket.abort()
        await services.session(1)
        await stream.put(QueuedSegment(b"b", 1, 2, RandomAccessPoint(seconds=1), broken))
        await stream.until(lambda: False)
        assert stream.status().reason == "internal"


async def test_starts_at_once_keep_to_the_limit(journal: Journal) -> None:
    services, made, refused = Services(), [], []
    async with open_registry(journal, max_streams=2, close_seconds=0.1) as registry:

        async def start() -> None:
            try:
                made.append(await registry.start(PLAN, services.opener))
            except CallerError as exc:
                refused.append(exc.code)

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(start)
        assert (len(made), refused) == (2, ["too_many_streams"] * 18)


# --- the next session -----------------------------------------------------------------------------


async def test_the_next_session_begins_with_what_held_for_the_segments_that_wait(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services, config=Config(include=("a",))) as stream:
        first = await services.session(0, greets=False)
        await stream.put(cut(b"x", 0))
        stream.configure(Config(include=("b",)))
        await stream.put(cut(b"y", 1))
        await first.socket.abort()
        second = await services.session(1)
        heard = [await second.hear() for _ in range(4)]
    assert heard == ['{"include": ["a"]}', b"x", '{"include": ["b"]}', b"y"]


async def test_what_was_refused_is_not_asked_for_again_and_what_is_not_said_stays(
    journal: Journal,
) -> None:
    services = Services()
    audio = {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
    config = Config(include=("a",), audio_format=audio, model="inter-2-audio")
    async with running(journal, services, config=config) as stream:
        first = await services.session(0)
        await first.hear()
        stream.configure(Config(include=("b",)))
        await first.hear()
        stream.configure(Config(include=("nonsense",)))
        await first.hear()
        await first.say(Error(code="ih6001", message="No."))
        await stream.until(lambda: bool(stream.leg and stream.leg.messages == 2))
        await first.say(Reading("signal.detected", {"start": 1}))
        await first.socket.abort()
        second = await services.session(1)
        held = {"include": ["b"], "audio_format": audio, "model": "inter-2-audio"}
        assert json.loads(await second.hear()) == held


async def test_samples_count_from_zero_in_each_session(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        for start in (0.0, 3.0):
            await stream.put(
                QueuedSegment(b"s", start, start + 3, RandomAccessPoint(), counts_from_zero=True)
            )
            await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        await stream.put(QueuedSegment(b"s", 6.0, 9.0, RandomAccessPoint(), counts_from_zero=True))
        await second.hear()
        await second.say(Reading("signal.detected", {"start": 1.0}))
        await stream.until(lambda: stream.answered_seconds == 7.0)
    assert gaps(stream)[0]["clock"] == "from_zero"


async def test_a_segment_that_is_too_large_with_its_header_leaves_the_beginning_to_the_next(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        await stream.put(chunk(HEAD + b"a", 0))
        await first.hear()
        await first.socket.abort()
        second = await services.session(1, greets=False)
        await second.say(Ready(limits=replace(V1.limits, max_segment_bytes=6)))
        await stream.put(chunk(b"Kbcd", 1, key=0))
        await stream.put(chunk(b"Ke", 2, key=0))
        assert await second.hear() == HEAD + b"Ke"
        assert stream.status().segments["left_out"] == 1


async def test_what_is_sent_again_is_not_told_as_lost(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await services.session(0)
        for number in range(2):
            await stream.put(cut(b"%d" % number, number))
            await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        assert [await second.hear(), await second.hear()] == [HEAD + b"0@0", b"1@1"]
        stream.request_end()
        await second.drain()
        await over(stream)
    assert stream.status().segments == {"resent": 2, "completed": 2}
    assert "lost" not in stream.status().to_json()


@pytest.mark.usefixtures("short_sessions")
async def test_what_a_session_that_ended_in_order_got_is_not_sent_again(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        zero = QueuedSegment(b"0", entry=RandomAccessPoint(), counts_from_zero=True)
        first = await in_old_session(services, stream, zero)  # no answer names it
        await stream.put(QueuedSegment(b"1", entry=RandomAccessPoint(), counts_from_zero=True))
        await first.drain()
        second = await services.session(1)
        assert await second.hear() == b"1"
        await stream.until(lambda: len(stream.legs[-1].receipts) == 1)
        await second.socket.abort()
        third = await services.session(2)
        assert await third.hear() == b"1"
        stream.request_end()
        await third.drain()
        await over(stream)
    assert stream.status().segments == {"resent": 1, "completed": 2}


@pytest.mark.usefixtures("short_sessions")
async def test_what_a_session_that_would_not_drain_got_is_sent_again_in_the_next(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await in_old_session(services, stream, cut(b"0", 0))
        await stream.put(cut(b"1", 1))
        await first.hear()  # the wish to end
        await first.say('{"type":"session.closing","data":{"max_drain_seconds":0}}')
        assert stream.leg
        deadlines = stream.leg._deadlines
        deadlines._timeouts = replace(deadlines._timeouts, drain_margin_seconds=0.1)
        stream.leg._moved.notify()
        second = await services.session(1)
        assert [await second.hear(), await second.hear()] == [HEAD + b"0@0", b"1@1"]


async def test_what_was_left_out_is_not_sent_again(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await services.session(0)
        await stream.put(chunk(HEAD + b"a", 0))
        await first.hear()
        await first.say(Reading("signal.detected", {"start": 0, "end": 1}))
        await stream.until(lambda: stream.answered_seconds == 1)
        await first.socket.abort()
        second = await services.session(1)
        await stream.put(chunk(b"b", 1))  # no session can begin with it
        await stream.put(chunk(b"Kc", 2, key=0))
        assert await second.hear() == HEAD + b"Kc"
        await second.socket.abort()
        third = await services.session(2)
        assert await third.hear() == HEAD + b"Kc"
    assert stream.status().segments["left_out"] == 1


async def test_samples_without_times_are_sent_again_too(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await services.session(0)
        await stream.put(QueuedSegment(b"pcm", entry=RandomAccessPoint(), counts_from_zero=True))
        await first.hear()
        await stream.until(lambda: stream.was_sent)
        await first.socket.abort()
        second = await services.session(1)
        assert await second.hear() == b"pcm"


async def test_nothing_is_put_back_for_a_stream_that_was_ended(journal: Journal) -> None:
    services = Services()
    async with running(journal, services, resends=True) as stream:
        first = await services.session(0)
        await stream.put(cut(b"a", 0))
        await first.hear()
        stream.request_end()
        await first.socket.abort()
        await over(stream)
    assert stream.status().segments == {"unknown": 1}


async def test_idle_ends_use_up_no_budget(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        await stream.put(cut(b"x", 0))
        for number in range(13):
            session = await services.session(number)
            await session.hear()
            await session.say(Reading("signal.detected", {"start": 0.5}))
            await stream.until(lambda n=number: stream.answered_seconds == n + 0.5)  # type: ignore[misc]
            await session.say(Error(code="ih6003", message="Idle."))
            await session.socket.close(1001)
            await stream.until(lambda: stream.pending_reconnect is not None)
            assert not stream.is_over
            await stream.put(cut(b"x", number + 1))
    assert math.isfinite(stream.answered_seconds)


async def test_a_failure_of_the_first_connection_is_told_where_none_is_wanted_again(
    journal: Journal,
) -> None:
    services = Services()
    services.refuses = 1
    async with running(journal, services, reconnects=False) as stream:
        await over(stream)
    assert isinstance(stream.failure, TransportError)


@pytest.mark.parametrize(
    ("dialect", "word", "receipt"),
    [(V0, Completed(1), "completed"), (V1, Error(code="ih5004", segment=1), "refused")],
)
async def test_a_pong_that_comes_after_the_last_word_takes_nothing_back(
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    dialect: Dialect,
    word: Completed | Error,
    receipt: str,
) -> None:
    services = Services(dialect)
    async with running(journal, services) as stream:
        first = await services.session(0)
        ponged, gate = anyio.Event(), anyio.Event()

        async def late() -> None:
            await gate.wait()
            ponged.set()

        monkeypatch.setattr(first.client, "round_trip", late)
        await stream.put(cut(b"a" * 20_000, 0))
        await first.hear()
        await first.say(word)
        await stream.until(lambda: receipt in stream.status().segments)
        gate.set()
        await ponged.wait()
        await anyio.wait_all_tasks_blocked()
        assert stream.status().segments == {receipt: 1}


# --- a slow uplink --------------------------------------------------------------------------------


@pytest.mark.parametrize("reconnects", [False, True])
async def test_an_upload_that_gets_stuck_is_told_by_its_name(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, *, reconnects: bool
) -> None:
    services = Services()
    async with running(journal, services, reconnects=reconnects) as stream:
        first = await services.session(0)

        async def stuck(
            data: bytes, **_: object
        ) -> None:  # as the real socket: it lets go, then says why
            await first.client.abort()
            loss = EndReason.UPLOAD_STALLED
            raise SocketClosed(None, f"{len(data)} bytes got stuck", loss=loss)

        monkeypatch.setattr(first.client, "send_segment", stuck)
        await stream.put(cut(b"abc", 0))
        await stream.until(lambda: len(stream.legs) == 2)
    record = stream.status().to_json()
    assert record["segments"] == {"unknown": 1}  # some or all of it may have arrived
    if reconnects:
        assert gaps(stream)[0]["reason"] == "upload_stalled"
        return
    assert record["state"] == "failed"
    assert record["error"] == {
        "code": "upload_stalled",
        "what": "the connection does not take video any more",
        "help": "Check the uplink, then start a new stream; what was received is kept.",
        "retry": True,
    }


async def test_who_sends_slower_than_the_video_lasts_is_warned_until_it_keeps_up(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        real, gate = first.client.send_segment, anyio.Event()

        async def slow(data: bytes, **_: object) -> None:
            await gate.wait()
            await real(data)

        monkeypatch.setattr(first.client, "send_segment", slow)
        await stream.put(QueuedSegment(b"a", 90, 90.001))
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.01)  # longer than the segment lasts
        gate.set()
        await first.hear()
        assert stream.status().what_now == (
            "Falling behind: the uplink is slower than the video. Lower its bit rate."
        )
        await stream.put(QueuedSegment(b"c", 90.001, 90.001))  # of no length: nothing is said
        await first.hear()
        assert "what_now" not in stream.status().to_json()
        await stream.put(QueuedSegment(b"b", 90.001, 190))
        await first.hear()
        assert "what_now" not in stream.status().to_json()
