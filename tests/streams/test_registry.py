from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.from_thread
import anyio.lowlevel
import pytest

from ih_mcp.errors import CallerError, JournalError, StreamEndedError, UnknownStreamError
from ih_mcp.journal import Journal, StreamAccount, StreamLog, StreamRow, open_journal
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.registry import Registry, open_registry
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1
from ih_mcp.wire.messages import Reading
from ih_mcp.wire.minutes import PER_STREAM, MediaUse, MinuteLimit, MinutesBudget, Per

from .service import Service

PLAN = StreamConfig(dialect=V1, base_url="http://h", label="call")


@asynccontextmanager
async def opened(folder: Path, max_streams: int = 16) -> AsyncIterator[tuple[Journal, Registry]]:
    with anyio.fail_after(10):
        async with (
            open_journal(folder) as journal,
            open_registry(journal, max_streams=max_streams, close_seconds=0.2) as registry,
        ):
            yield journal, registry


async def test_a_stream_is_found_by_an_id_that_cannot_be_guessed(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry):
        stream = await registry.start(PLAN, Service().opener)
        assert registry.live(stream.id) is stream
        assert stream.id.startswith("st_")
        assert len(stream.id) == 35


async def test_an_unknown_id_names_the_live_ones(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry):
        with pytest.raises(UnknownStreamError, match="no stream st_x") as unknown:
            registry.live("st_x")
        assert (
            unknown.value.help == "No stream is live. list_streams names those that are kept, too."
        )
        stream = await registry.start(PLAN, Service().opener)
        for ask in (registry.status, registry.require_live):
            with pytest.raises(UnknownStreamError) as unknown:
                await ask("st_x")
            assert stream.id in unknown.value.help


async def test_no_more_streams_than_may_be(tmp_path: Path) -> None:
    async with opened(tmp_path, max_streams=1) as (_, registry):
        stream = await registry.start(PLAN, Service().opener)
        with pytest.raises(CallerError) as refused:
            await registry.start(PLAN, Service().opener)
        assert refused.value.facts["live"] == [stream.id]


async def test_a_stream_whose_start_is_cancelled_while_it_is_written_runs_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller gets no id: a stream that only the journal had would count as live for ever."""
    async with opened(tmp_path) as (journal, registry):
        begin, caller = journal._store.begin_stream, anyio.CancelScope()

        def cancelled_meanwhile(*args: Any, **options: Any) -> int:
            number = begin(*args, **options)
            anyio.from_thread.run_sync(caller.cancel)
            return number

        monkeypatch.setattr(journal._store, "begin_stream", cancelled_meanwhile)
        with caller:
            await registry.start(PLAN, Service().opener)
            await anyio.lowlevel.checkpoint()
        assert caller.cancelled_caught
        (stream,) = registry.live_streams
        assert [row.id for row in await journal.list_streams()] == [stream.id]


async def test_an_ended_stream_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        stream.request_end()
        await service.drain()
        while stream.id in registry.live_ids:
            await anyio.lowlevel.checkpoint()
        record = (await registry.status(stream.id)).to_json()
        assert (record["state"], record["label"], record["last_cursor"]) == ("ended", "call", 3)
        with pytest.raises(StreamEndedError, match="is over"):
            await registry.require_live(stream.id)


async def analysed_in_part(registry: Registry) -> tuple[Stream, Service]:
    """A stream that goes on: 3 s were sent, of which the service has analysed 2."""
    service = Service()
    stream = await registry.start(PLAN, service.opener)
    await service.greet()
    await stream.put(QueuedSegment(b"media", 0.0, 3.0))
    assert await service.hear() == b"media"
    await stream.until(lambda: stream.sent_segments == 1)
    await service.say(Reading("signal.detected", {"start": 2.0}))
    return stream, service


async def test_what_is_analysed_is_kept_while_the_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, settle = anyio.Event(), StreamAccount.settle

    async def settle_and_note(account: StreamAccount, use: MediaUse, *, ended: bool) -> None:
        await settle(account, use, ended=ended)
        kept.set()

    monkeypatch.setattr(StreamAccount, "settle", settle_and_note)
    async with opened(tmp_path) as (_, registry), open_journal(tmp_path) as other:
        stream, _ = await analysed_in_part(registry)
        await kept.wait()
        use = await other.read_usage(lambda table: table.find_use(stream.id))
        assert use == MediaUse(delivered_seconds=3.0, analysed_seconds=2.0)
        assert not stream.is_over


async def test_a_stream_that_ended_at_a_limit_says_so_to_who_pushes_later(tmp_path: Path) -> None:
    limit = MinuteLimit(setting=PER_STREAM, per=Per.STREAM, seconds=2)
    plan = replace(PLAN, budget=MinutesBudget(limits=(limit,)))
    async with opened(tmp_path) as (_, registry):
        service = Service()
        stream = await registry.start(plan, service.opener)
        await service.greet()
        await stream.put(QueuedSegment(b"media", 0.0, 3.0))
        await service.drain()
        while stream.id in registry.live_ids:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(StreamEndedError, match="would exceed the limit") as error:
            await registry.require_live(stream.id)
        assert error.value.code == "minutes_used_up"
        assert "IH_MCP_MAX_MINUTES_PER_STREAM" in error.value.help


async def test_streams_are_ended_in_order_when_the_process_goes(tmp_path: Path) -> None:
    service = Service()
    async with opened(tmp_path) as (_, registry), anyio.create_task_group() as tasks:
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        await stream.wait_until_open()
        tasks.start_soon(service.drain)
        await registry.close(5)
    assert service.heard == ['{"type":"session.close"}']
    assert stream.failure is None


async def test_one_that_does_not_end_in_time_is_let_go_and_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        await stream.wait_until_open()
    async with open_journal(tmp_path) as journal:
        row = await journal.find_stream(stream.id)
    assert row.ended_at is not None


async def test_a_mistake_in_one_stream_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Stream) -> None:
        raise RuntimeError("a mistake")

    async with opened(tmp_path) as (_, registry):
        other = await registry.start(PLAN, Service().opener)
        stream = await registry.start(PLAN, Service().opener, feed=broken)
        await stream.until(lambda: False)
        assert registry.live(other.id) is other
    assert "a mistake" in caplog.text


async def test_a_stream_whose_status_cannot_be_kept_fails_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as (_, registry):
        other = await registry.start(PLAN, Service().opener)
        await anyio.sleep(0.05)

        async def fail(*_: object, **__: object) -> None:
            raise JournalError("the disk is full")

        service = Service()
        stream = await registry.start(PLAN, service.opener)
        monkeypatch.setattr(type(stream.log), "write_record", fail)
        await service.greet()
        await service.drain()
        await stream.until(lambda: False)
        assert stream.failure
        assert stream.failure.code == "journal_failed"
        assert registry.live(other.id) is other


async def test_all_streams_are_listed_the_live_ones_as_they_are_now(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry):
        service = Service()
        first = await registry.start(PLAN, service.opener)
        await service.greet()
        first.request_end()
        await service.drain()
        while first.id in registry.live_ids:
            await anyio.lowlevel.checkpoint()
        second = await registry.start(PLAN, Service().opener)
        known = await registry.statuses(newest=9)
        assert {name: status.state for name, status in known.items()} == {
            first.id: "ended",
            second.id: "connecting",
        }
        assert (await registry.status(second.id)).to_json()["last_cursor"] == 0
        assert await registry.require_live(second.id) is second


async def test_a_stream_that_ends_while_it_is_listed_is_not_listed_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as (journal, registry):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        list_streams = journal.list_streams

        async def end_behind(prefix: str, *, newest: int) -> list[StreamRow]:
            rows = await list_streams(prefix, newest=newest)
            stream.request_end()
            await service.drain()
            while stream.id in registry.live_ids:
                await anyio.lowlevel.checkpoint()
            return rows

        monkeypatch.setattr(journal, "list_streams", end_behind)
        assert (await registry.statuses(newest=9))[stream.id].state == "ended"


async def test_a_stream_whose_first_status_cannot_be_kept_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise JournalError("the disk is full")

    monkeypatch.setattr(StreamLog, "write_record", fail)
    async with opened(tmp_path) as (_, registry):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        assert registry.live_streams == [stream]
        await service.greet()
        await service.drain()
        await stream.until(lambda: False)
        assert stream.failure
        assert "the disk is full" in str(stream.failure)


async def test_a_stream_of_another_process_is_read_here_and_fed_there(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, registry), opened(tmp_path) as (_, other):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        await stream.wait_until_open()
        with pytest.raises(CallerError, match=f"stream {stream.id} is open in ") as refused:
            await other.require_live(stream.id)
        assert refused.value.code == "elsewhere"
        assert refused.value.facts["process"]
        assert (await other.status(stream.id)).process == refused.value.facts["process"]


async def test_a_stream_whose_use_cannot_be_kept_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = list[bool]()

    async def fail(_account: StreamAccount, _use: MediaUse, *, ended: bool) -> None:
        settled.append(ended)
        if not ended:
            raise JournalError("the disk is full")

    monkeypatch.setattr(StreamAccount, "settle", fail)
    async with opened(tmp_path) as (journal, registry):
        stream, service = await analysed_in_part(registry)
        await stream.until(lambda: stream.failure is not None)
        assert "the disk is full" in str(stream.failure)
        await service.drain()
        await stream.until(lambda: False)
        before = len(settled)
        await registry._keep_use(stream, journal.account(stream.id))  # it is over
        assert settled[before:] == []


async def test_a_record_is_written_once_for_each_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = list[object]()
    write = StreamLog.write_record

    async def noting(log: StreamLog, record: Mapping[str, object], *, ended: bool = False) -> None:
        if not ended:
            written.append(record["state"])
        await write(log, record, ended=ended)

    monkeypatch.setattr(StreamLog, "write_record", noting)
    async with opened(tmp_path) as (_, registry):
        service = Service()
        stream = await registry.start(PLAN, service.opener)
        await service.greet()
        await stream.wait_until_open()
        await service.say(Reading("signal.detected", {}))
        await stream.until(lambda: sum(leg.messages for leg in stream.legs) == 2)
        await stream.log.flush()
        await stream.log.flush()
    assert len(written) == len(set(written)), written


@pytest.mark.parametrize("ends", [False, True])
async def test_streams_end_in_order_before_the_rest_is_cancelled(ends: bool) -> None:
    done = list[str]()

    class Slow:
        def request_end(self) -> None:
            done.append("is asked to end")

        async def until(self, _: object) -> None:
            if not ends:
                await anyio.sleep_forever()
            await anyio.lowlevel.checkpoint()
            done.append("has ended")

    registry: Any = SimpleNamespace(_streams={1: Slow(), 2: Slow()})
    registry.wait_until_ended = partial(Registry.wait_until_ended, registry)
    scope = SimpleNamespace(cancel=lambda: done.append("cancelled"))
    registry._tasks = SimpleNamespace(cancel_scope=scope)
    await Registry.close(registry, 10**6 if ends else 0.0)
    assert done == 2 * ["is asked to end"] + 2 * ends * ["has ended"] + ["cancelled"]
    assert registry._is_closing
