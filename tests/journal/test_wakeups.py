"""Who wakes readers of other processes, without a server: what is asked and sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

pytest.importorskip("psycopg", reason="the extra `team` is not installed")

import psycopg

from ih_mcp.journal.postgres import wakeups
from ih_mcp.journal.postgres.connections import EngineAwayError
from ih_mcp.journal.postgres.wakeups import Notifications, NotifiedWatch, TenantWakeups


class Connections:
    """Keeps what is executed."""

    def __init__(self) -> None:
        self.executed: list[tuple[str, tuple[str, str]]] = []

    @contextmanager
    def borrow(self, _: float) -> Iterator[Connections]:
        yield self

    def execute(self, statement: str, values: tuple[str, str]) -> None:
        self.executed.append((statement, values))


async def test_a_stream_is_looked_at_until_its_last_reader_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", 0.0)
    lengths = {"a": (1, False), "b": (1, False)}
    notifications = Notifications(cast("Any", Connections()), "")
    tenant = TenantWakeups(notifications, lambda ids: {each: lengths[each] for each in ids})
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tenant.look_forever)
            with tenant.watch("a") as first:
                with tenant.watch("a"), tenant.watch("b") as second:
                    await second.wait()
                    await first.wait()
                lengths["a"] = (2, False)
                await first.wait()
            assert tenant._watched == {}
            assert not notifications.is_watched("a")
            tasks.cancel_scope.cancel()


async def test_a_database_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", 0.0)
    looks = list[list[str]]()

    def find(ids: list[str]) -> dict[str, tuple[int, bool]]:
        looks.append(ids)
        if len(looks) == 1:
            raise EngineAwayError
        return {"a": (1, False)}

    notifications = Notifications(cast("Any", Connections()), "")
    tenant = TenantWakeups(notifications, find)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with tenant.watch("a") as watch:
                tasks.start_soon(tenant.look_forever)
                await watch.wait()
                tasks.cancel_scope.cancel()
    assert looks[:2] == [["a"], ["a"]]


async def test_what_was_known_of_streams_without_readers_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "LOOK_SECONDS", 0.0)
    notifications = Notifications(cast("Any", Connections()), "")
    tenant = TenantWakeups(notifications, lambda ids: dict.fromkeys(ids, (1, False)))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tenant.look_forever)
            for _ in range(2):  # the second reader is told of the same length
                with tenant.watch("a") as watch:
                    await watch.wait()
                while tenant._known:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def test_a_reader_waits_for_news_that_it_did_not_have() -> None:
    watch = NotifiedWatch()
    watch.notify()
    with anyio.fail_after(20):
        await watch.wait()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await watch.wait()
    assert scope.cancelled_caught


def test_all_that_changed_is_sent_in_payloads_that_the_server_takes() -> None:
    connections, ids = Connections(), [f"st_{number:032}" for number in range(400)]
    Notifications(cast("Any", connections), "")._send(ids)
    payloads = [values[1] for _, values in connections.executed]
    assert " ".join(payloads).split() == ids
    assert max(map(len, payloads)) < 8_000  # docs: NOTIFY
    assert len(payloads) == 3


async def test_a_server_that_cannot_be_listened_to_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = list[str]()

    async def connect(dsn: str, **_: object) -> None:
        attempts.append(dsn)
        assert len(attempts) < 2
        raise psycopg.OperationalError

    monkeypatch.setattr(wakeups, "LOOK_SECONDS", 10**6)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Notifications(cast("Any", Connections()), "").listen_forever)
        await anyio.wait_all_tasks_blocked()
        assert len(attempts) == 1
        tasks.cancel_scope.cancel()


async def test_the_readers_of_each_stream_that_is_heard_of_are_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = list[str]()

    class Connection:
        async def execute(self, statement: str) -> None:
            done.append(statement)

        async def notifies(self) -> AsyncIterator[SimpleNamespace]:
            for payload in ("a b", "c"):
                yield SimpleNamespace(payload=payload)

        async def close(self) -> None:
            done.append("close")

    async def connect(*_: object, **__: object) -> Connection:
        return Connection()

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    notifications = Notifications(cast("Any", Connections()), "")
    with ExitStack() as stack:
        watches = {name: stack.enter_context(notifications.watch(name)) for name in "abcd"}
        await notifications._listen()
        assert [name for name, watch in watches.items() if watch._event.is_set()] == ["a", "b", "c"]
    assert done == ["LISTEN ih_mcp", "close"]


async def test_what_a_tenant_announces_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections()
    notifications = Notifications(cast("Any", connections), "")
    tenant = TenantWakeups(notifications, lambda _: {})
    monkeypatch.setattr(wakeups, "_BATCH_SECONDS", 10**6)
    async with anyio.create_task_group() as tasks:
        tenant.announce("a")
        tenant.announce("b")
        tenant.announce("a")
        assert list(notifications._changed) == ["a", "b"]
        tasks.start_soon(notifications.send_forever)
        while not connections.executed:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert [values[1] for _, values in connections.executed] == ["a b"]
