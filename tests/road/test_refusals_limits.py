"""Every limit of a session, every track rule and every cap of a client token, broken by our client.

The cases are those of the tables (`Limits`, `Caps`, the rules of `Dialect`): a new field without a
case fails. docs: stream-analyze v1; skill v2; sdk 1.3.4. What is not published says so here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from ih_mcp.errors import MediaError, ServiceError, TransportError
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.opener import open_socket
from ih_mcp.standin.credential_store import Caps
from ih_mcp.standin.server.serve import RunningStandin
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import QueuedSegment
from ih_mcp.streams.registry import open_registry
from ih_mcp.streams.sources.pushed import pushed_source
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1, V2, Dialect, Limits
from ih_mcp.wire.error_catalog import Retry, find_error
from ih_mcp.wire.messages import Config
from tests.facts import shows
from tests.plain_http import plain_http
from tests.standin.fakes import ScriptedAnalyst, open_toy, toy

from .conftest import StartStandin

pytestmark = pytest.mark.timeout(30)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One limit that is broken, and what follows."""

    segments: Sequence[bytes] = (toy(0, 12),)
    dialect: Dialect = V1
    options: Mapping[str, object] = field(default_factory=dict)
    """Of the stand-in."""
    caps: Mapping[str, object] = field(default_factory=dict)
    """Of the client token."""
    steps: Sequence[object] = ()
    asks_to_end: bool = True
    code: str
    ends: bool
    refused: int = 0
    """Segments that are told as refused."""


_TELLS_MORE = {"type": "session.ready", "extra": {"max_segment_size_bytes": 10**6}}
_OVERSTATED = ({"at": "message", "change": _TELLS_MORE},)
_STRICT = {"strict": True}

LIMITS: Mapping[str, Case] = {
    "max_segment_bytes": Case(
        segments=[bytes(5_100), toy(0, 12)],
        options={"max_segment_bytes": 5_000},
        steps=_OVERSTATED,  # else our client does not send it at all; see below
        code="ih6002",
        ends=False,
        refused=1,
    ),
    "min_segment_seconds": Case(
        segments=[toy(0, 2), toy(0, 12)], options=_STRICT, code="ih5006", ends=False, refused=1
    ),
    "max_idle_seconds": Case(
        options={"max_idle_seconds": 0.3}, asks_to_end=False, code="ih6003", ends=True
    ),
    "max_session_seconds": Case(
        options={"max_session_seconds": 0.5}, asks_to_end=False, code="ih6004", ends=True
    ),
}
NOT_PUBLISHED = {
    "min_segment_bytes": "an empty message; 1 byte is declared",
    "max_segment_seconds": "declared or null; what follows is not told",
}
TRACKS: Mapping[str, Case] = {
    "needs_video": Case(
        dialect=V2,
        segments=[toy(0, 12, pictures=False)],
        options=_STRICT,
        code="ih5001",
        ends=False,
    ),
    "needs_audio": Case(
        dialect=V2, segments=[toy(0, 12, sound=False)], options=_STRICT, code="ih5008", ends=False
    ),
    "header": Case(segments=[b"no container at all"], code="ih5004", ends=False, refused=1),
}
CAPS: Mapping[str, Case] = {
    "max_duration_seconds": Case(
        caps={"max_duration_seconds": 1}, asks_to_end=False, code="ih6004", ends=True
    ),
    "max_bytes": Case(caps={"max_bytes": 1_000}, asks_to_end=False, code="ih3006", ends=True),
    "max_video_seconds": Case(
        caps={"max_video_seconds": 5}, asks_to_end=False, code="ih3006", ends=True
    ),
}
AT_THE_DOOR = {"max_concurrent", "allowed_origins"}
"""Caps that a session never gets as far as; each has a test of its own."""


def test_every_limit_rule_and_cap_has_its_case() -> None:
    assert {*LIMITS, *NOT_PUBLISHED} == {f.name for f in fields(Limits)}
    assert {*CAPS, *AT_THE_DOOR} == {f.name for f in fields(Caps)}
    rules = {f.name for f in fields(Dialect) if f.name.startswith("needs_")}
    assert rules == set(TRACKS) - {"header"}


@asynccontextmanager
async def opened(
    running: RunningStandin, folder: Path, dialect: Dialect, bearer: str
) -> AsyncIterator[tuple[Stream, list[str]]]:
    """A stream of our client, and what it keeps once it is over."""
    kept: list[str] = []
    async with open_journal(folder) as journal, open_registry(journal) as registry:
        plan = StreamConfig(dialect=dialect, base_url=running.url)
        stream = await registry.start(plan, partial(open_socket, bearer=bearer))
        await stream.wait_until_open()
        yield stream, kept
        await stream.until(lambda: False)
        page = await journal.read_page(stream.id, 0, limit=1000, max_chars=10**9)
        kept += [str(entry.body) for entry in page.entries]


async def token(running: RunningStandin, caps: Mapping[str, object]) -> str:
    async with plain_http(base_url=running.url) as client:
        answer = await client.post("/v1/client_tokens", json={"api_key": "ih_test", **caps})
    return str(answer.json()["access_token"])


@shows("limits-have-their-errors")
@pytest.mark.parametrize("name", [*LIMITS, *TRACKS, *CAPS])
async def test_what_breaks_a_limit_is_told_and_kept(
    name: str, standin: StartStandin, tmp_path: Path
) -> None:
    case = {**LIMITS, **TRACKS, **CAPS}[name]
    options = {"analyst": ScriptedAnalyst, **case.options}
    async with standin(*case.steps, open_decoder=open_toy, **options) as running:
        bearer = await token(running, case.caps) if case.caps else "ih_test"
        async with opened(running, tmp_path, case.dialect, bearer) as (stream, kept):
            for segment in case.segments:
                await stream.put(QueuedSegment(segment))
            if case.asks_to_end:
                stream.request_end()
        (session,) = running.recorder.sessions
    assert kept == session.texts
    errors = [json.loads(text)["data"]["code"] for text in kept if '"type": "error"' in text]
    assert set(errors) == {case.code}
    if case.ends:
        known = find_error(case.code)
        assert isinstance(stream.failure, ServiceError)
        assert stream.failure.facts["server_code"] == case.code
        assert stream.failure.retry is (known.retry is not Retry.NEVER)
        assert stream.failure.help == known.advice
    else:
        assert stream.failure is None
        told = stream.status().segments
        assert isinstance(told, dict)
        assert told.get("refused", 0) == case.refused


async def test_a_size_that_is_not_declared_is_not_sent(
    standin: StartStandin, tmp_path: Path
) -> None:
    async with standin(max_segment_bytes=1_000) as running:
        async with opened(running, tmp_path, V1, "ih_test") as (stream, kept):
            with pytest.raises(MediaError, match="takes 1_000 at most") as refused:
                await pushed_source(stream).push(bytes(1_001))
            stream.request_end()
        assert running.recorder.sessions[0].segments == []
    assert refused.value.code == "segment_too_large"
    assert stream.failure is None
    assert kept


async def test_far_above_the_limit_the_connection_is_lost(
    standin: StartStandin, tmp_path: Path
) -> None:
    async with standin(*_OVERSTATED, max_segment_bytes=1_000) as running:
        async with opened(running, tmp_path, V1, "ih_test") as (stream, kept):
            await stream.put(QueuedSegment(bytes(900_000)))
        (session,) = running.recorder.sessions
    assert kept == session.texts
    assert isinstance(stream.failure, TransportError)
    assert (stream.failure.code, stream.failure.retry) == ("connection_lost", True)
    assert session.end == "reset: a message far above the limit"


async def test_a_codec_that_is_not_taken_is_told_and_ends_nothing(
    standin: StartStandin, dialogue: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    encode = ["-t", "4", "-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"]
    command = [ffmpeg.path, "-v", "error", "-i", str(dialogue), *encode, "-f", "mp4", "-"]
    part_2 = (await anyio.run_process(command)).stdout
    async with standin() as running:
        async with opened(running, tmp_path, V1, "ih_test") as (stream, kept):
            await stream.put(QueuedSegment(part_2))
            stream.request_end()
        (session,) = running.recorder.sessions
    assert kept == session.texts
    assert sum("ih5004" in text for text in kept) == 1
    assert stream.failure is None
    assert stream.status().segments == {"refused": 1}


async def test_a_config_that_is_refused_ends_nothing(standin: StartStandin, tmp_path: Path) -> None:
    async with standin(open_decoder=open_toy, analyst=ScriptedAnalyst) as running:
        async with opened(running, tmp_path, V1, "ih_test") as (stream, kept):
            stream.configure(Config(model="inter-2"))  # skill v2: v1 rejects any model
            stream.request_end()
        (session,) = running.recorder.sessions
    assert kept == session.texts
    assert sum("ih6001" in text for text in kept) == 1
    assert stream.failure is None


async def test_a_session_too_many_is_refused_at_the_door(
    standin: StartStandin, tmp_path: Path
) -> None:
    async with standin() as running:
        bearer = await token(running, {"max_concurrent": 1})
        async with opened(running, tmp_path / "a", V1, bearer) as (first, _):
            async with opened(running, tmp_path / "b", V1, bearer) as (second, _):
                pass
            first.request_end()
    assert first.failure is None
    assert isinstance(second.failure, ServiceError)
    assert second.failure.facts["status"] == 429
    assert second.failure.facts["server_code"] == "ih3002"
    assert second.failure.retry is True


async def test_a_page_that_may_not_use_the_token_is_refused(standin: StartStandin) -> None:
    """Our client names no origin; this is what a browser would meet."""
    async with standin() as running:
        bearer = await token(running, {"allowed_origins": ["https://a.example"]})
        url = running.url.replace("http", "ws", 1) + V1.path
        with pytest.raises(InvalidStatus) as refused:
            async with connect(
                url,
                subprotocols=[Subprotocol("access_token"), Subprotocol(bearer)],
                origin=Origin("https://b.example"),
            ):
                pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["error_id"] == "ih2003"
