"""Schedules of faults by dice, in virtual time; the checker of logs looks at each.

A service that greets late or never, refuses, answers, drops seconds, closes with any code, goes
silent or away at any moment; a file, a recorder's chunks or segments that stand alone; readers that
poll meanwhile. Whatever happens: nothing is lost in silence, changed, or sent twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import anyio
import pytest
from anyio.abc import TaskGroup

from ih_mcp.errors import IhMcpError, LocalProtocolError, TransportError
from ih_mcp.journal import Entry as Kept
from ih_mcp.net.socket import Socket, SocketClosed
from ih_mcp.notifier import Notifier
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment, RandomAccessPoint
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V0, V1, V2, Dialect
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.messages import Closing, Completed, Ended, Error, Reading
from ih_mcp.wire.refusal import refusal_error
from tests.streams.service import Service

from .budget import SEED, dice, often, report
from .checker import Body, History, Poll, Session, check
from .virtual import VirtualLoop

HEADER = b"HEAD"

LOSSES = [
    EndReason.PEER_SILENT,
    EndReason.MESSAGE_TOO_BIG,
    EndReason.CONNECTION_LOST,
]


@dataclass
class MemoryLog:
    """A log without a disk: what it keeps is there at once."""

    entries: list[Kept] = field(default_factory=list)
    record: Mapping[str, object] = field(default_factory=dict)
    is_full = False
    failure = None
    wait_until_owned = None
    changed: Notifier = field(default_factory=Notifier)

    @property
    def last(self) -> int:
        return len(self.entries)

    def append(self, body: Body, *, leg: int) -> None:
        self.entries.append(Kept(len(self.entries) + 1, leg, 0, body))
        self.changed.notify()

    async def flush(self) -> None:
        return

    async def wait_for_failure(self) -> None:
        await anyio.sleep_forever()

    async def write_record(self, record: Mapping[str, object], *, ended: bool = False) -> None:  # noqa: ARG002
        self.record = record


@dataclass
class Peer:
    """One session of the service: what it said and heard, and how it came to its end."""

    service: Service
    said: list[Body] = field(default_factory=list)


class World:
    """A service that does as the dice say."""

    def __init__(self, dialect: Dialect, dice: Random, tasks: TaskGroup) -> None:
        self.dialect, self.dice, self.tasks = dialect, dice, tasks
        self.peers: list[Peer] = []

    @asynccontextmanager
    async def opener(self, url: str) -> AsyncIterator[Socket]:
        await anyio.sleep(self.dice.random())
        chance = self.dice.random()
        if chance < 0.1:
            raise TransportError("gone", code="unreachable", retry=True)
        if chance < 0.15:
            raise refusal_error("no", status=self.dice.choice([401, 429, 500, 503]))
        peer = Peer(Service(self.dialect))
        self.peers.append(peer)
        self.tasks.start_soon(self._play, peer)
        async with peer.service.opener(url) as socket:
            yield socket

    async def _play(self, peer: Peer) -> None:
        try:
            await self._session(peer)
        except (SocketClosed, LocalProtocolError):
            return

    async def _session(self, peer: Peer) -> None:
        service, dice = peer.service, self.dice
        if self.dialect.greets:
            await anyio.sleep(dice.choice([0, 1, 3, 20]))  # the last is too late
            peer.said += await service.greet()
        second = 0.0
        while True:
            heard = await service.hear()
            await anyio.sleep(dice.random() * 2)
            if isinstance(heard, bytes):
                second += 3
                await self._answer(peer, second)
            elif "close" in heard:
                peer.said += await service.say(Closing(5.0))
                if dice.random() < 0.9:
                    peer.said += await service.say(Ended("client_shutdown"))
                    await service.socket.close(1000)
                else:
                    await anyio.sleep(60)
                return

    async def _answer(self, peer: Peer, second: float) -> None:
        service, dice = peer.service, self.dice
        chance = dice.random()
        if chance < 0.4:
            texts = [Reading("signal.detected", {"start": second - 3, "x": dice.random()})]
            peer.said += await service.say(*texts * dice.randrange(1, 4))
        elif chance < 0.5:
            peer.said += await service.say("no json at all", '{"type":"new","n":1e2}')
        elif chance < 0.55:
            ranges = [{"start": second - 3, "end": second}]
            peer.said += await service.say(Reading("coverage.dropped", {"ranges": ranges}))
        elif chance < 0.6:
            peer.said += await service.say(Error(code="ih6002", segment=service.session.segments))
        elif chance < 0.66:
            await service.socket.close(dice.choice([1000, 1001, 1011, 1012, 1013, 4003]))
        elif chance < 0.72:
            await service.socket.abort()
        elif chance < 0.75:
            loss = dice.choice(LOSSES)
            service.client.end(SocketClosed(None, "lost", loss=loss))
        if not self.dialect.greets:
            peer.said += await service.say(Completed(service.session.segments))


def media(kind: str, dice: Random) -> list[QueuedSegment]:
    """A dozen segments of 3 s; the name of each stands in its bytes."""
    made = []
    for number in range(dice.randrange(1, 14)):
        start, name = number * 3.0, b"<%d>" % number
        is_key = number == 0 or dice.random() < 0.7
        if kind == "file":
            made.append(
                QueuedSegment(
                    name, start, start + 3, RandomAccessPoint(seconds=start) if is_key else None,
                    partial(_rebased, name),
                )
            )  # fmt: skip
        elif kind == "chunks":
            offset = 0 if number == 0 or not is_key else dice.randrange(3)
            entry = RandomAccessPoint(HEADER, offset, start + offset) if is_key else None
            data = (HEADER if number == 0 else b"") + b"." * offset + name
            made.append(
                QueuedSegment(data, start, start + 3, RandomAccessPoint() if number == 0 else entry)
            )
        else:
            made.append(QueuedSegment(name * 4_000, start, start + 3, RandomAccessPoint()))
    return made


def _rebased(name: bytes, origin_seconds: float, *, headed: bool) -> bytes:  # noqa: ARG001
    return (HEADER if headed else b"") + name


def names(heard: Sequence[Body]) -> list[bytes]:
    """The segments a session got."""
    media = [data for data in heard if isinstance(data, bytes) and b"<" in data]
    return [data[data.index(b"<") : data.index(b">") + 1] for data in media]


async def play(dice: Random) -> None:
    """One schedule."""
    dialect, kind = dice.choice([(V0, "whole"), (V1, "file"), (V1, "chunks"), (V2, "file")])
    longest = dice.choice([None, 60, 3600])  # the second makes streams go on in another session
    dialect = replace(dialect, limits=replace(dialect.limits, max_session_seconds=longest))
    log = MemoryLog()
    polls: list[Poll] = []
    async with anyio.create_task_group() as tasks:
        world = World(dialect, dice, tasks)
        plan = StreamConfig(
            dialect=dialect,
            base_url="http://h",
            reconnects=dice.random() < 0.9,
            resends=dice.random() < 0.2,
        )
        stream = Stream("st_1", plan, log=log, opener=world.opener, chance=dice.random)  # type: ignore[arg-type]
        stream.is_fed = True
        tasks.start_soon(stream.run)
        tasks.start_soon(_read, log, stream, polls, dice)
        pieces = media(kind, dice)
        with anyio.fail_after(7 * 3600):  # virtual: all budgets together are shorter
            taken = await _send(stream, pieces, dice)
            await stream.until(lambda: False)
        tasks.cancel_scope.cancel()
    legs = stream.legs
    sessions = [
        Session(
            sent=peer.said,
            segments=names(peer.service.heard),
            is_lost=number >= len(legs) or not (legs[number].end and legs[number].end.in_order),  # type: ignore[union-attr]
        )
        for number, peer in enumerate(world.peers)
    ]
    gaps = stream.status().to_json().get("gaps", [])
    assert isinstance(gaps, list)
    told = {gap["legs"][0] for gap in gaps} | {n for n, leg in enumerate(legs) if not leg.is_open}
    told.add(len(sessions) - 1)  # its reason is the stream's
    findings = check(
        History(
            sessions=sessions,
            kept=log.entries,
            polls=polls,
            told=told,
            may_resend=plan.resends,
        )
    )
    assert not findings, findings
    _adds_up(stream, taken)


async def _send(stream: Stream, pieces: Sequence[QueuedSegment], dice: Random) -> int:
    """Gives how many were taken."""
    stops = dice.random() < 0.1
    for number, piece in enumerate(pieces):
        await anyio.sleep(dice.random() * 4)
        try:
            await stream.put(piece)
        except IhMcpError:
            return number
    stream.request_end(stops=stops)
    return len(pieces)


async def _read(log: MemoryLog, stream: Stream, polls: list[Poll], dice: Random) -> None:
    cursor = 0
    while True:
        await anyio.sleep(dice.random() * 5)
        page = log.entries[cursor : cursor + dice.randrange(1, 6)]
        cursor_now = cursor + len(page)
        is_ended = stream.is_over and cursor_now == log.last
        bodies = [entry.body for entry in page]
        polls.append(Poll(cursor=cursor, bodies=bodies, next_cursor=cursor_now, is_ended=is_ended))
        cursor = cursor_now


def _adds_up(stream: Stream, taken: int) -> None:
    """Every segment that was taken is told of, by what is known of it."""
    record = stream.status().to_json()
    counts = record.get("segments", {})
    assert isinstance(counts, dict)
    parted = sum(leg.is_rotated for leg in stream.legs)
    if not stream.plan.resends and not stream.failure:
        assert taken <= sum(counts.values()) <= taken + parted, (counts, taken)
    if record["state"] == "failed":
        assert record["reason"]
        assert record["error"]


@pytest.mark.timeout(3600 if often(0, nightly=1) else 60)
def test_whatever_the_network_does_the_promises_hold() -> None:
    schedules = often(500, nightly=20_000)
    for number in range(schedules):
        anyio.run(play, dice("schedule", number), backend_options={"loop_factory": VirtualLoop})
    report("schedules", "tests/reliability/test_schedules.py", f"{schedules}, seed {SEED}")


def test_a_deadlock_in_virtual_time_is_noticed() -> None:
    try:
        anyio.run(anyio.Event().wait, backend_options={"loop_factory": VirtualLoop})
    except RuntimeError as exc:
        assert "nothing is due" in str(exc)  # noqa: PT017 - raised through the loop's own machinery
    else:
        raise AssertionError("it ended")
