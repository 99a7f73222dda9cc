"""A push is kept whole or not at all: what is refused leaves no byte and changes nothing."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import CallerError, IhMcpError, MediaError, StreamEndedError
from ih_mcp.journal import Journal, open_journal
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.ebml import Id
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.facts import Feeder
from ih_mcp.streams.sources.pushed import NEEDED_BYTES, pushed_source
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V0, V1, V2, Dialect
from ih_mcp.wire.messages import Config, Ready, pcm_format

from .service import Service
from .test_intake import chunks, made
from .test_legs import Services

__all__ = ["made"]  # a fixture

JUNK = [
    b"\0\0\0",  # AAAA as base64; it could only be the beginning of an MP4 stream
    b"\0\0",
    b"AAAA",
    b"hello, this is no video at all",
    b"\0" * 5_000,
    b"\x1aE\xdf\xa3" + b"\0" * 100,
    b"\0\0\0\x18ftypisom" + b"\xff" * 100,
    b"\0\0\0\x08ftyp\0\0\0\x10moov\0\0\0\0\0\0\0\0\0\0\0\x01moof" + bytes(40),
]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(
    journal: Journal,
    dialect: Dialect = V1,
    *,
    config: Config | None = None,
    max_outbox_bytes: int = 1 << 26,
    max_segment_bytes: int = 1 << 26,
) -> AsyncIterator[tuple[Stream, Service]]:
    services = Services(dialect)
    stream = Stream(
        "st_1",
        StreamConfig(dialect=dialect, base_url="http://h", config=config or Config()),
        log=await journal.begin("st_1", {}),
        opener=services.opener,
        max_outbox_bytes=max_outbox_bytes,
    )
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            service = await services.session(0, greets=False)
            if dialect.greets:
                limits = replace(dialect.limits, max_segment_bytes=max_segment_bytes)
                await service.say(Ready(limits=limits))
            yield stream, service
            tasks.cancel_scope.cancel()


async def received(stream: Stream, service: Service) -> list[bytes]:
    """End the stream; gives the media that the service got, segment by segment."""
    stream.request_end()
    got: list[bytes] = []
    while isinstance(item := await service.hear(), bytes):
        got.append(item)
    return got


async def refused(stream: Stream, data: bytes, **options: object) -> IhMcpError:
    before = (
        pushed_source(stream)._intake,
        stream.outbox.segments,
        stream.outbox.bytes,
        stream.media_seconds,
    )
    with pytest.raises(IhMcpError) as error:
        await pushed_source(stream).push(data, **options)  # type: ignore[arg-type] # what a test gives
    after = (
        pushed_source(stream)._intake,
        stream.outbox.segments,
        stream.outbox.bytes,
        stream.media_seconds,
    )
    assert after == before
    return error.value


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
async def test_junk_first_is_refused_at_once_and_the_recording_is_taken_after_it(
    junk: bytes, made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, parts = made
    async with running(journal) as (stream, service):
        for _ in range(2):
            error = await refused(stream, junk)
            assert error.code in {"no_header", "bad_container"}
        for part in parts:
            await pushed_source(stream).push(part)
        assert b"".join(await received(stream, service)) == b"".join(parts)


@pytest.fixture(params=[*JUNK[3:5], b"\0"], ids=["text", "zeros", "zero"])
def junk(request: pytest.FixtureRequest, made: tuple[str, list[bytes]]) -> bytes:
    container, _ = made
    found: bytes = request.param
    if container == "mp4" and found == b"\0":
        pytest.skip("one byte at the beginning of a box may be of one")
    return found


async def test_junk_in_between_is_refused_and_the_next_right_part_is_taken(
    junk: bytes, made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, parts = made
    async with running(journal) as (stream, service):
        for part in parts:
            await pushed_source(stream).push(part)
            await refused(stream, junk)
        assert b"".join(await received(stream, service)) == b"".join(parts)


@pytest.mark.parametrize("name", ["chromium-vp8-1s", "chromium-vp8-250ms", "chromium-mp4-1s"])
@pytest.mark.parametrize("dialect", [V1, V2], ids=lambda dialect: dialect.name)
async def test_a_recorders_later_chunk_first_is_refused_and_nothing_of_it_is_sent(
    name: str, dialect: Dialect, shared_media: Path, journal: Journal
) -> None:
    given = [chunk for chunk in chunks(shared_media, name) if chunk]
    async with running(journal, dialect) as (stream, service):
        assert (await refused(stream, given[2])).code == "no_header"
        for chunk in given:
            await pushed_source(stream).push(chunk)
        assert b"".join(await received(stream, service)) == b"".join(given)


async def test_a_first_chunk_of_one_byte_is_taken(shared_media: Path, journal: Journal) -> None:
    first, second, *_ = chunks(shared_media, "chromium-vp8-250ms")
    assert len(first) == 1
    async with running(journal) as (stream, service):
        assert await pushed_source(stream).push(first) is None
        assert (await refused(stream, b"junk")).code == "no_header"
        assert await pushed_source(stream).push(second) is not None
        assert await received(stream, service) == [first + second]


async def test_a_recorder_that_begins_anew_after_its_first_byte_is_taken(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, parts = made
    whole = b"".join(parts)
    async with running(journal) as (stream, service):
        assert await pushed_source(stream).push(whole[:1]) is None
        assert await pushed_source(stream).push(whole) is not None
        assert pushed_source(stream)._intake.left_out_bytes == 1
        assert await received(stream, service) == [whole]


WHOLE = replace(V0, limits=replace(V0.limits, min_segment_bytes=1))
"""Its segments stand alone; those made here are small."""


async def test_where_segments_stand_alone_a_torn_one_leaves_nothing(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, second, *_) = made
    async with running(journal, WHOLE) as (stream, service):
        assert (await refused(stream, second)).code == "no_header"
        assert await pushed_source(stream).push(header) is None
        await pushed_source(stream).push(first)
        for torn in (second[:-9], second[9:]):
            assert (await refused(stream, torn)).code in {"not_decodable", "bad_container"}
        await pushed_source(stream).push(second)
        assert await service.hear() == header + first
        assert await service.hear() == header + second


async def test_what_the_service_would_find_too_small_is_refused_and_not_left_out_later(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, *_) = made
    async with running(journal, V0) as (stream, _):
        error = await refused(stream, (header + first)[: V0.limits.min_segment_bytes - 1])
        assert error.code == "segment_too_small"
        assert "10_240 at least" in error.what
        assert "left_out" not in str(stream.status().to_json())


async def test_raw_samples_are_kept_whole_or_not_at_all(journal: Journal) -> None:
    config = Config(audio_format=pcm_format(16_000))
    async with running(journal, V2, config=config, max_segment_bytes=50, max_outbox_bytes=100) as (
        stream,
        service,
    ):
        service.client._room = 0  # it takes nothing for now
        await pushed_source(stream).push(b"a" * 50)
        await pushed_source(stream).push(b"b" * 50)
        assert (await refused(stream, b"c" * 51)).code == "segment_too_large"
        assert (await refused(stream, b"c" * 50, seconds=0.05)).code == "outbox_full"
        assert stream.outbox.bytes == 100


async def test_a_push_waits_no_longer_than_asked_also_with_a_header_before_it(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    """There is room for what was pushed, and not for what is made of it."""
    _, (header, first, second, *_) = made
    room = len(header + first) + len(second) + len(header) // 2
    async with running(journal, WHOLE, max_outbox_bytes=room) as (stream, service):
        service.client._room = 0
        await pushed_source(stream).push(header)
        await pushed_source(stream).push(first)
        assert stream.outbox.has_room(len(second))
        started = anyio.current_time()
        error = await refused(stream, second, seconds=0.1)
        assert anyio.current_time() - started < 5
        assert (error.code, error.facts[NEEDED_BYTES]) == ("outbox_full", len(header + second))


async def test_what_is_too_large_with_its_header_is_refused_and_not_left_out_later(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, *_) = made
    most = len(first) + len(header) // 2
    small = replace(WHOLE, limits=replace(WHOLE.limits, max_segment_bytes=most))
    async with running(journal, small) as (stream, _):
        await pushed_source(stream).push(header)
        error = await refused(stream, first)
        assert (error.code, error.facts["bytes"]) == ("segment_too_large", len(header + first))


async def test_a_push_that_waits_while_the_stream_is_ended_leaves_nothing(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, second, *_) = made
    async with running(journal, max_outbox_bytes=len(header) + 1) as (stream, service):
        service.client._room = 0
        await pushed_source(stream).push(header + first)

        async def wait() -> None:
            with pytest.raises(StreamEndedError):
                await pushed_source(stream).push(second)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            stream.request_end()
            service.client._room = 64
            service.socket.moved.notify()
            assert await service.hear() == header + first
            assert await service.hear() == '{"type":"session.close"}'


async def test_a_push_that_is_cancelled_while_it_waits_leaves_nothing(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, second, *_) = made
    async with running(journal, max_outbox_bytes=len(header) + 1) as (stream, service):
        service.client._room = 0
        await pushed_source(stream).push(header + first)
        before = pushed_source(stream)._intake
        with anyio.move_on_after(0.05):
            await pushed_source(stream).push(second)
        assert (pushed_source(stream)._intake, stream.outbox.segments) == (before, 1)


async def test_another_source_does_not_get_in_between(journal: Journal) -> None:
    config = Config(audio_format=pcm_format(16_000))
    async with running(journal, V2, config=config) as (stream, _):
        await pushed_source(stream).push(b"mine", feeder=Feeder.PUSH)
        with pytest.raises(CallerError, match="push_segment gives") as error:
            await pushed_source(stream).push(b"yours", feeder=Feeder.PAGE)
        assert error.value.code == "fed_elsewhere"
        assert error.value.facts["fed_by"] == "push"


def cluster(second: int, size: int = 0) -> bytes:
    """A second of small pictures, the first a key frame; where asked for, a large one too."""
    timestamp = ebml.element(Id.TIMESTAMP, (second * 1_000).to_bytes(4, "big"))
    blocks = b"".join(
        ebml.element(Id.SIMPLE_BLOCK, b"\x81" + ticks.to_bytes(2, "big") + flags + b"picture")
        for ticks, flags in [(0, b"\x80"), *((ticks, b"\x00") for ticks in range(100, 1000, 100))]
    )
    large = ebml.element(Id.SIMPLE_BLOCK, b"\x81\0\x64\0" + bytes(size)) if size else b""
    return ebml.element(Id.CLUSTER, timestamp + blocks + large)


def webm_header() -> bytes:
    declared = ebml.element(Id.TRACK_NUMBER, b"\1") + ebml.element(Id.TRACK_TYPE, b"\1")
    tracks = ebml.element(Id.TRACKS, ebml.element(Id.TRACK_ENTRY, declared))
    segment = Id.SEGMENT.to_bytes(4, "big") + ebml.UNKNOWN
    return ebml.element(Id.EBML, b"") + segment + tracks


async def test_a_jump_in_media_time_is_told_with_its_numbers(journal: Journal) -> None:
    async with running(journal) as (stream, _):
        jumps = []
        for second, header in [
            (0, webm_header()),
            (1, b""),
            (6, b""),
            (7, b""),
            (2, b""),
            (3, b""),
        ]:
            segment = await pushed_source(stream).push(header + cluster(second))
            assert segment
            jumps.append(segment.jump and (segment.jump.from_seconds, segment.jump.to_seconds))
        assert stream.notes()[-1] == (
            "The times of the pushed media jump, first from 1.9 s to 6.0 s, and 1 more time. What "
            "was pushed is sent as it came."
        )
    assert jumps == [None, None, (1.9, 6.0), None, (7.9, 2.0), None]


async def test_media_that_goes_back_is_told_in_the_status(journal: Journal) -> None:
    async with running(journal) as (stream, _):
        for second, header in [(0, webm_header()), (1, b""), (2, b"")]:
            assert await pushed_source(stream).push(header + cluster(second))
            assert not [note for note in stream.notes() if "jump" in note]
        assert await pushed_source(stream).push(cluster(0))
        assert "jump, first from 2.9 s back to 0.0 s. What" in stream.notes()[-1]


@pytest.mark.parametrize("name", ["chromium-vp8-1s", "chromium-mp4-1s", "firefox-vp8-1s"])
async def test_a_recorders_chunks_tell_no_jump(
    name: str, shared_media: Path, journal: Journal
) -> None:
    given = [chunk for chunk in chunks(shared_media, name) if chunk]
    async with running(journal) as (stream, _):
        for chunk in given:
            segment = await pushed_source(stream).push(chunk)
            assert segment is None or segment.jump is None
        again = await pushed_source(stream).push(
            b"".join(given[:2])
        )  # a new recording: its times go on
        assert again
        assert again.jump is None


async def test_a_missing_part_of_a_recording_is_told(
    made: tuple[str, list[bytes]], journal: Journal
) -> None:
    _, (header, first, _, third, _) = made
    async with running(journal) as (stream, _):
        await pushed_source(stream).push(header + first)
        segment = await pushed_source(stream).push(third)
        assert segment
        assert segment.jump
        assert segment.jump.from_seconds == pytest.approx(1, abs=0.15)
        assert segment.jump.to_seconds == pytest.approx(2, abs=0.15)


async def test_looking_at_a_large_segment_holds_no_second_copy_of_it(journal: Journal) -> None:
    size = 20 << 20
    async with running(journal) as (stream, service):
        service.client._room = 0
        await pushed_source(stream).push(webm_header() + cluster(0))
        data = cluster(1, size)
        tracemalloc.start()
        try:
            assert await pushed_source(stream).push(data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 0.25 * size


async def test_a_refused_large_segment_is_let_go(journal: Journal) -> None:
    size = 20 << 20
    async with running(journal) as (stream, _):
        await pushed_source(stream).push(webm_header() + cluster(0))
        tracemalloc.start()
        try:
            data = cluster(1, size) + b"no element"
            error = await refused(stream, data)
            del data
            assert isinstance(error, MediaError)
            error.__traceback__ = None
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < 0.1 * size
