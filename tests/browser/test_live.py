"""A person in front of a camera: a real browser, the page, the server, the stand-in.

The default run has the short form; `make test-browser` records longer and everything else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from mcp import Client
from mcp_types import TextContent

from ih_mcp.app.runtime import Runtime
from ih_mcp.mcp_server.server import make_server
from ih_mcp.streams.stream import Stream
from tests.capture.room import OpenRoom, Room

from .conftest import OpenBrowser, Tab, open_tab

IS_LONG = bool(os.environ.get("IH_MCP_LONG_TESTS"))
SECONDS = 30 if IS_LONG else 7
VP8, VP9, MP4 = "video/webm;codecs=vp8,opus", "video/webm;codecs=vp9,opus", "video/mp4"
pytestmark = pytest.mark.timeout(120)
long = pytest.mark.skipif(not IS_LONG, reason="the long form: make test-browser")


async def record(tab: Tab, *, seconds: float) -> None:
    await tab.page.click("#start")
    await tab.says("#said", "Recording")
    await anyio.sleep(seconds)


async def end(tab: Tab, stream: Stream) -> None:
    await tab.page.click("#end")
    await tab.says("#said", "has ended", seconds=30)
    assert stream.is_over
    assert stream.failure is None


async def reached_as_recorded(tab: Tab, room: Room) -> int:
    """Every byte of the recorders is on the wire, in order; gives how many there are."""
    wire = room.wire()
    hashes, left = await tab.recorded([size for size, _ in wire])
    assert hashes == [sha256 for _, sha256 in wire]
    assert left == 0
    return sum(size for size, _ in wire)


async def polled(room: Room, stream: Stream) -> list[str]:
    """What an agent reads of a stream: the blocks of poll_events after ours."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[Runtime]:
        yield room.runtime

    async with Client(make_server(lifespan)) as client:
        arguments = {"stream_id": stream.id, "limit": 200, "max_chars": 500_000}
        result = await client.call_tool("poll_events", arguments)
    return [block.text for block in result.content[1:] if isinstance(block, TextContent)]


@pytest.mark.parametrize(
    "kind", [pytest.param(VP8, id="vp8"), pytest.param(VP9, id="vp9", marks=long),
             pytest.param(MP4, id="mp4", marks=long)],
)  # fmt: skip
async def test_what_a_person_records_arrives_as_recorded_and_is_shown(
    kind: str, open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=kind)
        await record(tab, seconds=SECONDS)
        await end(tab, stream)
        assert await reached_as_recorded(tab, room) > 50_000
        session = room.standin.recorder.sessions[0]
        assert session.billed.seconds >= SECONDS - 1  # decoded and analysed, every second of it
        assert session.dropped.seconds == 0
        shown = await tab.page.eval_on_selector_all(
            "#messages li", "items => items.map((item) => item.textContent)"
        )
        assert shown[::-1] == session.texts == await polled(room, stream)
        assert float((await tab.text("#to-wire")).split()[0]) < 1000
        await tab.went_well()


@long
async def test_each_recording_stands_alone_where_segments_must(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start("v0")
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=max(SECONDS, 11.5))
        await tab.page.click("#end")
        await tab.says("#said", "has ended", seconds=30)
        messages = await room.messages(stream)
        results = [text for text in messages if '"completed"' in str(text)]
        assert len(results) == len(room.wire()) >= 2
        assert not [text for text in messages if '"error"' in str(text)]
        await tab.went_well()


@long
async def test_a_reload_in_the_middle_goes_on_with_a_new_header(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        tab = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(tab, seconds=7)
        before = await tab.page.eval_on_selector_all("#messages li", "items => items.length")
        await tab.page.reload()
        await tab.says("#said", "reloaded and records again")
        await anyio.sleep(4)
        assert (
            await tab.page.eval_on_selector_all("#messages li", "items => items.length") >= before
        )
        assert float((await tab.text("#dropped")).split()[0]) >= 0
        await end(tab, stream)
        hashes, _ = await tab.recorded([])
        assert hashes == []
        wire = room.wire()
        assert len(wire) >= 4  # two before, two after
        assert not [text for text in await room.messages(stream) if '"error"' in str(text)]
        assert room.standin.recorder.sessions[0].billed.seconds >= 8
        await tab.went_well()


async def test_a_refused_camera_is_told_and_can_be_tried_again(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser(allows=False) as context:
        tab = await open_tab(context, room.server.link((await room.start()).id))
        await tab.page.click("#start")
        await tab.says("#trouble", "were not allowed. Allow them")
        assert await tab.page.is_enabled("#start")
        assert room.wire() == []
        await tab.went_well()


async def test_a_missing_camera_is_told(open_browser: OpenBrowser, open_room: OpenRoom) -> None:
    async with open_room() as room, open_browser(has_camera=False) as context:
        tab = await open_tab(context, room.server.link((await room.start()).id))
        await tab.page.click("#start")
        await tab.says("#trouble", "No camera was found. Connect one")
        await tab.went_well()


@long
async def test_two_pages_see_the_same_and_one_records(
    open_browser: OpenBrowser, open_room: OpenRoom
) -> None:
    async with open_room() as room, open_browser() as context:
        stream = await room.start()
        first = await open_tab(context, room.server.link(stream.id), only=VP8)
        await record(first, seconds=4)
        second = await open_tab(context, room.server.link(stream.id), only=VP8)
        await second.says("#receipts", "delivered")
        await second.page.click("#start")
        await second.says("#trouble", "Another page records")
        assert await first.page.is_enabled("#stop")
        await second.page.click("#over")
        await second.says("#said", "Recording")
        await first.says("#said", "Another page records now")
        await anyio.sleep(4)
        await end(second, stream)
        await first.says("#said", "has ended")
        texts = [
            await tab.page.eval_on_selector_all(
                "#messages li", "found => found.map((i) => i.textContent)"
            )
            for tab in (first, second)
        ]
        assert texts[0] == texts[1]
        assert len(texts[0]) == len(await room.messages(stream))
        await first.went_well()
        await second.went_well()


async def test_a_link_works_once(open_browser: OpenBrowser, open_room: OpenRoom) -> None:
    async with open_room() as room, open_browser() as context:
        link = room.server.link((await room.start()).id)
        first = await open_tab(context, link)
        await first.says("#where", "st_")
        assert "#" not in await first.page.evaluate("location.href")
        second = await open_tab(context, link)
        await second.says("#trouble", "This link was used before. Ask for a new link")
