"""What real recorders handed over, chunk by chunk: through the page's socket and push_segment."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.streams.sources.pushed import pushed_source
from ih_mcp.streams.stream import Stream
from tests.reliability.budget import IS_LONG

from .page import open_page, open_recorder, redeem
from .room import OpenRoom, Room

RECORDINGS = [
    "chromium-default-3s", "chromium-vp8-3s", "chromium-vp8-1s", "chromium-vp8-250ms",
    "chromium-vp8-keyint3s-3s", "chromium-vp9-3s", "chromium-av1-3s", "chromium-h264-3s",
    "chromium-mp4-3s", "chromium-mp4-1s", "chromium-vp8-noaudio-3s", "firefox-vp8-1s",
]  # fmt: skip


def chunks(shared_media: Path, name: str) -> list[bytes]:
    return [p.read_bytes() for p in sorted((shared_media / "mediarecorder" / name).glob("chunk*"))]


async def by_page(room: Room, stream: Stream, given: list[bytes]) -> None:
    async with open_recorder(room.server, stream.id) as page:
        for seq, data in enumerate(given):
            answer = await page.chunk(data, seq=seq)
            assert answer["type"] == "taken", answer
        await page.say("end")
        with anyio.fail_after(30):
            await stream.until(lambda: False)


async def by_push(room: Room, stream: Stream, given: list[bytes]) -> None:
    del room
    for data in given:
        await pushed_source(stream).push(data)
    stream.request_end()
    with anyio.fail_after(30):
        await stream.until(lambda: False)


@pytest.mark.one_for_each("name")
@pytest.mark.parametrize("road", [by_page, by_push])
@pytest.mark.parametrize("name", RECORDINGS)
async def test_the_chunks_of_a_recorder_arrive_byte_for_byte(
    name: str, road: object, open_room: OpenRoom, shared_media: Path
) -> None:
    given = chunks(shared_media, name)
    decodes = IS_LONG or name in {
        "firefox-vp8-1s",
        "chromium-mp4-1s",
    }  # others: test_media_timeline
    async with open_room(decodes=decodes) as room:
        stream = await room.start()
        await road(room, stream, given)  # type: ignore[operator]
        wire = room.wire()
        assert stream.failure is None
        cut, at = [], 0
        whole = b"".join(given)
        for size, _ in wire:
            cut.append(hashlib.sha256(whole[at : at + size]).hexdigest())
            at += size
        assert cut == [sha256 for _, sha256 in wire]
        assert at == len(whole)
        assert not [text for text in await room.messages(stream) if '"type": "error"' in str(text)]


async def test_a_torn_chunk_is_refused_where_each_has_to_stand_alone(
    open_room: OpenRoom, shared_media: Path
) -> None:
    given = chunks(shared_media, "chromium-vp8-3s")
    async with open_room() as room:
        stream = await room.start("v0")
        await pushed_source(stream).push(given[0])
        with pytest.raises(MediaError, match="cannot be decoded alone") as caught:
            await pushed_source(stream).push(given[1])
        assert caught.value.code == "not_decodable"
        key = await redeem(room.server, room.server.link(stream.id))
        async with open_page(room.server, key) as page:
            assert (await page.hear("welcome"))["whole"] is True
            await page.claim()
            answer = await page.chunk(given[2], seq=0)
            assert answer["type"] == "refused"
            assert "cannot be decoded alone" in answer["what"]


async def test_a_recording_without_its_beginning_is_refused(
    open_room: OpenRoom, shared_media: Path
) -> None:
    given = chunks(shared_media, "chromium-vp8-3s")
    async with open_room() as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            answer = await page.chunk(given[1], seq=0)
            assert (answer["type"], answer["code"]) == ("refused", "no_header")
            assert "Send every chunk from the first on" in answer["help"]


async def test_of_a_refused_chunk_of_the_page_nothing_is_sent_and_the_right_one_is_taken(
    open_room: OpenRoom, shared_media: Path
) -> None:
    given = chunks(shared_media, "chromium-vp8-250ms")[:4]
    async with open_room() as room:
        stream = await room.start()
        async with open_recorder(room.server, stream.id) as page:
            assert (await page.chunk(given[1], seq=0))["type"] == "refused"
            assert (await page.chunk(b"\0\0\0", seq=0))["code"] == "no_header"
            for seq, data in enumerate(given):
                assert (await page.chunk(data, seq=seq))["type"] == "taken"
                wrong = await page.chunk(bytes(5), seq=seq + 1)
                assert wrong["code"] in {"no_header", "bad_container"}
        stream.request_end()
        with anyio.fail_after(30):
            await stream.until(lambda: False)
        whole, at = b"".join(given), 0
        for size, sha256 in room.wire():
            assert hashlib.sha256(whole[at : at + size]).hexdigest() == sha256
            at += size
        assert at == len(whole)
