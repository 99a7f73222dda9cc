"""The words of page and server: order, coming back, who sits, who only looks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from ih_mcp.app.runtime import StreamOptions
from ih_mcp.journal import Retention, open_journal
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.sources.pushed import pushed_source

from .page import Page, open_page, open_recorder, redeem
from .room import OpenRoom


@pytest.fixture
def given(shared_media: Path) -> list[bytes]:
    folder = shared_media / "mediarecorder" / "chromium-vp8-keyint3s-3s"
    return [path.read_bytes() for path in sorted(folder.glob("chunk*"))]


async def test_a_page_that_lost_its_connection_goes_on_where_it_was(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room(decodes=False) as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            for seq in (0, 1):
                await page.chunk(given[seq], seq=seq)
            cursor = page.heard[-1].get("cursor", 0)
        async with open_page(room.server, page.key, cursor=cursor) as page:
            await page.hear("welcome")
            assert await page.claim() == {"type": "seated", "recording": "r1", "next_seq": 2}
            again = await page.chunk(given[1], seq=1)  # it could not know that it had arrived
            assert again["type"] == "taken"
            for seq in range(2, len(given)):
                await page.chunk(given[seq], seq=seq)
            await page.say("end")
            with anyio.fail_after(30):
                await stream.until(lambda: False)
        assert sum(size for size, _ in room.wire()) == sum(map(len, given))


async def test_a_chunk_out_of_order_is_refused_and_not_sent(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room(decodes=False) as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            await page.chunk(given[0], seq=0)
            answer = await page.chunk(given[2], seq=2)
            assert (answer["code"], answer["what"]) == ("seq_gap", "chunk 2 came, but 1 is next")
            assert (await page.chunk(given[1], seq=1))["type"] == "taken"


async def test_every_page_is_told_all_messages_and_the_picture(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room() as room:
        stream = await room.start()
        keys = [await redeem(room.server, room.server.link(stream.id)) for _ in range(3)]
        async with open_page(room.server, keys[0]) as early:
            await early.hear("welcome")
            await early.claim()
            for seq, data in enumerate(given):
                await early.chunk(data, seq=seq)
            async with open_page(room.server, keys[1], page="p2") as second:
                await early.say("end")
                with anyio.fail_after(30):
                    await stream.until(lambda: False)
                async with open_page(room.server, keys[2], page="p3") as late:
                    for page in (early, second, late):
                        while not page.drawing().get("ended"):
                            await page.hear("news")
                    texts = await room.messages(stream)
                    assert early.messages() == second.messages() == late.messages() == texts
                    first, other = early.drawing(), late.drawing()
                    for name in ("spans", "engagement", "dropped", "seconds", "messages"):
                        assert first[name] == second.drawing()[name] == other[name], name
                    kinds = [json.loads(text)["type"] for text in texts]
                    assert len(first["spans"]) == kinds.count("signal.detected")


async def test_a_stream_fed_by_a_file_can_only_be_watched(
    open_room: OpenRoom, dialogue: Path
) -> None:
    async with open_room(media_dirs=str(dialogue.parent)) as room:
        stream = await room.runtime.stream_file(str(dialogue), StreamOptions(), pace=PaceName.FAST)
        key = await redeem(room.server, room.server.link(stream.id))
        async with open_page(room.server, key) as page:
            assert (await page.hear("welcome"))["may_record"] is False
            await page.say("claim")
            assert (await page.hear("refused"))["code"] == "view_only"
            while not page.drawing().get("ended"):
                await page.hear("news", seconds=30)
            assert page.messages() == await room.messages(stream)
            assert page.drawing()["source"] == dialogue.name


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "hello", "key": "guess", "page": "p", "cursor": 0}, 4401),
        ({"type": "claim"}, 4401),
        ({"type": "hello"}, 4400),
        ({"type": "hello", "key": "k", "page": "p", "more": 1}, 4400),
        ([], 4400),
    ],
)
async def test_a_page_that_says_something_else_is_let_go(
    first: object, code: int, open_room: OpenRoom
) -> None:
    async with open_room() as room:
        url = room.server.origin.replace("http", "ws", 1) + "/live"
        async with connect(url, origin=room.server.origin) as socket:  # type: ignore[arg-type]
            await socket.send(json.dumps(first))
            with pytest.raises(ConnectionClosedError) as caught:
                await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == code


@pytest.mark.usefixtures("stalled")
async def test_a_full_outbox_is_told_and_nothing_is_lost(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room(max_outbox_bytes=2**20) as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            await stuff(page, given, lambda: page.heard[-1]["type"] == "full")
            assert page.heard[-1]["waiting_bytes"] == stream.outbox.bytes > 0
            assert stream.outbox.bytes <= 2**20


async def test_what_a_page_let_go_of_is_shown_to_all(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room() as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            await page.say("dropped", seconds=2.5)
            await page.chunk(given[0], seq=0)
            while page.drawing().get("lost") != {"let_go_s": 2.5}:
                await page.hear("news")


async def stuff(page: Page, given: list[bytes], is_enough: Callable[[], bool]) -> int:
    """Record until it is enough; gives the number of the next chunk."""
    for seq, data in enumerate(given[:1] + given[1:] * 20):
        await page.say("chunk", recording="r1", seq=seq, at=0.0)
        await page.socket.send(data)
        await page.hear("taken", "full")
        if is_enough():
            return seq + 1
    raise AssertionError("the uplink took everything")


def words_of(page: Page, *kinds: str) -> list[str]:
    return [word["type"] for word in page.heard if word["type"] in kinds]


@pytest.mark.usefixtures("stalled")
async def test_what_is_let_go_of_while_a_chunk_waits_is_told_at_once(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room(max_outbox_bytes=2**20) as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            await stuff(page, given, lambda: page.heard[-1]["type"] == "full")
            for _ in range(10):  # and none of them keeps the server from hearing that it leaves
                await page.say("dropped", seconds=1.5)
            while page.drawing().get("lost") != {"let_go_s": 15.0}:
                await page.hear("news")
            assert words_of(page, "full", "taken")[-1] == "full"
        async with open_page(room.server, page.key, page="p2") as again:
            await again.hear("welcome")
            await again.claim()


@pytest.mark.usefixtures("stalled")
async def test_a_chunk_waits_for_what_other_streams_hold_and_for_others_to_push(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room() as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            seq = await stuff(page, given, lambda: stream.outbox.bytes > 0)
            held = 10**12
            stream.outbox.queued.add(held)
            await page.say("chunk", recording="r1", seq=seq, at=0.0)
            await page.socket.send(given[1])
            await page.hear("full")
            with anyio.fail_after(5):
                async with pushed_source(stream).turn(math.inf):
                    stream.outbox.queued.add(-held)
            assert (await page.hear("taken"))["seq"] == seq
            assert words_of(page, "refused") == []


@pytest.mark.usefixtures("stalled")
async def test_a_page_is_told_also_where_the_room_is_taken_before_its_turn(
    open_room: OpenRoom, given: list[bytes]
) -> None:
    async with open_room() as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            seq = await stuff(page, given, lambda: stream.outbox.bytes > 0)
            source = pushed_source(stream)
            async with source.turn(math.inf):
                await page.say("chunk", recording="r1", seq=seq, at=0.0)
                await page.socket.send(given[1])
                with anyio.fail_after(10):
                    while not source._pushing.statistics().tasks_waiting:  # it saw room
                        await anyio.lowlevel.checkpoint()
                stream.outbox.queued.add(10**12)
            assert (await page.hear("full", "taken"))["type"] == "full"
            stream.outbox.queued.add(-(10**12))
            assert (await page.hear("taken"))["seq"] == seq


@pytest.mark.parametrize("is_live", [False, True])
async def test_a_page_of_a_stream_that_is_not_kept_any_more_is_told_so(
    open_room: OpenRoom, tmp_path: Path, is_live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_room() as room:
        stream = await room.start()
        key = await redeem(room.server, room.server.link(stream.id))
        stream.request_end()
        await stream.until(lambda: False)
        async with open_journal(tmp_path / "data", Retention(max_bytes=0)) as other:
            while await other.list_streams():
                await other.clean_up()
        # It is over for a moment before the process lets it go; both are met here.
        monkeypatch.setattr(room.server, "stream", lambda _: stream if is_live else None)
        async with open_page(room.server, key) as page:
            await page.hear("welcome")
            assert (await page.hear("refused"))["what"] == f"there is no stream {stream.id}"
            await page.say("clock", page=1.0)
            assert (await page.hear("clock"))["page"] == 1.0
