from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ih_mcp.errors import CallerError, IhMcpError, JournalError, StreamEndedError, TransportError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.net.socket import Socket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.deadlines import SessionTimeouts
from ih_mcp.streams.facts import StreamState
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V0, V1, V2, Dialect
from ih_mcp.wire.messages import Completed, Config, Ended, Error, Processing, Reading, Updated
from tests.reliability.budget import often

from .service import Service

HASTE = SessionTimeouts(
    ready_seconds=0.2, quiet_seconds=0.2, drain_margin_seconds=0.1, goodbye_seconds=0.2
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(
    journal: Journal,
    service: Service,
    dialect: Dialect = V1,
    *,
    config: Config | None = None,
    timeouts: SessionTimeouts | None = None,
    max_outbox_bytes: int = 2**20,
) -> AsyncIterator[Stream]:
    """A stream that runs while the block does, bounded in time."""
    log = await journal.begin("st_1", {})
    stream = Stream(
        "st_1",
        StreamConfig(dialect=dialect, base_url="http://h", config=config or Config()),
        log=log,
        opener=service.opener,
        timeouts=timeouts,
        max_outbox_bytes=max_outbox_bytes,
    )
    with anyio.fail_after(8):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            yield stream
            tasks.cancel_scope.cancel()


async def texts(journal: Journal) -> list[str | bytes]:
    page = await journal.read_page("st_1", 0, limit=10_000, max_chars=10**9)
    return [entry.body for entry in page.entries]


def state_of(stream: Stream) -> str:
    return stream.state.value


async def over(stream: Stream) -> None:
    await stream.until(lambda: False)


async def test_a_stream_runs_from_greeting_to_end_and_keeps_every_text(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        assert state_of(stream) == "connecting"
        said = await service.greet()
        await stream.wait_until_open()
        assert state_of(stream) == "open"
        await stream.put(QueuedSegment(b"one", 0.0, 3.0))
        assert await service.hear() == b"one"
        said += await service.say(Reading("signal.detected", {"signal_type": "interest"}))
        assert stream.request_end()
        assert state_of(stream) == "draining"
        said += await service.drain()
        await over(stream)
    assert stream.state is StreamState.ENDED
    assert await texts(journal) == said
    record = json.loads((await journal.find_stream("st_1")).record)
    assert record["reason"] == "by_request"
    assert record["segments"] == {"completed": 1}
    assert (record["media_seconds"], record["bytes_sent"], record["messages"]) == (3.0, 3, 4)
    assert service.urls == ["ws://h/v1/stream/analyze"]


async def test_nothing_is_sent_before_the_greeting(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await stream.put(QueuedSegment(b"early"))
        await anyio.wait_all_tasks_blocked()
        assert not service.socket.inbox
        await service.greet()
        assert await service.hear() == b"early"


async def test_configuration_goes_first_and_its_confirmation_is_counted(journal: Journal) -> None:
    service = Service()
    config = Config(include=("conversation_quality_overall",))
    async with running(journal, service, config=config) as stream:
        await stream.put(QueuedSegment(b"one"))
        await service.greet()
        assert json.loads(await service.hear()) == {"include": ["conversation_quality_overall"]}
        await service.say(Updated(config))
        assert await service.hear() == b"one"
        stream.configure(Config(include=()))
        assert json.loads(await service.hear()) == {"include": []}
        assert stream.leg
        assert stream.leg.updates == 1
        assert "retry_after_s" not in stream.status().to_json()
        confirmed: list[object] = []

        async def wait() -> None:
            confirmed.append(await stream.wait_for_confirmation(math.inf))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not confirmed
            await service.say(Updated(Config(include=())))
        assert confirmed == [Config(include=())]


async def test_v0_is_configured_in_the_query_only(journal: Journal) -> None:
    service = Service(V0)
    async with running(journal, service, V0, config=Config(include=("x",))) as stream:
        await stream.wait_until_open()
        assert service.urls[0].endswith("?include%5B%5D=x")
        with pytest.raises(CallerError, match="v0 takes its configuration when the stream starts"):
            stream.configure(Config())


async def test_v0_ends_when_every_segment_has_its_last_word(journal: Journal) -> None:
    service = Service(V0)
    async with running(journal, service, V0) as stream:
        for _ in range(2):
            await stream.put(QueuedSegment(b"x" * 20_000))
            await service.hear()
        await service.say(Processing(1), Completed(1), Processing(2))
        stream.request_end()
        await anyio.wait_all_tasks_blocked()
        assert not stream.is_over
        await service.say(Error(code="ih5004", segment=2))
        await over(stream)
    assert stream.state is StreamState.ENDED
    assert stream.status().segments == {"completed": 1, "refused": 1}


@settings(
    deadline=None,
    max_examples=often(30, nightly=500),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frames=st.lists(st.text(min_size=1), max_size=6))
async def test_any_text_frame_is_kept_unchanged_whatever_it_parses_to(
    tmp_path_factory: pytest.TempPathFactory, frames: list[str]
) -> None:
    service = Service()
    folder = tmp_path_factory.mktemp("any")
    async with open_journal(folder) as journal, running(journal, service) as stream:
        said = await service.greet() + await service.say(*frames)
        while stream.log.last < len(said):
            await stream.log.wait_for_commit()
        assert await texts(journal) == said


async def test_what_cannot_be_read_is_kept_counted_and_ends_nothing(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        said = await service.greet() + await service.say("no json", '{"type":3}', "[]")
        await service.socket.send_segment(b"binary")
        stream.request_end()
        said += [b"binary", *await service.drain()]  # type: ignore[list-item]
        await over(stream)
    assert await texts(journal) == said
    assert stream.status().irregular_messages == 4
    assert stream.state is StreamState.ENDED


async def test_an_error_message_alone_ends_nothing(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        await stream.put(QueuedSegment(b"one"))
        await service.hear()
        await service.say(Error(code="ih6002", segment=1), Error(code="ih6002", segment=99))
        await stream.put(QueuedSegment(b"two"))
        assert await service.hear() == b"two"
        await stream.until(lambda: stream.status().segments == {"refused": 1, "delivered": 1})


@pytest.mark.parametrize(
    ("code", "error", "reason", "words"),
    [
        (4003, Error(code="ih2003", message="No scope."), "auth_failed", "ih2003 No scope."),
        (1013, Error(code="ih1003", message="No backend."), "service_error", "ih1003 No backend."),
        (1011, None, "service_error", "boom"),
    ],
)
async def test_a_refusal_keeps_the_services_words(
    journal: Journal, code: int, error: Error | None, reason: str, words: str
) -> None:
    service = Service()
    async with running(journal, service) as stream:
        if error:
            await service.say(error)
        await service.socket.close(code, "boom")
        await over(stream)
    assert stream.state is StreamState.FAILED
    assert stream.failure
    assert stream.failure.code == reason
    assert words in stream.failure.what
    assert stream.failure.facts["close_code"] == code


async def test_a_lost_connection_is_told_and_leaves_segments_unknown(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        await stream.put(QueuedSegment(b"one"))
        await service.hear()
        await service.socket.abort()
        await over(stream)
    assert stream.state is StreamState.FAILED
    assert stream.failure
    assert (stream.failure.code, stream.failure.retry) == ("connection_lost", True)
    assert stream.status().segments == {"unknown": 1}
    record = json.loads((await journal.find_stream("st_1")).record)
    assert record["error"]["code"] == "connection_lost"


async def test_segments_that_were_never_sent_are_told(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await stream.put(QueuedSegment(b"one"))
        await service.socket.close(1000)
        await over(stream)
    assert stream.status().segments == {"not_sent": 1}


async def test_a_service_that_never_greets_is_given_up(journal: Journal) -> None:
    service = Service()
    async with running(journal, service, timeouts=HASTE) as stream:
        await service.say(Error(code="ih1001", message="Internal."))
        await over(stream)
    assert stream.failure
    assert stream.failure.code == "service_error"
    assert "ih1001 Internal." in stream.failure.what


async def test_a_service_that_does_not_know_the_close_gets_a_quiet_wait(journal: Journal) -> None:
    service = Service()
    async with running(journal, service, timeouts=HASTE) as stream:
        await service.greet()
        stream.request_end()
        await over(stream)
    assert stream.state is StreamState.ENDED
    assert stream.status().reason == "drain_timeout"
    assert stream.notes()[-1].startswith("The service did not say its last word in time, so ")


async def test_an_end_by_the_service_is_an_end(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        await service.say(Ended("maintenance"))
        await service.socket.close(1000)
        await over(stream)
    assert stream.state is StreamState.ENDED
    assert stream.status().reason == "by_service"
    assert stream.end
    assert not stream.end.in_order


async def test_a_full_outbox_makes_its_sender_wait(journal: Journal) -> None:
    service = Service()
    async with running(journal, service, max_outbox_bytes=10) as stream:
        await stream.put(QueuedSegment(b"x" * 8))
        with anyio.move_on_after(0.05) as scope:
            await stream.put(QueuedSegment(b"y" * 8))
        assert scope.cancelled_caught
        await service.greet()
        await stream.put(QueuedSegment(b"z" * 8))
        assert [await service.hear(), await service.hear()] == [b"x" * 8, b"z" * 8]


async def test_a_stream_that_was_asked_to_end_takes_nothing_more(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        await stream.wait_until_open()
        assert stream.request_end()
        assert not stream.request_end()
        with pytest.raises(StreamEndedError, match="takes no more segments"):
            await stream.put(QueuedSegment(b"late"))


async def test_dropped_seconds_are_told_by_segment(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        for start in (0.0, 3.0, 6.0):
            await stream.put(QueuedSegment(b"x", start, start + 3))
            await service.hear()
        await service.say(Reading("coverage.dropped", {"ranges": [{"start": 3, "end": 6.5}]}))
        stream.request_end()
        await service.drain()
        await over(stream)
    assert stream.status().segments == {"completed": 2, "dropped": 1}


class _Unreachable(Service):
    @asynccontextmanager
    async def opener(self, url: str) -> AsyncIterator[Socket]:
        self.urls.append(url)
        if url:
            raise TransportError("h cannot be reached", retry=True)
        yield self.client


async def test_a_socket_that_cannot_be_opened_is_the_failure(journal: Journal) -> None:
    async with running(journal, _Unreachable(), V2) as stream:
        await over(stream)
    assert isinstance(stream.failure, IhMcpError)
    assert stream.failure.what == "h cannot be reached"
    assert stream.state is StreamState.FAILED


async def test_a_cancelled_stream_says_so_and_keeps_what_came(journal: Journal) -> None:
    service = Service()
    async with running(journal, service) as stream:
        said = await service.greet()
        await stream.wait_until_open()
    assert stream.is_over
    assert await texts(journal) == said
    assert (await journal.find_stream("st_1")).ended_at is not None


async def test_a_journal_that_fails_ends_the_stream_though_the_service_is_quiet(
    journal: Journal,
) -> None:
    service = Service()
    async with running(journal, service) as stream:
        await service.greet()
        await stream.wait_until_open()
        stream.log.fail(JournalError("the journal cannot write: disk is full"))
        await over(stream)
        assert state_of(stream) == "failed"
    assert stream.failure is not None
    assert stream.failure.code == "journal_failed"


async def test_an_end_before_the_greeting_waits_for_it_no_longer_than_for_a_goodbye(
    journal: Journal,
) -> None:
    service = Service()
    timeouts = SessionTimeouts(ready_seconds=60, goodbye_seconds=0.1)
    async with running(journal, service, timeouts=timeouts) as stream:
        await stream.until(lambda: stream.leg is not None)
        await stream.put(QueuedSegment(b"early"))
        assert stream.request_end()
        await over(stream)
        assert not service.socket.inbox
    record = json.loads((await journal.find_stream("st_1")).record)
    assert (record["state"], record["reason"]) == ("ended", "by_request")
    assert record["segments"] == {"not_sent": 1}


async def test_who_waits_for_a_confirmation_gets_the_error_of_the_service_or_nothing(
    journal: Journal,
) -> None:
    service = Service()
    async with running(journal, service) as stream:
        assert await stream.wait_for_confirmation(0.0) is None  # there is no connection yet
        await service.greet()
        await stream.wait_until_open()
        assert await stream.wait_for_confirmation(0.0) is None
        refusal = Error(code="ih6001", message="no such goal", correlation_id="c-1")
        found: list[object] = []

        async def wait() -> None:
            found.append(await stream.wait_for_confirmation(math.inf))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await service.say(refusal)
        assert found == [refusal]


async def test_there_is_room_until_the_outbox_is_full(journal: Journal) -> None:
    async with running(journal, Service(), max_outbox_bytes=10) as stream:
        assert stream.has_room(10)
        await stream.put(QueuedSegment(b"0123456789"))
        assert not stream.has_room(1)
