"""Many callers of a team's server while replicas are killed: `python -m bench.team_load`.

200 callers for 5 minutes, half of each era of the protocol, through a balancer that gives each
request to the next of three replicas; one is killed each minute, and another one starts. Each
caller polls a stream that is over, so that its answer is known to the byte. No answer may be
wrong, and requests may fail only at a replica that is killed, within a second of its death (on a
busy machine the system takes longer than that from the signal to the end of its connections).
Callers and balancer run on Node: `make hosts` brings it, and `IH_MCP_NODE` names its folder.
`--quick` takes half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from ih_mcp.http_server.callers import hash_key
from ih_mcp.media.ffmpeg.program import find_ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.forked import REAL
from tests.leaks import KEY as SERVICE_KEY
from tests.node import FOLDER, node
from tests.plain_http import plain_http
from tests.postgres import own_schema, running_server
from tests.reliability.budget import report
from tests.reliability.replicas import (
    KEY,
    Replica,
    call,
    open_client,
    open_fleet,
    put_segment,
)

from . import SKIPPED

SCRIPT = Path(__file__).with_name("team_load.mjs")
REPLICAS = 3
MOST_SECONDS_AFTER_A_DEATH = 1.0
_ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def caller_entry(key: str) -> str:
    """An entry of the callers file."""
    named = f'name = "{key.removeprefix("ihc_")}"'
    return f'[[tenants.acme.callers]]\n{named}\nkey_sha256 = "{hash_key(key)}"\n'


def requests_of(tool: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The same call in both eras, as a client sends it."""
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    named = {"clientInfo": {"name": "load", "version": "1"}, "clientCapabilities": {}}
    newest = "2026-07-28"
    meta = {"protocolVersion": newest, **named}
    new = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}
    headers = {
        "mcp-protocol-version": newest,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    call_ = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    return [
        {
            "headers": _ACCEPT | headers,
            "body": json.dumps({**call_, "params": {**params, "_meta": new}}),
        },
        {
            "headers": _ACCEPT | {"mcp-protocol-version": "2025-06-18"},
            "body": json.dumps({**call_, "params": params}),
        },
    ]


async def ended_stream(url: str) -> str:
    async with open_client(url, "auto") as client:
        started, _ = await call(client, "start_stream", include=[])
        stream_id: str = started["stream_id"]
        await put_segment(url, stream_id, 1)
        await call(client, "end_stream", stream_id=stream_id)
        while not (await call(client, "poll_events", stream_id=stream_id, wait_s=20))[0]["ended"]:
            pass
    return stream_id


async def expected_answers(replicas: list[Replica], requests: list[dict[str, Any]]) -> None:
    """Put the answer of each request beside it; all replicas give the same bytes."""
    async with plain_http(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for request in requests:
            answers = [
                await http.post(
                    f"{each.url}/mcp", content=request["body"], headers=request["headers"]
                )
                for each in replicas
            ]
            (request["expected"],) = {answer.text for answer in answers}
            assert all(answer.is_success for answer in answers), answers


def start_callers() -> subprocess.Popen[str]:
    env = {**os.environ, "IH_MCP_NODE": str(FOLDER)}
    pipe = subprocess.PIPE
    return subprocess.Popen([node(), SCRIPT], env=env, stdin=pipe, stdout=pipe, text=True)


class Callers:
    """The program that balances and calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def tell(self, what: object) -> None:
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), (json.dumps(what) + "\n").encode())

    async def hear(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(await to_thread.run_sync(self._process.stdout.readline))
        return found


@dataclass(frozen=True, slots=True)
class Death:
    """Of a replica, by the clock."""

    url: str
    killed_at: float
    dead_at: float

    def explains(self, failed_at: float, url: str) -> bool:
        """Whether a request to this address may fail at this time."""
        end = self.dead_at + MOST_SECONDS_AFTER_A_DEATH
        return url == self.url and self.killed_at <= failed_at <= end


async def kill_one_each(
    seconds: float,
    total: float,
    start: Callable[[], Awaitable[Replica]],
    replicas: list[Replica],
    callers: Callers,
) -> list[Death]:
    """Kill the oldest replica again and again, and start another; gives when."""
    deaths = list[Death]()
    begun = anyio.current_time()
    while anyio.current_time() - begun + seconds < total:
        await anyio.sleep(seconds)
        replicas.append(await start())  # takes its time on a busy machine
        if anyio.current_time() - begun >= total:
            break
        oldest = replicas.pop(0)
        killed_at = time.time()
        oldest.process.kill()
        await oldest.end()
        deaths.append(Death(oldest.url, killed_at, time.time()))
        with suppress(BrokenPipeError):  # it has just ended
            await callers.tell([each.url for each in replicas])
    return deaths


async def run(callers: int, seconds: float, kill_each: float) -> bool:
    ffmpeg = await to_thread.run_sync(find_ffmpeg)
    with (
        running_server() as server,
        own_schema(server) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        async with (
            serve(Options(key=SERVICE_KEY), ffmpeg=ffmpeg) as service,
            open_fleet(service.url, database, Path(folder)) as fleet,
        ):
            keys = [KEY, *(f"ihc_of_caller_{number}" for number in range(callers))]
            file = Path(folder, "many.toml")
            await anyio.Path(file).write_text("".join(map(caller_entry, keys)))
            start = partial(fleet.start, REAL, IH_MCP_CALLERS=str(file))  # which a kill ends itself
            replicas = [await start() for _ in range(REPLICAS)]
            stream_id = await ended_stream(replicas[0].url)
            arguments = {"stream_id": stream_id, "cursor": 0, "wait_s": 0}
            requests = requests_of("poll_events", arguments)
            await expected_answers(replicas, requests)
            asked = {"keys": keys[1:], "requests": requests, "callers": callers, "seconds": seconds}
            with await to_thread.run_sync(start_callers) as process:
                program = Callers(process)
                await program.tell(asked | {"replicas": [each.url for each in replicas]})
                await program.hear()
                deaths = await kill_one_each(kill_each, seconds, start, replicas, program)
                found = await program.hear()
    return judge(found, deaths, callers, seconds)


def judge(found: dict[str, Any], deaths: list[Death], callers: int, seconds: float) -> bool:
    """Print what came of it; gives whether all bounds hold."""
    failed = [(at / 1000, url, how) for at, url, how in found["failed"]]
    late = [(*each, how) for *each, how in failed if not any(one.explains(*each) for one in deaths)]
    right = found["answers"] - found["wrong"]
    print(f"{callers} callers, {seconds:g} s, {len(deaths)} of {REPLICAS} replicas killed in turn")
    print(f"answers    {right} right, {found['wrong']} wrong")
    print(f"failed     {len(failed) - len(late)} at a replica within a second of its death")
    print(f"           {len(late)} else, {found['others']} between callers and balancer")
    for era, each in zip(("2026-07-28", "handshake"), found["latency"], strict=True):
        print(f"{era:<10} p50 {each['p50']} ms, p99 {each['p99']} ms, most {each['max']} ms")
    print(f"callers    {found['late_ms']:.0f} ms at most between two turns of their program")
    for death in deaths:
        print(f"killed     {death.url}, dead after {death.dead_at - death.killed_at:.2f} s")
    for at, url, how in late:
        since = [at - death.dead_at for death in deaths if death.url == url]
        print(f"late       {url}: {how}, after its death: {since}")
    for each in found["example"]:
        print(f"wrong      {each}")
    is_good = not (found["wrong"] or late or found["others"]) and bool(right and deaths)
    figure = (
        f"{callers} callers of both eras, {seconds:g} s, {len(deaths)} kills: {right} right "
        f"answers, {found['wrong']} wrong, {len(failed)} failed, {len(late)} of them elsewhere or "
        "later than a second after a death"
    )
    report("T6", "bench/team_load.py", figure, outcome="ok" if is_good else "failed")
    return is_good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 callers, half a minute, 3 kills")
    quick = parser.parse_args().quick
    if "IH_MCP_NODE" not in os.environ:
        print("skipped: it needs Node; set IH_MCP_NODE to what `make hosts` has made, .venv/node")
        return SKIPPED
    callers, seconds, kill_each = (20, 30.0, 8.0) if quick else (200, 300.0, 60.0)
    return 0 if anyio.run(run, callers, seconds, kill_each) else 1


if __name__ == "__main__":
    sys.exit(main())
