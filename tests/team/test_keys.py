"""T8: a key is nowhere but in the connection that it is for.

Two tenants with keys of their own have streams, analyses and tokens at two replicas that pass calls
on. Then everything is looked through that was written down or carried: the database, its log of
changes, files, standard error, metrics, traces, answers, and what the replicas said to each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from ih_mcp.http_server.callers import hash_key
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.leaks import KEY as SERVERS_KEY
from tests.leaks import forms
from tests.plain_http import plain_http
from tests.reliability.budget import often, report
from tests.reliability.replicas import Fleet, Replica, call, open_fleet, segment

from .recording import RecordingRelay, open_relay, reserved_port
from .test_traces import Collector, open_collector, sent_to

psycopg = pytest.importorskip("psycopg", reason="the extra `team` is not installed")
pytest.importorskip("prometheus_client")
pytestmark = pytest.mark.timeout(120)


CHANGES = "the database's log of changes"


@dataclass(frozen=True)
class Party:
    """A tenant, its only caller, and the key that pays for it."""

    tenant: str
    bearer: str
    key: str
    variable: str

    @property
    def row(self) -> str:
        return f"""
[tenants.{self.tenant}]
api_key_variable = "{self.variable}"
[[tenants.{self.tenant}.callers]]
name = "one"
key_sha256 = "{hash_key(self.bearer)}"
scopes = ["ih:use", "ih:token"]
"""


PARTIES = (
    Party("acme", "ihc_aC7me+x~Qp4.Lw9Zr2", "ih_test_aC3me+d~K8y.2vQ6w1Xc", "ACME_KEY"),
    Party("beta", "ihc_bE5ta+v~Ts8.Nd3Hk6", "ih_test_bE9ta+f~M4z.7uR1s5Yb", "BETA_KEY"),
)


def pattern_of(*keys: str) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(form) for key in keys for form in forms(key)))


@dataclass
class Surroundings:
    """Two replicas, and all that stands around them."""

    replicas: list[Replica]
    admins: list[str]
    between: list[RecordingRelay]
    """Before the address of each replica that the other one calls."""
    upstream: RecordingRelay
    collector: Collector
    keys: str

    @asynccontextmanager
    async def client(self, place: int, party: Party) -> AsyncIterator[tuple[Client, Any]]:
        headers = {"Authorization": f"Bearer {party.bearer}"}
        headers |= {"X-Interhuman-Key": party.key} if self.keys == "caller" else {}
        url = self.replicas[place].url
        async with plain_http(base_url=url, headers=headers) as http:
            transport = streamable_http_client(f"{url}/mcp", http_client=http)
            async with Client(transport, mode="auto") as client:
                yield client, http


@asynccontextmanager
async def opened(
    keys: str, ffmpeg: Ffmpeg, database: str, folder: Path
) -> AsyncIterator[Surroundings]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serve(Options(), ffmpeg=ffmpeg))
        port = urlsplit(service.url).port or 0
        upstream = await stack.enter_async_context(open_relay(lambda: port))
        collector, collector_url = await stack.enter_async_context(open_collector())
        fleet = await stack.enter_async_context(open_fleet(upstream.url, database, folder))
        found = Surroundings([], [], [], upstream, collector, keys)
        rows = "".join(party.row for party in PARTIES)
        if keys == "caller":
            rows = re.sub("api_key_variable = .*", "", rows)
        (folder / "callers.toml").write_text(rows)
        for _ in range(2):
            await _start(stack, fleet, found, collector_url)
        yield found
        for replica in found.replicas:
            replica.process.terminate()
            with anyio.fail_after(60):
                assert await replica.end() == 0


async def _start(stack: AsyncExitStack, fleet: Fleet, found: Surroundings, traces: str) -> None:
    cluster, admin = (stack.enter_context(reserved_port()) for _ in range(2))
    relay = await stack.enter_async_context(open_relay(lambda: cluster))
    found.between.append(relay)
    found.admins.append(f"http://127.0.0.1:{admin}")
    paid = {party.variable: party.key for party in PARTIES} if found.keys == "tenant" else {}
    found.replicas.append(
        await fleet.start(
            **paid,
            IH_MCP_KEYS=found.keys,
            IH_MCP_CLUSTER_LISTEN=f"127.0.0.1:{cluster}",
            IH_MCP_ADDRESS=relay.url,
            IH_MCP_ADMIN_LISTEN=f"127.0.0.1:{admin}",
            IH_MCP_LOG_FORMAT="json",
            **sent_to(traces),
        )
    )


async def do_all(around: Surroundings, party: Party, clip: Path) -> list[str]:
    """Every kind of call that uses the key, and those that are passed on; gives the answers."""
    answers = list[str]()
    async with (
        around.client(0, party) as (client, http),
        around.client(1, party) as (other, http_of_other),
    ):
        stream_id = (await call(client, "start_stream", include=[]))[0]["stream_id"]
        for number, each in enumerate((http, http_of_other, http_of_other), 1):
            path = f"/streams/{stream_id}/segments/{number}"
            put = await each.put(path, content=segment(number))
            assert put.is_success, put.text
            answers.append(put.text)
        video = await anyio.Path(clip).read_bytes()
        assert (await http.put("/files/talk.mp4", content=video)).is_success
        began, _ = await call(client, "analyze_file", path="talk.mp4")
        analysis = {"analysis_id": began["analysis_id"]}
        while (await call(other, "get_analysis", wait_s=20, **analysis))[0]["state"] != "ended":
            pass
        for tool, arguments in (
            ("create_token", {}),
            ("configure_stream", {"stream_id": stream_id, "include": []}),
            ("check_setup", {}),
            ("upload_file", {"name": "b.mp4"}),
            ("list_streams", {}),
            ("end_stream", {"stream_id": stream_id}),
            ("poll_events", {"stream_id": stream_id, "wait_s": 20}),
        ):
            at = client if tool == "create_token" else other
            answers += map(str, await call(at, tool, **arguments))
        refused = await other.call_tool("push_segment", {"stream_id": stream_id, "seq": "x"})
        answers.append(str(refused))
    return answers


def rows_of(database: str) -> Iterator[bytes]:
    """Every row of every table, as its owner reads it once row security does not bind it."""
    with psycopg.connect(database, autocommit=True) as connection:
        named = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        for (table,) in connection.execute(named).fetchall():
            connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            for row in connection.execute(f"SELECT * FROM {table}").fetchall():  # noqa: S608 - its own
                for value in row:
                    yield value if isinstance(value, bytes) else str(value).encode()


def files_of(folder: Path) -> list[bytes]:
    return [
        path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".mp4"
    ]


class ChangeLog:
    """What the server of the database wrote into its log of changes since `begin`."""

    def __init__(self, server: str) -> None:
        self._admin = server.replace("ih@", "postgres:@")
        self._begun = ""

    @property
    def can_be_read(self) -> bool:
        return "IH_MCP_TEST_DSN" not in os.environ  # whose user may not

    def begin(self) -> None:
        if self.can_be_read:
            with psycopg.connect(self._admin, autocommit=True) as connection:
                (self._begun,) = connection.execute("SELECT pg_current_wal_lsn()").fetchone()

    def read(self) -> bytes:
        if not self.can_be_read:
            return b""
        with psycopg.connect(self._admin, autocommit=True) as connection:
            found = connection.execute(
                "SELECT pg_read_binary_file('pg_wal/' || name) FROM pg_ls_waldir() "
                "WHERE name >= pg_walfile_name(%s) AND name <= pg_walfile_name("
                "pg_current_wal_lsn()) ORDER BY name",
                (self._begun,),
            )
            return b"".join(bytes(part) for (part,) in found)


@pytest.mark.parametrize("keys", often(["tenant"], nightly=["tenant", "caller"]))
async def test_t8_a_key_is_nowhere_but_in_the_connections_it_is_for(
    keys: str,
    ffmpeg: Ffmpeg,
    postgres_server: str,
    database: str,
    tmp_path: Path,
    short_clip: Path,
) -> None:
    changes = ChangeLog(postgres_server)
    await to_thread.run_sync(changes.begin)
    answers, metrics = list[str](), list[str]()
    async with opened(keys, ffmpeg, database, tmp_path) as around:
        for party in PARTIES:
            answers += await do_all(around, party, short_clip)
        async with plain_http() as http:
            metrics = [(await http.get(f"{admin}/metrics")).text for admin in around.admins]
    between = [bytes(each) for relay in around.between for each in relay.connections]
    places: dict[str, list[bytes]] = {
        "rows of the database": list(await to_thread.run_sync(lambda: list(rows_of(database)))),
        CHANGES: [await to_thread.run_sync(changes.read)],
        "files, standard error among them": await to_thread.run_sync(files_of, tmp_path),
        "answers": [each.encode() for each in answers],
        "metrics": [each.encode() for each in metrics],
        "traces": around.collector.bodies,
        "calls that were passed on": between,
    }
    sought = pattern_of(
        SERVERS_KEY, *(word for each in PARTIES for word in (each.key, each.bearer))
    )
    for place, parts in places.items():
        assert any(parts) or (place == CHANGES and not changes.can_be_read), place
        assert not [found for part in parts if (found := sought.search(part))], place
    assert b"ih_streams" in places["metrics"][0]
    assert b"configure_stream" in b"".join(between)
    assert b"ih_mcp.audit" in b"".join(places["files, standard error among them"])
    _look_upstream(around)
    carried = sum(len(part) for parts in places.values() for part in parts)
    figure = f"keys of 2 tenants, {len(places)} kinds of places, {carried >> 20} MiB: in none"
    report("T8", "test_keys.py", f"IH_MCP_KEYS={keys}: {figure}")


def _look_upstream(around: Surroundings) -> None:
    """Each connection to the service has the key of one tenant, and no bearer of a caller."""
    bearers = pattern_of(SERVERS_KEY, *(party.bearer for party in PARTIES))
    counts = dict.fromkeys(PARTIES, 0)
    for carried in around.upstream.connections:
        assert not bearers.search(carried)
        found = [party for party in PARTIES if pattern_of(party.key).search(carried)]
        assert len(found) <= 1
        for party in found:
            counts[party] += 1
    assert min(counts.values()) >= 3  # a session, an upload, a token
