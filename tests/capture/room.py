"""Server and stand-in of one test of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ih_mcp.app.runtime import Runtime, StreamOptions, open_runtime
from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.serve import page_server_of
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.faults.script import Script
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import RunningStandin, serve
from ih_mcp.streams.stream import Stream
from tests.reliability.proxy import Proxy, open_proxy
from tests.standin.fakes import open_idle


@dataclass
class Room:
    """Server and stand-in of one test."""

    runtime: Runtime
    server: PageServer
    standin: RunningStandin
    proxy: Proxy | None = None
    """Between server and stand-in, where one was asked for."""

    async def start(self, api: str = "v1") -> Stream:
        stream = await self.runtime.start_stream(StreamOptions(api=api))
        await stream.wait_until_open()
        return stream

    async def messages(self, stream: Stream) -> list[str | bytes]:
        page = await self.runtime.journal.read_page(stream.id, 0, limit=10_000, max_chars=10**8)
        return [entry.body for entry in page.entries]

    def wire(self, session: int = 0) -> list[tuple[int, str]]:
        """Size and hash of each segment the stand-in received."""
        return self.standin.recorder.sessions[session].segments


OpenRoom = Callable[..., AbstractAsyncContextManager[Room]]


@pytest.fixture
def open_room(ffmpeg: Ffmpeg, tmp_path: Path) -> OpenRoom:
    """Start a stand-in with the JSON steps of a script, and a server on it with these settings.

    With `decodes=False` the stand-in takes segments without looking at their media.
    """

    @asynccontextmanager
    async def start(
        *steps: object, proxied: bool = False, decodes: bool = True, **settings: object
    ) -> AsyncIterator[Room]:
        async with AsyncExitStack() as stack:
            options = Options(script=Script.parse(list(steps)))
            decoder = None if decodes else open_idle
            serving = serve(options, ffmpeg=ffmpeg, open_decoder=decoder)
            standin = await stack.enter_async_context(serving)
            proxy = await stack.enter_async_context(open_proxy(standin.url)) if proxied else None
            values: dict[str, object] = {
                "endpoint": proxy.url if proxy else standin.url,
                "api_key": "ih_test_key",
                "data_dir": tmp_path / "data",
            }
            found = read_settings(**{**values, **settings})
            runtime = await stack.enter_async_context(open_runtime(found))
            yield Room(runtime, await page_server_of(runtime), standin, proxy)

    return start
