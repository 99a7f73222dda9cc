from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.media_timeline import OpenDecoder
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve

StartStandin = Callable[..., AbstractAsyncContextManager[RunningStandin]]


@pytest.fixture
def standin(ffmpeg: Ffmpeg) -> StartStandin:
    """Start a stand-in with a script, given as the JSON of its steps."""

    @asynccontextmanager
    async def start(
        *steps: object, open_decoder: OpenDecoder | None = None, **options: object
    ) -> AsyncIterator[RunningStandin]:
        set_up = Options(script=Script.parse(list(steps)), **options)  # type: ignore[arg-type]
        async with serve(set_up, ffmpeg=ffmpeg, open_decoder=open_decoder) as running:
            yield running

    return start


# Whatever the API may say one day: unusual spacing, key order, escapes, duplicate keys, numbers,
# types nobody knows, line breaks inside, a very long rationale, and what is no JSON at all.
UNUSUAL = [
    '{"type" :  "signal.detected","data":{ "signal_type":"interest" ,"start":1.0}}',
    '{"data":{"start":1e2,"signal_type":"stress"},"timestamp":"t","type":"signal.detected"}',
    '{"type":"signal.detected","data":{"rationale":"naïve — 眉をひそめる 🙂","start":0}}',
    '{"type":"signal.detected","data":{"rationale":"\\u00e9\\ud83d\\ude42\\u2028","start":0}}',
    '{"type":"signal.updated","type":"signal.ended","data":{"a":1,"a":2},"data":{"b":3}}',
    '{"type":"demo.unknown","nested":[[[{}]]],"n":1.0,"m":1E2,"k":-0.0,"big":1234567890123456789012}',
    '{\n  "type": "engagement.updated",\r\n  "data": {"state": "engaged", "start": 3}\n}',
    '{"type":"signal.ended","data":{"rationale":"' + "x" * 200_000 + '"}}',
    "not json at all",
    "\x1ebegins with the separator",
    '{"no":"type"}',
    "[1,2,3]",
    "\u2028\u2029\ufeff",
    " ",
]


@pytest.fixture
def unusual_steps() -> list[object]:
    return [{"at": "ready", "send": text} for text in UNUSUAL]
