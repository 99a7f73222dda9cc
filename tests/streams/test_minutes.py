"""A stream that reaches a limit of minutes: it ends in order, and nothing is sent beyond it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from ih_mcp.errors import JournalError, StreamEndedError
from ih_mcp.journal import Journal
from ih_mcp.journal.usage import UsageTable
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Reading
from ih_mcp.wire.minutes import PER_STREAM, MediaUse, MinuteLimit, MinutesBudget, Per

from .test_legs import Services, cut, journal, over

__all__ = ["journal"]  # a fixture


@asynccontextmanager
async def limited(
    journal: Journal, services: Services, seconds: float, *, size: int | None = None
) -> AsyncIterator[Stream]:
    limit = MinuteLimit(setting=PER_STREAM, per=Per.STREAM, seconds=seconds)
    budget = MinutesBudget(limits=(limit,), max_bytes_per_day=size)
    stream = Stream(
        "st_1",
        StreamConfig(dialect=V1, base_url="http://h", budget=budget, reconnects=True),
        log=await journal.begin("st_1", {}, budget=budget),
        opener=services.opener,
        chance=lambda: 0.0,
        account=journal.account("st_1", budget),
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            yield stream
            tasks.cancel_scope.cancel()


def second(number: int, seconds: float = 1.0) -> QueuedSegment:
    return QueuedSegment(b"%d" % number, number, number + seconds)


async def kept(journal: Journal) -> MediaUse | None:
    return await journal.read_usage(lambda table: table.find_use("st_1"))


async def test_at_its_limit_a_live_stream_ends_in_order_and_says_why(journal: Journal) -> None:
    services = Services()
    async with limited(journal, services, 2) as stream:
        service = await services.session(0)
        for number in range(5):
            stream.add(second(number))
        await service.drain()
        await over(stream)
        assert service.heard == [b"0", b"1", '{"type":"session.close"}']
        status = stream.status()
        assert (status.state, status.reason, status.retryable) == (
            "ended",
            "minutes_used_up",
            False,
        )
        assert status.error
        assert status.error["help"] == (
            "Send a shorter part, or ask the person who runs ih-mcp to raise "
            "IH_MCP_MAX_MINUTES_PER_STREAM."
        )
        assert status.lost
        assert status.lost.segments_not_sent == 3
        assert status.usage == {"delivered_s": 2, "analysed_s": 2, "dropped_s": 0}
        with pytest.raises(
            StreamEndedError, match=r"takes no more segments: 0\.02 minutes"
        ) as error:
            await stream.put(second(5))
        assert error.value.code == "minutes_used_up"
    assert await kept(journal) == stream.use


async def test_at_the_bytes_of_a_day_a_live_stream_ends_in_order_and_says_why(
    journal: Journal,
) -> None:
    services = Services()
    async with limited(journal, services, 60, size=3) as stream:
        service = await services.session(0)
        for number in (8, 9, 10, 11):
            stream.add(second(number))
        await service.drain()
        await over(stream)
        assert service.heard == [b"8", b"9", '{"type":"session.close"}']
        status = stream.status()
        assert (status.state, status.reason) == ("ended", "bytes_used_up")
        with pytest.raises(StreamEndedError, match="2 bytes of media would exceed") as error:
            await stream.put(second(12))
        assert (error.value.code, error.value.facts["left_bytes"]) == ("bytes_used_up", 1)


async def test_a_smaller_segment_does_not_slip_through_behind_one_that_did_not_fit(
    journal: Journal,
) -> None:
    services = Services()
    async with limited(journal, services, 2) as stream:
        service = await services.session(0)
        for segment in (second(0), second(1, 2.0), second(3, 0.5)):
            stream.add(segment)
        await service.drain()
        await over(stream)
        assert service.heard[:-1] == [b"0"]


async def test_a_segment_is_counted_before_it_is_sent(journal: Journal) -> None:
    """So that a process which is killed in between has counted too much, and never too little."""
    services = Services()
    async with limited(journal, services, 60) as stream:
        service = await services.session(0)
        stream.add(second(0))
        assert await service.hear() == b"0"
        assert await kept(journal) == MediaUse(delivered_seconds=1)


async def test_media_that_was_refused_or_dropped_may_be_replaced(journal: Journal) -> None:
    services = Services()
    async with limited(journal, services, 2) as stream:
        service = await services.session(0)
        stream.add(second(0))
        stream.add(second(1))
        assert [await service.hear(), await service.hear()] == [b"0", b"1"]
        await service.say(Reading("coverage.dropped", {"ranges": [{"start": 0, "end": 1}]}))
        await stream.until(lambda: stream.use.dropped_seconds == 1)
        stream.add(second(2))
        assert await service.hear() == b"2"
        stream.request_end()
        await service.drain()
        await over(stream)
        assert stream.failure is None
        assert stream.limit_reached is None
    assert await kept(journal) == MediaUse(
        delivered_seconds=3, analysed_seconds=2, dropped_seconds=1
    )


async def test_a_later_session_of_the_stream_counts_on(journal: Journal) -> None:
    services = Services()
    async with limited(journal, services, 2) as stream:
        stream.is_fed = True  # as a file: another session can begin anywhere
        first = await services.session(0)
        stream.add(cut(b"a", 0))
        await first.hear()
        await first.socket.abort()
        again = await services.session(1)
        for number in (1, 2):
            stream.add(cut(b"b", number))
        await again.drain()
        await over(stream)
        assert stream.limit_reached
        assert stream.use.delivered_seconds == 2


async def test_a_journal_that_cannot_count_lets_nothing_be_sent(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_named: object) -> None:
        raise JournalError("the journal cannot write: disk full")

    monkeypatch.setattr(UsageTable, "spend", refuse)
    services = Services()
    async with limited(journal, services, 60) as stream:
        service = await services.session(0)
        stream.add(second(0))
        await over(stream)
        assert service.heard == []
        assert isinstance(stream.failure, JournalError)


async def test_media_whose_length_cannot_be_read_counts_by_the_clock(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[float] = []
    real: Callable[..., None] = UsageTable.spend

    def spend(
        table: UsageTable,
        name: str,
        budget: MinutesBudget,
        length: float,
        use: MediaUse,
        *,
        size: int,
    ) -> None:
        seconds.append(length)
        assert size == 1
        real(table, name, budget, length, use, size=size)

    monkeypatch.setattr(UsageTable, "spend", spend)
    services = Services()
    async with limited(journal, services, 60) as stream:
        service = await services.session(0)
        assert stream.leg
        await stream.wait_until_open()
        stream.leg.sent_at -= 5.0
        stream.add(QueuedSegment(b"x"))
        assert await service.hear() == b"x"
        assert 5.0 <= seconds[0] < 60
        await service.say(Reading("signal.detected", {"start": 30.0}))
        await stream.until(lambda: stream.use.analysed_seconds == 30)
        assert stream.use.delivered_seconds == 30
