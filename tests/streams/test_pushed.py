from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import CallerError, IhMcpError, MediaError, StreamEndedError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.outbox import QueueBudget
from ih_mcp.streams.sources import pushed
from ih_mcp.streams.sources.pushed import PushRecord, digest_of, pushed_source
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Ready

from .test_legs import Services

WAV = b"RIFF\0\0\0\0WAVEfmt "
"""Begins a container whose times are not read, so that any bytes may follow."""


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(
    journal: Journal,
    services: Services,
    queued: QueueBudget | None = None,
    *,
    reconnects: bool = False,
) -> AsyncIterator[Stream]:
    stream = Stream(
        "st_1",
        StreamConfig(dialect=V1, base_url="http://h", reconnects=reconnects),
        log=await journal.begin("st_1", {}),
        opener=services.opener,
        max_outbox_bytes=100,
        queued=queued,
        chance=lambda: 1.0,
    )
    with anyio.fail_after(8):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            yield stream
            tasks.cancel_scope.cancel()


async def refused(stream: Stream, data: bytes, *, seconds: float = 20) -> IhMcpError:
    with pytest.raises(IhMcpError) as error:
        await pushed_source(stream).push(data, seconds=seconds)
    return error.value


async def test_a_segment_is_sent_and_one_without_media_waits_for_the_next(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        assert not await pushed_source(stream).push(b"")
        assert not await pushed_source(stream).push(b"R")
        assert await pushed_source(stream).push(WAV[1:])
        assert await first.hear() == WAV


async def test_a_number_follows_a_segment_without_media(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        await services.session(0)
        source = pushed_source(stream)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.await_number, 2, math.inf)
            await anyio.wait_all_tasks_blocked()
            result = await source.push_numbered(b"R", 1, until=math.inf)
        assert result.segment is None
        assert not result.is_like_last
        assert source.next_seq == 2


async def test_a_numbered_push_waits_for_what_is_left_of_its_time(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def push(_: bytes, *, seconds: float, feeder: Feeder) -> None:
        assert feeder is Feeder.PUSH
        waits.append(seconds)

    async with running(journal, Services()) as stream:
        source = pushed_source(stream)
        monkeypatch.setattr(source, "push", push)
        await source.push_numbered(WAV, 1, until=anyio.current_time() + 100.0)
    assert 50.0 < waits[0] <= 100.0


async def test_a_push_beyond_the_largest_segment_is_refused_before_it_is_looked_into(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        await services.session(0)
        most = stream.limits.max_segment_bytes
        monkeypatch.setattr(pushed_source(stream)._intake, "copy", None)  # calling it fails
        error = await refused(stream, bytes(most + 1))
    assert error.code == "segment_too_large"
    assert error.facts == {"bytes": most + 1, "max_bytes": most}


async def test_a_stream_that_does_not_open_takes_nothing(journal: Journal) -> None:
    async with running(journal, Services()) as stream:
        error = await refused(stream, WAV, seconds=0.05)
        assert (error.code, error.retry) == ("not_open", True)


async def test_a_push_that_gets_no_turn_in_time_is_told_so(journal: Journal) -> None:
    async def wait() -> None:
        with pytest.raises(CallerError) as error:
            async with pushed_source(stream).turn(anyio.current_time() + 0.05):
                raise AssertionError
        assert (error.value.code, error.value.retry) == ("outbox_full", True)

    async with running(journal, Services()) as stream:
        async with (
            pushed_source(stream).turn(anyio.current_time() + 1),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(wait)
        async with pushed_source(stream).turn(anyio.current_time() + 1):
            pass


async def test_a_stream_that_is_over_says_why(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        stream.request_end()
        assert isinstance(await refused(stream, WAV), StreamEndedError)
        await first.drain()


async def test_a_segment_that_the_service_would_refuse_is_not_sent(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0, greets=False)
        await first.say(Ready(limits=replace(V1.limits, max_segment_bytes=10)))
        error = await refused(stream, WAV)
        assert isinstance(error, MediaError)
        assert error.facts == {"bytes": len(WAV), "max_bytes": 10}


async def test_where_other_streams_hold_all_the_room_it_is_refused_at_once(
    journal: Journal,
) -> None:
    queued, services = QueueBudget(60), Services()
    async with running(journal, services, queued) as stream:
        first = await services.session(0)
        first.client._room = 0  # nothing is taken from it
        queued.add(50)
        assert await pushed_source(stream).push(WAV)
        error = await refused(stream, b"x" * 20)
        assert (error.code, error.retry) == ("queue_full", True)


async def test_while_its_own_room_is_full_it_waits_and_then_says_so(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        first.client._room = 0
        assert await pushed_source(stream).push(WAV + b"x" * 80)
        error = await refused(stream, b"x" * 20, seconds=0.05)
        assert isinstance(error, CallerError)
        assert error.code == "outbox_full"


async def test_without_a_connection_two_segments_are_taken_and_the_next_is_told(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services, reconnects=True) as stream:
        first = await services.session(0)
        services.refuses = 99
        await first.socket.abort()
        await stream.until(lambda: stream.pending_reconnect is not None)
        assert await pushed_source(stream).push(WAV)
        assert await pushed_source(stream).push(b"x")
        error = await refused(stream, b"y", seconds=0.01)
        assert (error.code, error.retry) == ("reconnecting", True)
        assert error.facts["reason"] in {"connection_lost", "unreachable"}


async def test_a_header_without_media_goes_out_at_the_end(journal: Journal) -> None:
    services = Services()
    header = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01"
    async with running(journal, services) as stream:
        first = await services.session(0)
        assert not await pushed_source(stream).push(header)
        stream.request_end()
        assert await first.hear() == header


async def test_what_waited_for_more_and_is_nothing_is_left_at_the_end(journal: Journal) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        assert not await pushed_source(stream).push(WAV[:1])
        assert not await pushed_source(stream).push(WAV[1:4])
        stream.request_end()
        assert await first.hear() == '{"type":"session.close"}'
        assert stream.outbox.segments == 0


async def test_a_numbered_segment_is_taken_once_and_its_number_by_no_other(
    journal: Journal,
) -> None:
    services = Services()
    async with running(journal, services) as stream:
        first = await services.session(0)
        source = pushed_source(stream)
        assert not source.can_begin  # another session would need the header of a recording
        taken = await source.push_numbered(WAV, 1, until=math.inf)
        assert (taken.is_repeat, source.next_seq, source.pushed_bytes) == (False, 2, len(WAV))
        again = await source.push_numbered(WAV, 1, until=math.inf)
        assert (again.is_repeat, source.next_seq, source.pushed_bytes) == (True, 2, len(WAV))
        with pytest.raises(
            CallerError, match="pushed before, with other bytes; 2 is next"
        ) as error:
            await source.push_numbered(b"other", 1, until=math.inf)
        assert error.value.code == "seq_taken"
        with pytest.raises(CallerError, match="seq 3 came, but 2 is next") as error:
            await source.await_number(3, 0.0)
        assert (error.value.code, error.value.facts) == ("seq_gap", {"expected_seq": 2})
        assert await first.hear() == WAV


def test_a_number_of_long_ago_cannot_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "_REMEMBERED", 2)
    record = PushRecord()
    for digest in (b"1", b"2", b"3"):
        record.keep(digest, 1)
    assert record.is_repeat(2, b"2")
    with pytest.raises(CallerError, match="so long ago that it cannot be compared; 4 is next"):
        record.is_repeat(1, b"1")


@pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) + 1])
async def test_a_digest_is_of_all_bytes_of_a_small_and_of_a_large_segment(size: int) -> None:
    assert await digest_of(b"x" * size) == await digest_of(b"x" * size)
    assert await digest_of(b"x" * size) != await digest_of(b"x" * size + b"y")
