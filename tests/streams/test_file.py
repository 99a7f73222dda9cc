"""A file into a stream: with a real file and ffmpeg, and a service in memory."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import imageio_ffmpeg
import pytest
from rich.console import Console

from ih_mcp.cli.stream import print_held_segments
from ih_mcp.journal import Journal, open_journal
from ih_mcp.media.cutter import Segment
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.outbox import RandomAccessPoint
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.sources.file import RAW_HERTZ, FileSource, queued_segment, send_file
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1, V2
from ih_mcp.wire.messages import Config, Reading, Ready, pcm_format
from tests.media.sample_files import SampleFolder

from .test_legs import Services


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with open_journal(tmp_path / "journal") as opened:
        yield opened


@pytest.fixture
async def source(ffmpeg: Ffmpeg, dialogue: Path) -> FileSource:
    return FileSource(dialogue, await probe(ffmpeg, dialogue), ffmpeg)


@asynccontextmanager
async def feeding(
    journal: Journal,
    services: Services,
    source: FileSource,
    pace: PaceName = PaceName.FAST,
    *,
    drops_nothing: bool = False,
) -> AsyncIterator[Stream]:
    config = Config(audio_format=pcm_format(RAW_HERTZ)) if source.is_raw else Config()
    stream = Stream(
        "st_1",
        StreamConfig(
            dialect=services.dialect,
            base_url="http://h",
            config=config,
            reconnects=True,
            drops_nothing=drops_nothing,
        ),
        log=await journal.begin("st_1", {}),
        opener=services.opener,
        chance=lambda: 0.0,
    )
    fed = anyio.Event()

    async def work() -> None:
        await send_file(stream, source, pace=pace)
        fed.set()

    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            tasks.start_soon(work)
            yield stream
            await fed.wait()  # it sees for itself that it is done
            tasks.cancel_scope.cancel()


async def test_all_of_a_file_is_sent_and_the_stream_ended(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source) as stream:
        first = await services.session(0)
        await first.drain()
        await stream.until(lambda: False)
    assert stream.state.value == "ended"
    assert stream.status().segments == {"completed": 7}
    assert stream.is_sent_whole
    assert stream.media_seconds == pytest.approx(24.7, abs=0.1)


async def test_a_session_in_the_middle_begins_with_a_header_and_no_packet_is_lost(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source, PaceName.AUTO) as stream:
        first = await services.session(0)
        for _ in range(4):
            await first.hear()
        await first.socket.abort()
        second = await services.session(1)
        assert (await second.hear())[4:8] == b"ftyp"
        await second.say(Reading("signal.detected", {"start": 20}))
        await second.drain()
        await stream.until(lambda: False)
    gap = stream.status().to_json()["gaps"][0]  # type: ignore[index]
    assert gap["clock"] == "from_zero"
    assert gap["media_offset_s"] > 9
    counts = stream.status().segments
    assert isinstance(counts, dict)
    assert {"unknown", "completed"} <= counts.keys() <= {"unknown", "completed", "left_out"}
    assert sum(counts.values()) == 7


async def test_its_sound_alone_is_sent_where_samples_are_wanted(
    journal: Journal, source: FileSource
) -> None:
    services = Services(V2)
    raw = FileSource(source.path, source.facts, source.ffmpeg, is_raw=True)
    async with feeding(journal, services, raw) as stream:
        first = await services.session(0)
        await first.drain()
        await stream.until(lambda: False)
    samples = b"".join(data for data in first.heard if isinstance(data, bytes))
    assert len(samples) / 2 / RAW_HERTZ == pytest.approx(24.7, abs=0.1)


async def test_samples_are_cut_as_the_session_declares(
    journal: Journal, source: FileSource
) -> None:
    services = Services(V2)
    raw = FileSource(source.path, source.facts, source.ffmpeg, is_raw=True)
    async with feeding(journal, services, raw) as stream:
        first = await services.session(0, greets=False)
        await first.say(Ready(limits=replace(V2.limits, max_segment_bytes=65_536)))
        await first.drain()
        await stream.until(lambda: False)
    pieces = [data for data in first.heard if isinstance(data, bytes)]
    assert max(map(len, pieces)) <= 65_536
    assert sum(map(len, pieces)) / 2 / RAW_HERTZ == pytest.approx(24.7, abs=0.1)


async def test_a_file_that_cannot_be_read_to_its_end_is_told_and_the_rest_is_drained(
    journal: Journal, source: FileSource, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    data = source.path.read_bytes()
    broken.write_bytes(data[:1_000])
    services = Services()
    wrong = FileSource(broken, source.facts, source.ffmpeg)
    async with feeding(journal, services, wrong) as stream:
        first = await services.session(0)
        await first.drain()
        await stream.until(lambda: False)
    assert stream.failure
    assert stream.status().state == "failed"


async def test_a_stream_that_is_over_before_it_opens_is_fed_nothing(
    journal: Journal, source: FileSource
) -> None:
    services = Services(V1)
    async with feeding(journal, services, source) as stream:
        first = await services.session(0, greets=False)
        await first.socket.close(4003)
        await stream.until(lambda: False)
    assert stream.status().state == "failed"
    assert not first.heard


async def test_what_is_far_ahead_of_the_answers_waits_for_the_next_one(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source, PaceName.AUTO) as stream:
        first = await services.session(0)
        await stream.until(lambda: stream.media_seconds > 14)
        await anyio.sleep(1)  # far longer than the cutting of the rest takes
        assert stream.media_seconds < 24
        await first.say(Reading("signal.detected", {"start": 16, "end": 24}))
        await stream.until(lambda: stream.media_seconds > 24)
        await first.drain()
        await stream.until(lambda: False)
    assert stream.status().segments == {"completed": 7}


async def test_where_nothing_is_dropped_each_segment_waits_for_the_one_before_to_be_read(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source, PaceName.AUTO, drops_nothing=True) as stream:
        first = await services.session(0)
        await stream.until(lambda: len(stream.legs[0].receipts) == 1)
        await anyio.wait_all_tasks_blocked()
        assert len(first.socket.inbox) == 1  # the next one waits, though it may go by its time
        with anyio.fail_after(5):  # its answers are not waited for: there are none; it lasts 24 s
            for _ in range(7):
                await first.hear()
        await first.drain()
        await stream.until(lambda: False)
    assert stream.status().segments == {"completed": 7}


async def test_where_nothing_is_dropped_a_new_session_goes_on_with_what_it_was_not_sent(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source, PaceName.AUTO, drops_nothing=True) as stream:
        first = await services.session(0)
        await first.hear()
        await stream.until(lambda: len(stream.legs[0].receipts) == 2)
        await first.socket.abort()  # before it was read
        second = await services.session(1)
        await second.drain()
        await stream.until(lambda: False)
    counts = stream.status().segments
    assert isinstance(counts, dict)
    assert counts["unknown"] == 2  # the other one was read, and has no answer
    assert sum(counts.values()) == 7


async def test_a_stream_that_is_ended_meanwhile_is_fed_no_further(
    journal: Journal, source: FileSource
) -> None:
    services = Services()
    async with feeding(journal, services, source, PaceName.REALTIME) as stream:
        first = await services.session(0)
        await stream.wait_until_open()
        stream.request_end()
        await first.drain()
        await stream.until(lambda: False)
    assert stream.status().state == "ended"
    assert not stream.is_sent_whole


@pytest.fixture
def sample(tmp_path: Path) -> SampleFolder:
    return SampleFolder(imageio_ffmpeg.get_ffmpeg_exe(), tmp_path.resolve())


async def made_of(ffmpeg: Ffmpeg, sample: SampleFolder, name: str) -> FileSource:
    path = sample(name)
    return FileSource(path, await probe(ffmpeg, path), ffmpeg)


async def test_a_jump_of_the_clock_is_told_and_places_in_the_file_stay_true(
    journal: Journal, ffmpeg: Ffmpeg, sample: SampleFolder
) -> None:
    source = await made_of(ffmpeg, sample, "jumps")
    services = Services()
    async with feeding(journal, services, source, PaceName.AUTO) as stream:
        first = await services.session(0)
        for _ in range(4):  # all of it: it is not held for ten hours
            await first.hear()
        await first.socket.abort()
        await stream.until(lambda: False)
    record = stream.status().to_json()
    assert record["media_seconds"] == pytest.approx(12.0, abs=0.2)
    jumps = record["clock_jumps"]
    assert isinstance(jumps, list)
    assert len(jumps) == 1
    jump = jumps[0]
    assert jump["at_s"] == pytest.approx(6.0, abs=0.15)
    assert jump["left_out_s"] == pytest.approx(36_000.0, abs=0.2)
    assert "jumps, first at 6" in stream.notes()[-1]
    assert stream.place_in_file(3.0) == 3.0
    at = stream.clock_jumps[0].at_seconds
    assert stream.place_in_file(at) == at + stream.clock_jumps[0].seconds
    assert stream.place_in_file(9.0) == pytest.approx(36_009.0, abs=0.2)
    lost = record["lost"]["media_s"][0]  # type: ignore[index]
    assert lost[1] == pytest.approx(36_012.0, abs=0.3)


async def test_a_segment_that_is_held_for_long_is_told_with_until_when(
    journal: Journal, ffmpeg: Ffmpeg, sample: SampleFolder
) -> None:
    source = await made_of(ffmpeg, sample, "slides_silent")
    services = Services(V1)
    async with feeding(journal, services, source, PaceName.REALTIME) as stream:
        first = await services.session(0)
        await stream.until(lambda: stream.held is not None)
        held = stream.status().to_json()["held"]
        assert isinstance(held, dict)
        assert held["from_s"] == 0.0
        assert 38 < held["for_s"] <= 40
        said = io.StringIO()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(print_held_segments, stream, Console(file=said))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert f"at 0.0 s waits for {held['for_s']:.0f} s, until" in said.getvalue()
        wait = datetime.fromisoformat(held["until"]) - datetime.now(UTC)
        assert wait.total_seconds() == pytest.approx(held["for_s"], abs=2)
        stream.request_end()
        await first.drain()
        await stream.until(lambda: False)
    assert stream.held is None
    assert "held" not in stream.status().to_json()


@pytest.mark.parametrize("key_offset", [None, 7])
def test_another_session_can_begin_only_with_a_key_frame(key_offset: int | None) -> None:
    segment = Segment(
        b"media", 1.0, 2.0, headed=False, key_offset=key_offset, has_leading=True, first_seconds=1.5
    )
    queued = queued_segment(segment)
    assert (queued.data, queued.start_seconds, queued.end_seconds) == (b"media", 1.0, 2.0)
    entry = RandomAccessPoint(offset=7, seconds=1.5, is_clean=False)
    assert queued.entry == (entry if key_offset else None)
