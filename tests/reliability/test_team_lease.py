"""T3: a replica that lost its lease writes nothing and sends no media, however it lost it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from anyio import to_thread
from pydantic import SecretStr

from ih_mcp.http_server.serve import open_team_server
from ih_mcp.journal import Retention, open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.opener import FRAGMENT_BYTES
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.blocked import wait_all_blocked
from tests.forked import forked_python, process_id
from tests.http_server.conftest import Team, make_settings, said
from tests.leaks import KEY as SERVICE_KEY

from .budget import IS_LONG, often, report
from .proxy import Proxy, open_proxy
from .replicas import Replica, call, open_client, open_fleet, put_segment, segment
from .writer import message

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")

from psycopg.conninfo import conninfo_to_dict  # noqa: E402 - as above

from ih_mcp.journal.postgres import PostgresEngine, leases, open_engine  # noqa: E402 - as above
from tests.postgres_proxy import open_proxy as open_database_proxy  # noqa: E402 - as above

pytestmark = [
    pytest.mark.timeout(often(90, nightly=600)),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/net/tcp"),
]
FILE = "test_team_lease.py"
ORPHANED = Retention(orphaned={"state": "failed", "reason": "host_stopped"})
HOLD_SECONDS = often(1.0, nightly=leases.HOLD_SECONDS)
STOPPED_SECONDS = often(1.5, nightly=30.0)
SERVE = f"""
import sys
from ih_mcp.cli import main
from psycopg.conninfo import conninfo_to_dict  # noqa: E402 - as above

from ih_mcp.journal.postgres import leases
leases.HOLD_SECONDS, leases.RENEW_SECONDS = {HOLD_SECONDS}, {often(0.2, nightly=3.0)}
sys.exit(main())
"""
LARGE_BYTES = 8 * 2**20


@pytest.fixture
async def service(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    """It answers each segment with more than a page of messages."""
    steps = [{"at": "segment", "send": message("x", number)} for number in range(1, 101)]
    options = Options(key=SERVICE_KEY, script=Script.parse(steps))
    async with serve(options, ffmpeg=ffmpeg) as running:
        yield running


def unsent_bytes(port: int) -> int:
    """What the system still has to send to this port of this machine, and what waits there."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = f":{port:04X}"
    queues = [row[4].split(":") for row in rows if row[2].endswith(ends)]
    waiting = [row[4].split(":") for row in rows if row[1].endswith(ends)]
    return sum(int(sent, 16) for sent, _ in queues) + sum(int(got, 16) for _, got in waiting)


async def declare_dead(db: Any, stopped: str, living: PostgresEngine) -> None:
    """What time does at night: its lease runs out, and another process finds that."""
    await to_thread.run_sync(living.lease.renew)  # it learns of the other
    db.execute(
        "UPDATE owners SET until = clock_timestamp() - interval '1 s' WHERE name = %s", (stopped,)
    )
    db.execute("UPDATE owners SET since = since - interval '1 h' WHERE name <> %s", (stopped,))
    assert await to_thread.run_sync(living.lease.renew)
    living.lease.changed.notify()


async def test_t3_an_owner_that_was_stopped_writes_nothing_and_sends_nothing(
    service: RunningStandin, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not IS_LONG:  # of the one that lives, in this process: it renews when it is told to alone
        monkeypatch.setattr(leases, "RENEW_SECONDS", 10**6)
        monkeypatch.setattr(leases, "LEASE_SECONDS", 1000)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(open_proxy(service.url))
        engine = await stack.enter_async_context(open_engine(database))
        place = engine.journal_of("acme")
        journal = await stack.enter_async_context(open_journal(place, ORPHANED))
        db = stack.enter_context(psycopg.connect(database, autocommit=True))
        db.execute("SELECT set_config('ih.tenant', '=acme', false)")
        fleet = await stack.enter_async_context(open_fleet(proxy.url, database, tmp_path))
        replica = await fleet.start([*forked_python(), "-c", SERVE])
        stream_id = await stop_in_the_middle(replica, proxy, service, db)
        kept = (await journal.find_stream(stream_id)).last

        if not IS_LONG:
            await declare_dead(db, (await journal.find_stream(stream_id)).owner, engine)
        with anyio.fail_after(60):
            await journal.wait(stream_id, kept)  # the others are told
        await anyio.sleep(max(0.0, STOPPED_SECONDS))  # its own clock is what it finds out by
        proxy.heal()
        sent_before = await bytes_until_all_passed(proxy, service)
        os.kill(process_id(replica.process), signal.SIGCONT)
        await proxy.until(lambda: proxy.links[0].is_over)

        sent_after = proxy.links[0].bytes_up - sent_before
        assert sent_after <= FRAGMENT_BYTES + 2**15 + 2**10  # of one message that never ends
        (session,) = service.recorder.sessions
        assert [size for size, _ in session.segments] == [len(segment(1))]
        row = await journal.find_stream(stream_id)
        assert row.last == kept
        assert '"host_stopped"' in row.record
        has_lease = "SELECT count(*) FROM owners WHERE address <> ''"
        await until(lambda: db.execute(has_lease).fetchone()[0] == 1)  # another one, by now
        async with open_client(replica.url, "auto") as client:  # and it works on
            again, _ = await call(client, "start_stream", include=[])
            await call(client, "end_stream", stream_id=again["stream_id"])
    report(
        "T3",
        FILE,
        f"stopped for {STOPPED_SECONDS:g} s with 16 MiB to send: 0 entries, 0 segments, "
        f"{sent_after} bytes of an unfinished one after it woke",
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` of another process or the system holds, which tell no event."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)


def delivered_seconds(db: Any) -> float:
    """Media that was counted, as it is before it is sent."""
    (seconds,) = db.execute("SELECT sum(delivered) FROM usage").fetchone()
    return float(seconds)


async def bytes_until_all_passed(proxy: Proxy, service: RunningStandin) -> int:
    """What it had handed to the system before, once all of that has passed the proxy."""
    ports = (proxy.port, int(service.url.rpartition(":")[2]))
    passed = -1
    while passed != proxy.links[0].bytes_up:
        passed = proxy.links[0].bytes_up
        await until(lambda: not any(unsent_bytes(port) for port in ports))
        await wait_all_blocked()
    return passed


async def stop_in_the_middle(
    replica: Replica, proxy: Proxy, service: RunningStandin, db: Any
) -> str:
    """Stop it while it sends one segment, has another, and has not read what came."""
    async with open_client(replica.url, "auto") as client:
        started, _ = await call(client, "start_stream", include=[])
        stream_id: str = started["stream_id"]
        proxy.down.set(is_stalled=True)
        await put_segment(replica.url, stream_id, 1)
        (session,) = service.recorder.sessions
        await until(lambda: len(session.texts) >= 100)
        proxy.up.set(is_stalled=True)
        before = delivered_seconds(db)
        for number in (2, 3):
            await put_segment(replica.url, stream_id, number, LARGE_BYTES)
        await until(lambda: delivered_seconds(db) > before)  # counted: it is being sent now
        await until(lambda: unsent_bytes(proxy.port) > 0)
    os.kill(process_id(replica.process), signal.SIGSTOP)
    return stream_id


async def test_t3_a_replica_that_is_cut_from_the_database_alone_holds_media_back(
    service: RunningStandin, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HOLD_SECONDS", often(0.5, nightly=leases.HOLD_SECONDS))
    monkeypatch.setattr(leases, "RENEW_SECONDS", often(0.1, nightly=leases.RENEW_SECONDS))
    async with open_database_proxy(database) as proxy:
        settings = make_settings(service, tmp_path, journal=url_of(proxy.address))
        settings = settings.model_copy(update={"api_key": SecretStr(SERVICE_KEY)})
        async with open_team_server(settings) as server:
            team = Team(server.url, server.app, settings)
            async with team.client() as client:
                started = said(await client.call_tool("start_stream", {"include": []}))
            await push(team, started["stream_id"], 1)
            (session,) = service.recorder.sessions
            await wait_until_received(service, 1)
            engine = server.app.tenants._engine
            assert engine
            await proxy.cut()
            await until(lambda: not engine.lease.lets_send(engine.lease.name))
            assert engine.lease.seconds_left < leases.LEASE_SECONDS
            await push(team, started["stream_id"], 2)  # accepted, and held
            await proxy.refused.wait()
            if IS_LONG:
                await anyio.sleep(30)
            assert len(session.segments) == 1
            assert session.end is None
            proxy.restore()
            await wait_until_received(service, 2)
            async with team.client() as client:
                ended = said(
                    await client.call_tool(
                        "end_stream", {"stream_id": started["stream_id"], "wait_s": 25}
                    )
                )
            assert ended["ended"]
    assert len(service.recorder.sessions) == 1
    report("T3", FILE, "cut from the database alone: media is held, the session goes on")


def url_of(address: str) -> str:
    """An address of a database as a setting has it."""
    facts = conninfo_to_dict(address)
    place = f"{facts['user']}@{facts['host']}:{facts['port']}/{facts['dbname']}"
    return f"postgresql://{place}?options={quote(str(facts['options']))}"


async def push(team: Team, stream_id: str, number: int) -> None:
    async with team.http() as http:
        answer = await http.put(f"/streams/{stream_id}/segments/{number}", content=segment(number))
    assert answer.json()["ih_mcp"]["accepted"]


async def wait_until_received(service: RunningStandin, count: int) -> None:
    await until(lambda: len(service.recorder.sessions[0].segments) >= count)
