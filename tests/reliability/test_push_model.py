"""Pushes against a model: what arrives is exactly what was kept, once and in order.

Chunks of any size, junk, repeats, gaps, errors, stalls, lost connections and the end, in any
order. The first property runs the tool against a real stand-in, the second a stream against a
service whose connection is stalled, lost and opened again by the test.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver import Context
from mcp_types import TextContent

from ih_mcp.app.runtime import Runtime, StreamOptions, open_runtime
from ih_mcp.errors import IhMcpError
from ih_mcp.journal import open_journal
from ih_mcp.mcp_server import push_tools
from ih_mcp.mcp_server.answers import failure
from ih_mcp.mcp_server.push_tools import PushSegment, push_segment
from ih_mcp.mcp_server.tool import ToolCall
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.socket import Socket
from ih_mcp.settings import read_settings
from ih_mcp.standin.server.serve import RunningStandin, serve
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.sources.pushed import pushed_source
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V2
from ih_mcp.wire.messages import Config, pcm_format
from tests.streams.service import Service
from tests.streams.test_intake import MADE
from tests.streams.test_legs import Services

from .budget import often, report

pytestmark = pytest.mark.timeout(7200 if often(0, nightly=1) else 120)


def examples(short: int) -> settings:
    return settings(
        max_examples=often(short, nightly=1000),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# --- the tool, against the stand-in --------------------------------------------------------------


@dataclass
class Room:
    runtime: Runtime
    standin: RunningStandin
    recordings: dict[str, bytes] = field(repr=False)


@pytest.fixture(scope="module")
async def room(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    recordings = {}
    for name, options in MADE.items():
        source = "-v error -nostdin -f lavfi -i testsrc2=s=64x48:r=10 -t 3"
        words = f"{source} -force_key_frames expr:gte(t,n_forced) {options} pipe:1".split()
        done = subprocess.run([ffmpeg.path, *words], check=True, capture_output=True)  # noqa: ASYNC221 - a test
        recordings[name] = done.stdout
    async with serve(ffmpeg=ffmpeg) as running:
        folder = tmp_path_factory.mktemp("model")
        found = read_settings(
            endpoint=running.url, api_key="ih_test_key", data_dir=folder, media_dirs=str(folder)
        )
        async with open_runtime(found) as runtime:
            yield Room(runtime, running, recordings)


async def tool(room: Room, **arguments: Any) -> dict[str, Any]:
    """What the tool says of a push; of an error its facts."""
    call = ToolCall(PushSegment(**arguments), room.runtime, cast("Context[Any, Any]", None))
    try:
        result = await push_segment(call)
    except IhMcpError as exc:
        result = failure(exc)
    block = result.content[0]
    assert isinstance(block, TextContent)
    said: dict[str, Any] = json.loads(block.text.splitlines()[-1])["ih_mcp"]
    return cast("dict[str, Any]", said.get("error", said))


class Model:
    """What is in the stream, as far as the answers say."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.is_poisoned = False
        """Whether junk was kept: then what is right after it need not be."""

    @property
    def next_seq(self) -> int:
        return len(self.kept) + 1

    def note(self, said: dict[str, Any], data: bytes) -> None:
        if said["kept"] and not said.get("duplicate"):
            self.kept.append(data)
        assert said["next_seq"] == self.next_seq, said
        assert said["stream_id"].startswith("st_")


ACTIONS = ["part", "part", "part", "numbered", "junk", "empty", "repeat", "taken", "gap", "broken"]
junk = st.binary(min_size=2, max_size=40) | st.sampled_from(
    [b"\0\0\0", b"hello world", b"\xff" * 9]
)


@examples(10)
@given(
    name=st.sampled_from(sorted(MADE)),
    sizes=st.lists(st.sampled_from([1, 2, 30, 900, 4_000, 20_000]), min_size=3, max_size=25),
    actions=st.lists(st.sampled_from(ACTIONS), min_size=5, max_size=30),
    rubbish=junk,
)
@example(name="webm", sizes=[1, 4_000, 900], actions=["part", "taken", "part"], rubbish=b"AA")
@example(name="mp4", sizes=[900, 4_000], actions=["junk", "part", "repeat"], rubbish=b"\0\0\0")
async def test_what_arrives_is_what_was_kept_once_and_in_order(
    name: str, sizes: list[int], actions: list[str], rubbish: bytes, room: Room
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push_tools, "_ORDER_SECONDS", 0.01)  # a gap is not filled here
        with anyio.fail_after(30):
            await drive(name, sizes, actions, rubbish, room)
    report("pushes", "test_push_model.py", f"{often(10, nightly=1000)} examples against a model")


async def drive(
    name: str, sizes: list[int], actions: list[str], rubbish: bytes, room: Room
) -> None:
    first = max(sizes[0], 30) if sizes[0] > 1 else 1  # MP4 is not told by two to four zeros
    places = list(accumulate([first, *sizes[1:]], initial=0))
    parts = [room.recordings[name][a:b] for a, b in pairwise(places)]
    parts = [part for part in parts if part]
    stream = await room.runtime.start_stream(StreamOptions(api="v1"))
    await stream.wait_until_open()
    model = Model()
    for action in actions:
        if not stream.is_over:  # junk that was kept may end the session
            await act(action, parts, rubbish, room, stream, model)
    stream.request_end()
    await stream.until(lambda: False)
    session = next(
        each
        for each in room.standin.recorder.sessions
        if each.correlation_id in correlations(stream)
    )
    arrives(b"".join(model.kept), session.segments, is_whole=not model.is_poisoned)


def correlations(stream: Stream) -> set[str]:
    return {leg.session.correlation_id for leg in stream.legs}


def arrives(whole: bytes, segments: list[tuple[int, str]], *, is_whole: bool) -> None:
    at = 0
    for size, digest in segments:
        assert hashlib.sha256(whole[at : at + size]).hexdigest() == digest
        at += size
    rest = len(whole) - at
    assert rest >= 0
    assert not is_whole or rest < 12, "only too little to tell a container is let go at the end"


async def act(
    action: str, parts: list[bytes], rubbish: bytes, room: Room, stream: Stream, model: Model
) -> None:
    async def give(data: bytes, **more: Any) -> dict[str, Any]:
        text = base64.b64encode(data).decode()
        said = await tool(room, stream_id=stream.id, data_base64=text, **more)
        model.note(said, data)
        return said

    match action:
        case "part" | "numbered" if parts:
            said = await give(parts[0], **({"seq": model.next_seq} if action == "numbered" else {}))
            assert said["kept"] or model.is_poisoned, said
            if said["kept"]:
                parts.pop(0)
        case "junk":
            said = await give(rubbish)
            assert not (said["kept"] and not model.kept)
            model.is_poisoned |= said["kept"]
        case "empty":
            assert (await give(b""))["code"] == "empty_file"
        case "repeat" if model.kept:
            said = await give(model.kept[-1], seq=model.next_seq - 1)
            assert said["duplicate"] is True
        case "taken" if model.kept:
            said = await give(model.kept[-1] + b"more", seq=model.next_seq - 1)
            assert (said["code"], said["kept"]) == ("seq_taken", False)
        case "gap":
            said = await give(rubbish, seq=model.next_seq + 1)
            assert (said["code"], said["expected_seq"]) == ("seq_gap", model.next_seq)
        case "broken":
            said = await tool(room, stream_id=stream.id, data_base64="no base64!")
            model.note(said, b"")
            assert said["code"] == "bad_base64"
        case _:
            pass


# --- a stream, against a service that stalls and is lost ------------------------------------------


class Gated(Services):
    """A service that takes no connection while its gate is shut."""

    def __init__(self) -> None:
        super().__init__(V2)
        self.gate = anyio.Event()
        self.gate.set()

    @asynccontextmanager
    async def opener(self, url: str) -> AsyncIterator[Socket]:
        await self.gate.wait()
        async with super().opener(url) as socket:
            yield socket


class Line:
    """One stream of raw sound, and the service at its other end."""

    def __init__(self, stream: Stream, services: Gated, service: Service) -> None:
        self.stream, self.services, self.service = stream, services, service
        self.kept: list[bytes] = []
        self.heard: list[bytes] = []
        self.is_lost = False

    async def push(self, size: int) -> None:
        data = len(self.kept).to_bytes(2, "big") * (size // 2)
        before = (self.stream.outbox.segments, self.stream.outbox.bytes)
        code = ""
        try:
            await pushed_source(self.stream).push(data, seconds=0.02)
        except IhMcpError as exc:
            code = exc.code
        if not code:
            self.kept.append(data)
            return
        assert code == "outbox_full" or (code == "reconnecting" and self.is_lost)
        assert (self.stream.outbox.segments, self.stream.outbox.bytes) == before

    def stall(self) -> None:
        self.service.client._room = 0

    async def go_on(self) -> None:
        """The service takes all that waits."""
        if self.is_lost:
            return
        self.service.client._room = 64
        self.service.socket.moved.notify()
        while len(self.heard) < len(self.kept):
            if isinstance(item := await self.service.hear(), bytes):  # else the configuration
                self.heard.append(item)

    async def lose(self) -> None:
        if self.is_lost or len(self.services.sessions) > 3:
            return
        await self.go_on()
        self.services.gate = anyio.Event()
        await self.service.socket.abort()
        await self.stream.until(lambda: self.stream.pending_reconnect is not None)
        self.is_lost = True

    async def come_back(self) -> None:
        if self.is_lost:
            self.services.gate.set()
            self.service = await self.services.session(len(self.services.sessions))
            await self.stream.until(lambda: self.stream.pending_reconnect is None)
            self.is_lost = False


steps = st.lists(
    st.sampled_from(["stall", "go_on", "lose", "come_back"])
    | st.sampled_from([2, 20, 50, 60, 90, 100, 102]),
    max_size=25,
)


@examples(30)
@given(steps=steps)
@example(steps=["lose", 20, 20, 20, "come_back", 20])
@example(steps=["stall", 60, 60, "go_on", 60])
async def test_stalls_and_lost_connections_neither_lose_nor_double_what_was_kept(
    steps: list[str | int],
) -> None:
    services = Gated()
    with TemporaryDirectory() as folder:
        async with open_journal(Path(folder)) as journal:
            stream = Stream(
                "st_1",
                StreamConfig(
                    dialect=V2,
                    base_url="http://h",
                    config=Config(audio_format=pcm_format(16_000)),
                    reconnects=True,
                ),
                log=await journal.begin("st_1", {}),
                opener=services.opener,
                max_outbox_bytes=100,
                chance=lambda: 0.0,
            )
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(stream.run)
                    line = Line(stream, services, await services.session(0))
                    await stream.wait_until_open()
                    for step in steps:
                        if isinstance(step, int):
                            await line.push(step)
                        elif step == "stall":
                            line.stall()
                        else:
                            await getattr(line, step)()
                    await line.come_back()
                    await line.go_on()
                    tasks.cancel_scope.cancel()
    assert line.heard == line.kept
