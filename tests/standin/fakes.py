"""A container whose decoding is plain to see, an analyst that does as told, a client in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import anyio.lowlevel

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.net.socket import SocketClosed
from ih_mcp.standin.analysis.analyst import Description, Observation, Observations, Senses
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.credential_store import Grant
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import Recorder, SessionRecord
from ih_mcp.standin.sessions.envelope_session import EnvelopeSession
from ih_mcp.standin.sessions.server_session import SessionRequest
from ih_mcp.wire.dialects import V1, Dialect
from ih_mcp.wire.rest import STREAM_SCOPE, UPLOAD_SCOPE
from tests.memory_socket import MemorySocket, socket_pair

HEADER = b"\x1a\x45\xdf\xa3\n"  # so that it counts as Matroska
HERTZ = 16
STEP = 0.5

Json = dict[str, object]


def toy(
    start: float,
    end: float,
    *,
    header: bool = True,
    pictures: bool = True,
    sound: bool = True,
    level: int = 100,
) -> bytes:
    """Media of a clip from `start` to `end` seconds, as the toy container."""
    lines = []
    at = start
    while at < end:
        if pictures:
            lines.append(json.dumps({"picture": at, "gray": int(at * level) % 251}))
        if sound:
            lines.append(json.dumps({"sound": at, "seconds": min(STEP, end - at), "level": level}))
        at += STEP
    return (HEADER if header else b"") + "".join(f"{line}\n" for line in lines).encode()


class ToyDecoder:
    """Decodes the toy container; `feed` waits while nobody takes the items."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Picture | Sound](0)
        self._rest = b""

    async def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line and line not in HEADER:
                await self._send.send(self._item(line))

    async def finish(self) -> None:
        self._send.close()

    async def __aiter__(self) -> AsyncIterator[Picture | Sound]:
        async for item in self._receive:
            yield item

    def close(self) -> None:
        self._send.close()
        self._receive.close()

    def _item(self, line: bytes) -> Picture | Sound:
        try:
            told = json.loads(line)
        except ValueError:
            raise MediaError("the toy is broken", code="not_media") from None
        if "picture" in told:
            return Picture(told["picture"], 2, 1, bytes([told["gray"], 0]))
        samples = int(told["level"]).to_bytes(2, "little") * round(told["seconds"] * HERTZ)
        return Sound(told["sound"], HERTZ, samples)


@asynccontextmanager
async def open_toy(_: Senses) -> AsyncIterator[ToyDecoder]:
    decoder = ToyDecoder()
    try:
        yield decoder
    finally:
        decoder.close()


class IdleDecoder(ToyDecoder):
    """Takes media of any kind, and in the end gives four seconds of silence."""

    async def feed(self, data: bytes) -> None:
        del data

    async def finish(self) -> None:
        await self._send.send(Sound(0.0, HERTZ, bytes(8 * HERTZ)))
        await super().finish()


@asynccontextmanager
async def open_idle(_: Senses) -> AsyncIterator[IdleDecoder]:
    decoder = IdleDecoder()
    try:
        yield decoder
    finally:
        decoder.close()


DESCRIPTION = Description(
    name="scripted",
    version="1",
    senses=Senses(),
    signals=("agreement", "stress", "engagement"),
    sends_data_away=False,
)


def seen(
    signal_type: str = "agreement", probability: str = "high", rationale: str = "why"
) -> Observation:
    return Observation(signal_type=signal_type, probability=probability, rationale=rationale)


@dataclass
class ScriptedAnalyst:
    """Sees what it is told to see, after as many turns of the loop as it is told to take."""

    sees: Callable[[Window], Observations] = lambda _: Observations(
        signals=[seen()], engagement="engaged"
    )
    random: Random | None = None
    gate: anyio.Event | None = None
    fed: list[Picture | Sound] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    is_closed: bool = False

    def describe(self) -> Description:
        return DESCRIPTION

    async def feed(self, item: Picture | Sound) -> None:
        self.fed.append(item)

    async def observe(self, window: Window) -> Observations:
        self.windows.append(window)
        if self.gate is not None:
            await self.gate.wait()
        for _ in range(self.random.randrange(20) if self.random else 0):
            await anyio.lowlevel.checkpoint()
        return self.sees(window)

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class MemoryClientSocket:
    """The stand-in's end of a pair in memory; frames are none of its business."""

    socket: MemorySocket

    async def receive(self) -> str | bytes:
        return await self.socket.receive()

    async def send_text(self, text: str) -> None:
        await self.socket.send_text(text)

    async def send_frames(self, text: str, max_bytes: int) -> None:
        raise NotImplementedError(max_bytes)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.close(code, reason)

    async def abort(self) -> None:
        await self.socket.abort()


@dataclass
class Client:
    """The other end of a stand-in session, in memory."""

    socket: MemorySocket
    record: SessionRecord
    grant: Grant

    async def say(self, message: Mapping[str, object]) -> None:
        await self.socket.send_text(json.dumps(message))

    async def message(self) -> Json:
        text = await self.socket.receive()
        assert isinstance(text, str)
        told: Json = json.loads(text)
        return told

    async def until(self, kind: str) -> list[Json]:
        """All messages up to the first of this type."""
        messages = [await self.message()]
        while messages[-1].get("type", messages[-1].get("status")) != kind:
            messages.append(await self.message())
        return messages

    async def rest(self) -> tuple[list[Json], SocketClosed]:
        """All messages there are, and how the session was closed."""
        messages = []
        while True:
            try:
                messages.append(await self.message())
            except SocketClosed as closed:
                return messages, closed

    async def end(self) -> tuple[list[Json], SocketClosed]:
        """Ask for the end and read to it."""
        await self.say({"type": "session.close"})
        return await self.rest()


def data(message: Mapping[str, object]) -> Json:
    """The payload of an envelope."""
    payload = message["data"]
    assert isinstance(payload, dict)
    return payload


def kinds(messages: Sequence[Mapping[str, object]]) -> list[object]:
    return [message["type"] for message in messages]


@asynccontextmanager
async def session(
    options: Options | None = None,
    *,
    dialect: Dialect = V1,
    model: str | None = None,
    grant: Grant | None = None,
    room: int = 10_000,
) -> AsyncIterator[Client]:
    """A session of the stand-in whose media are toys; the analyst is told what to see."""
    ours, theirs = socket_pair(room=room)
    grant = grant or Grant(scopes=frozenset({STREAM_SCOPE, UPLOAD_SCOPE}))
    recorder = Recorder()
    record = recorder.begin(dialect.path, "c0ffee", {})
    service = EnvelopeSession(
        MemoryClientSocket(theirs),
        SessionRequest(dialect=dialect, grant=grant, model=model),
        options=options or Options(analyst=ScriptedAnalyst),
        record=record,
        recorder=recorder,
        open_decoder=open_toy,
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.run)
            yield Client(ours, record, grant)
            tasks.cancel_scope.cancel()
