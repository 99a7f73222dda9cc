"""What a team's server adds to a call, and how many may wait; rows of `bench.bench_team`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import psycopg
from anyio import to_thread
from mcp import Client
from starlette.datastructures import Headers

from ih_mcp.http_server.bearers import Bearers
from ih_mcp.http_server.oauth import open_oauth
from ih_mcp.http_server.serve import TeamServer, open_team_server
from ih_mcp.media.ffmpeg.program import find_ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from tests.forked import REAL
from tests.http_server.conftest import KEYS, make_settings
from tests.http_server.issuer import AUDIENCE, serve_issuer
from tests.plain_http import plain_http
from tests.reliability.replicas import KEY, Replica, call, open_client, open_fleet, put_segment
from tests.team.rolling import CLUSTER
from tests.team.test_traces import open_collector, sent_to

from .team_load import caller_entry, requests_of
from .team_noop import bare_app

Row = tuple[str, bool]
POLL_ROUNDS, CALLS, CALL_ROUNDS, TOKENS = 15, 100, 5, 2_000
WAITING, REST_SECONDS, MOST_SECONDS = 1_000, 6.0, 120.0
MESSAGES, OBSERVED_ROUNDS = 20_000, 3
LOOKS = 20
FEW_STREAMS, MANY_STREAMS, LIST_ROUNDS = 100, 10_000, 40
_NO_SCRIPT = Script()
_NEVER_SAID = ("BEGIN", "COMMIT", "ROLLBACK", "\nBEGIN")


def rows(database: str) -> Iterator[Row]:
    """Each as a line, and whether it holds."""
    yield from anyio.run(_poll_row, database)
    yield from anyio.run(_noop_rows)
    yield from anyio.run(_token_row)
    yield from anyio.run(_waiting_rows, database)
    yield from anyio.run(_list_row, database)
    yield from anyio.run(_observed_row, database)
    yield from _stdio_row()


@asynccontextmanager
async def _standin(
    *, key: str | None = None, script: Script = _NO_SCRIPT
) -> AsyncIterator[RunningStandin]:
    ffmpeg = await to_thread.run_sync(find_ffmpeg)
    async with serve(Options(key=key, script=script), ffmpeg=ffmpeg) as service:
        yield service


# --- a poll at another replica -------------------------------------------------------------------

_ANSWER = '{"type":"signal.updated"}'
_ONE_ANSWER = Script.parse([{"at": "segment", "send": _ANSWER}])


async def _poll_row(database: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(_standin(key="ih_k", script=_ONE_ANSWER))
            servers = list[TeamServer]()
            for name in ("owner", "other"):
                settings = make_settings(service, Path(folder, name), journal=database, **CLUSTER)
                servers.append(await stack.enter_async_context(open_team_server(settings)))
            owner, other = (median(each) for each in await _answer_polls(servers))
    text = f"a poll that waits: {owner:.0f} ms, at another replica {other:.0f} ms"
    return [(f"{text}, x {other / owner:.2f}", other <= 1.15 * owner)]


async def _answer_polls(servers: list[TeamServer]) -> list[list[float]]:
    """Milliseconds from a segment until the poll that waits for its message has it, by place.

    It names what it waits for: else one at the owner is answered when the segment has come.
    """
    taken: list[list[float]] = [[] for _ in servers]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_client(s.url, "auto")) for s in servers]
        stream_id = (await call(clients[0], "start_stream", include=[]))[0]["stream_id"]
        asked = {"stream_id": stream_id, "until": ["signal.updated"], "wait_s": 25}

        async def poll(client: Client, cursor: int) -> None:
            _, messages = await call(client, "poll_events", cursor=cursor, **asked)
            assert _ANSWER in messages, messages

        for number in range(1, 2 * POLL_ROUNDS + 1):
            place = number % 2
            read, _ = await call(clients[place], "poll_events", stream_id=stream_id, wait_s=0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(poll, clients[place], read["next_cursor"])
                await _until(lambda: _waiting_polls(servers[place]))  # noqa: B023 - called at once
                begun = time.perf_counter()
                await put_segment(servers[0].url, stream_id, number)
            taken[place].append((time.perf_counter() - begun) * 1e3)
        await call(clients[0], "end_stream", stream_id=stream_id)
    return taken


async def _until(condition: Callable[[], object]) -> None:
    """Wait until it holds, of which nothing tells; what comes of it says if it never did."""
    with anyio.move_on_after(MOST_SECONDS):
        while not condition():  # noqa: ASYNC110 - as above
            await anyio.sleep(0.001)


def _waiting_polls(server: TeamServer) -> int:
    return server.app.limits.waiting_polls


# --- a call that does nothing --------------------------------------------------------------------


@contextmanager
def _server(kind: str, folder: str) -> Iterator[tuple[str, int]]:
    """Its address, and the number of its process."""
    command = [sys.executable, "-m", "bench.team_noop", kind, folder]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def _cpu_seconds(pid: int) -> float:
    """Of a process since its start."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


async def _noop_rows() -> list[Row]:
    """By the processor time of the server, which the load of the machine changes little."""
    found = list[Row]()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        servers = [
            await to_thread.run_sync(stack.enter_context, _server(kind, folder))
            for kind in ("bare", "ours")
        ]
        http = await stack.enter_async_context(
            plain_http(headers={"Authorization": f"Bearer {KEY}"})
        )
        for era, request in zip(
            ("2026-07-28", "handshake"), requests_of("_noop", {"stream_id": "x"}), strict=True
        ):
            taken: list[list[float]] = [[] for _ in servers]
            for _ in range(CALL_ROUNDS):
                for place, (url, pid) in enumerate(servers):
                    begun = _cpu_seconds(pid)
                    await _call_often(http, url, request)
                    taken[place].append((_cpu_seconds(pid) - begun) / CALLS * 1e3)
            bare, ours = (median(each) for each in taken)
            text = f"no-op tool, {era}: {ours:.2f} ms of CPU, a bare SDK app {bare:.2f} ms"
            found.append((f"{text}, x {ours / bare:.2f}", ours <= 1.4 * bare))
    return found


async def _call_often(http: httpx2.AsyncClient, url: str, request: dict[str, Any]) -> None:
    for _ in range(CALLS):
        answer = await http.post(f"{url}/mcp", content=request["body"], headers=request["headers"])
        assert "done" in answer.text, answer.text


async def _token_row() -> list[Row]:
    async with serve_issuer() as issuer:
        settings = read_settings(issuer=issuer.url, audience=AUDIENCE)
        async with open_oauth(settings, "https://team.example") as oauth:
            bearers = Bearers(None, oauth)
            headers = Headers({"authorization": f"Bearer {issuer.token()}"})
            await bearers.find(headers)  # its keys are fetched
            begun = time.process_time()
            for _ in range(TOKENS):
                await bearers.find(headers)
            taken = (time.process_time() - begun) / TOKENS * 1e3
    return [(f"a JWT is checked in {taken:.3f} ms", taken <= 0.3)]


# --- polls that wait -----------------------------------------------------------------------------


class _Statements:
    """What the database is asked by this process, without what begins and ends transactions."""

    def __init__(self) -> None:
        self.count = 0
        self._execute = psycopg.Cursor.execute

    def install(self) -> None:
        statements = self

        def execute(cursor: psycopg.Cursor, query: Any, *given: object, **more: Any) -> object:  # noqa: ANN401 - as psycopg has them
            text = query if isinstance(query, str) else query.as_string(cursor)
            statements.count += not text.startswith(_NEVER_SAID)
            return statements._execute(cursor, query, *given, **more)

        psycopg.Cursor.execute = execute  # type: ignore[method-assign,assignment]  # this process alone


async def _waiting_rows(database: str) -> list[Row]:
    callers = WAITING // 25
    with tempfile.TemporaryDirectory() as folder:
        async with _standin(key="ih_k") as service:
            settings = make_settings(
                service,
                Path(folder),
                journal=database,
                max_calls_per_minute=1_000_000,
                **CLUSTER,
            )
            keys = [f"ihc_of_{number}" for number in range(callers)]
            entries = "".join(caller_entry(key) for key in (KEY, *keys))
            await anyio.Path(folder, "callers.toml").write_text(entries)
            async with open_team_server(settings) as server:
                return await _hold_polls(server, keys, database)


async def _hold_polls(server: TeamServer, keys: list[str], database: str) -> list[Row]:
    statements = _Statements()
    statements.install()
    async with open_client(server.url, "auto") as client:
        stream_id = (await call(client, "start_stream", include=[]))[0]["stream_id"]
        status, _ = await call(client, "poll_events", stream_id=stream_id, wait_s=0)
        asked = {"stream_id": stream_id, "cursor": status["next_cursor"], "wait_s": 25}
        poll, _ = requests_of("poll_events", asked)
        look, _ = requests_of("list_streams", {})
        async with _holding(server.url, poll, keys, lambda: _waiting_polls(server)) as looks:
            alone, beside = await looks(look)
            before = statements.count
            await anyio.sleep(REST_SECONDS)
            at_rest = (statements.count - before) / REST_SECONDS
            held = _waiting_polls(server)
            listening = await to_thread.run_sync(_count_listeners, database)
        await call(client, "end_stream", stream_id=stream_id)
    async with bare_app() as (url, waits):
        wait, _ = requests_of("_wait", {"stream_id": "x"})
        noop, _ = requests_of("_noop", {"stream_id": "x"})
        async with _holding(url, wait, keys, lambda: waits[0]) as looks:
            bare_alone, bare_beside = await looks(noop)
    floor = bare_beside / bare_alone
    text = (
        f"a call beside them {beside:.1f} ms, without them {alone:.1f} ms, x {beside / alone:.2f}"
    )
    return [
        (f"{held} polls wait: {listening} LISTEN, {at_rest:.1f} queries a second at rest",
         held == WAITING and listening == 1 and at_rest <= 2),
        (f"{text}; a bare SDK app of as many calls that sleep x {floor:.2f}",
         beside <= 1.5 * alone),
    ]  # fmt: skip


_Looks = Callable[[dict[str, Any]], Awaitable[tuple[float, float]]]


@asynccontextmanager
async def _holding(
    url: str, request: dict[str, Any], keys: list[str], count: Callable[[], int]
) -> AsyncIterator[_Looks]:
    """While this is open, `WAITING` of these requests wait, each of which is made again and again.

    Gives what times calls, in milliseconds: without them, and beside them.
    """
    own = {"authorization": f"Bearer {KEY}"}
    async with plain_http(headers=own) as http, anyio.create_task_group() as tasks:

        async def looks(look: dict[str, Any]) -> tuple[float, float]:
            await _time_looks(http, url, look)  # warms up
            alone = await _time_looks(http, url, look)
            for number in range(WAITING):
                tasks.start_soon(_ask_for_ever, url, request, keys[number % len(keys)])
            await _until(lambda: count() >= WAITING)
            return alone, await _time_looks(http, url, look)

        yield looks
        tasks.cancel_scope.cancel()


async def _ask_for_ever(url: str, request: dict[str, Any], key: str) -> None:
    """By one connection, without a library: that would cost more than what is measured."""
    place = urlsplit(url)
    named = {"host": place.netloc, "authorization": f"Bearer {key}"}
    named["content-length"] = str(len(request["body"]))
    head = "".join(f"{name}: {value}\r\n" for name, value in (request["headers"] | named).items())
    sent = f"POST /mcp HTTP/1.1\r\n{head}\r\n{request['body']}".encode()
    async with await anyio.connect_tcp(str(place.hostname), place.port or 80) as stream:
        while True:
            await stream.send(sent)
            end = b""
            while not end.endswith(b"0\r\n\r\n"):  # an answer is a stream, in chunks
                end = (end + await stream.receive())[-5:]


async def _time_looks(http: httpx2.AsyncClient, url: str, look: dict[str, Any]) -> float:
    taken = list[float]()
    for _ in range(LOOKS):
        begun = time.perf_counter()
        answer = await http.post(f"{url}/mcp", content=look["body"], headers=look["headers"])
        taken.append((time.perf_counter() - begun) * 1e3)
        assert answer.is_success, answer.text
    return median(taken)


def _count_listeners(database: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        ).fetchone()
    return int(found[0]) if found else 0


# --- the list of streams -------------------------------------------------------------------------


async def _list_row(database: str) -> list[Row]:
    """The newest streams of a tenant that has few, and of one that has many, by turns."""
    counts = {"ann": FEW_STREAMS, "bob": MANY_STREAMS}
    for tenant, count in zip(("acme", "beta"), counts.values(), strict=True):
        await to_thread.run_sync(_keep_streams, database, tenant, count)
    _, look = requests_of("list_streams", {})
    taken: list[list[float]] = [[] for _ in counts]
    with tempfile.TemporaryDirectory() as folder:
        async with _standin(key="ih_k") as service, plain_http() as http:
            settings = make_settings(service, Path(folder), journal=database)
            async with open_team_server(settings) as server:
                for _ in range(LIST_ROUNDS):
                    for place, caller in enumerate(counts):
                        headers = look["headers"] | {"authorization": f"Bearer {KEYS[caller]}"}
                        begun = time.perf_counter()
                        answer = await http.post(
                            f"{server.url}/mcp", content=look["body"], headers=headers
                        )
                        taken[place].append((time.perf_counter() - begun) * 1e3)
                        assert answer.is_success, answer.text
    few, many = (median(each) for each in taken)
    text = f"list_streams, 25 of {FEW_STREAMS}: {few:.1f} ms, of {MANY_STREAMS:_}: {many:.1f} ms"
    return [(f"{text}, x {many / few:.2f}", many <= 1.5 * few)]


def _keep_streams(database: str, tenant: str, count: int) -> None:
    """Streams that are over, as a tenant has them after some weeks; blocks."""
    record = {"state": "ended", "api": "v1", "endpoint": "production", "media_seconds": 60.0}
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("SELECT set_config('ih.tenant', %s, false)", (f"={tenant}",))
        db.execute(
            "INSERT INTO streams(id, tenant, owner, created_at, ended_at, record) "
            "SELECT 'st_' || %(tenant)s || n, %(tenant)s, 'gone', now, now, %(record)s "
            "FROM generate_series(1, %(count)s) AS n, extract(epoch FROM clock_timestamp()) AS now",
            {"tenant": tenant, "count": count, "record": json.dumps(record)},
        )
        db.execute(
            "INSERT INTO usage(tenant, day, endpoint, is_free, stream_id, delivered) "
            "SELECT tenant, '2026-11-01', 'production', 0, id, 60 FROM streams "
            "WHERE tenant = %s",
            (tenant,),
        )
        db.execute("ANALYZE streams, usage")  # as the database does by itself within a minute


# --- metrics and traces --------------------------------------------------------------------------


async def _observed_row(database: str) -> list[Row]:
    text = '{"type":"signal.updated","pad":"' + "x" * 415 + '"}'
    script = Script.parse([{"at": "ready", "send": text, "times": MESSAGES}])
    with tempfile.TemporaryDirectory() as folder:
        async with (
            _standin(script=script) as service,
            open_collector() as (_, collector),
            open_fleet(service.url, database, Path(folder)) as fleet,
        ):
            plain = await fleet.start(REAL)
            watched = await fleet.start(
                REAL,
                IH_MCP_ADMIN_LISTEN="127.0.0.1:0",
                **sent_to(collector),
                OTEL_TRACES_SAMPLER="traceidratio",
                OTEL_TRACES_SAMPLER_ARG="0.01",
            )
            best = [float("inf")] * 2
            for _ in range(OBSERVED_ROUNDS + 1):  # the first one warms up
                for place, replica in enumerate((plain, watched)):
                    best[place] = min(best[place], await _cpu_of_a_flood(replica))
    bare, seen = (each / MESSAGES * 1e6 for each in best)
    said = f"CPU a message {bare:.0f} us, with metrics and traces {seen:.0f} us"
    return [(f"{said}, x {seen / bare:.3f}", seen <= 1.05 * bare)]


async def _cpu_of_a_flood(replica: Replica) -> float:
    """Seconds of CPU of a server until all messages of a stream are kept."""
    begun = _cpu_seconds(replica.process.pid)
    async with open_client(replica.url, "auto") as client:
        stream_id = (await call(client, "start_stream", include=[]))[0]["stream_id"]
        ended = await call(client, "end_stream", stream_id=stream_id, wait_s=25)
        while not ended[0]["ended"]:
            ended = await call(client, "end_stream", stream_id=stream_id, wait_s=25)
        taken = _cpu_seconds(replica.process.pid) - begun
        late = {"stream_id": stream_id, "cursor": MESSAGES, "wait_s": 0}
        assert (await call(client, "poll_events", **late))[0]["ended"]  # so many are kept
    return taken


# --- stdio ---------------------------------------------------------------------------------------

_TEAM = ("ih_mcp.http_server", "ih_mcp.journal.postgres", "psycopg", "prometheus_client", "jwt",
    "opentelemetry.sdk")  # fmt: skip


def _stdio_row() -> list[Row]:
    code = "import sys, ih_mcp.mcp_server.server; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = done.stdout.split()
    ours = [name for name in modules if name.startswith(_TEAM)]
    return [(f"stdio: {len(ours)} of {len(modules)} modules at its start are the team's", not ours)]
