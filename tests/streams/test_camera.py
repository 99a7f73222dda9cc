from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from ih_mcp.journal import open_journal
from ih_mcp.media.camera import RecordingEnd, record
from ih_mcp.media.cutter import Segment
from ih_mcp.media.ffmpeg import commands
from ih_mcp.media.ffmpeg.devices import read_inputs
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.sources.camera import (
    MAX_WAITING_SECONDS,
    CameraSource,
    NewestSegments,
    send_camera,
)
from ih_mcp.streams.stream import Stream
from ih_mcp.wire.dialects import V1

from .service import Service


def segment(number: int, *, headed: bool = False) -> Segment:
    start = 3.0 * number
    return Segment(
        b"x", start, start + 3, headed, key_offset=0, has_leading=False, first_seconds=start
    )


def test_the_oldest_goes_for_the_newest_and_how_much_is_told() -> None:
    waiting = NewestSegments(max_seconds=6)
    assert [waiting.put(segment(n)) for n in range(4)] == [0, 0, 3, 3]
    assert [waiting.pop_oldest().start_seconds, waiting.pop_oldest().start_seconds] == [6, 9]


def test_the_one_with_the_header_stays() -> None:
    waiting = NewestSegments(max_seconds=6)
    gone = [waiting.put(segment(n, headed=n == 0)) for n in range(4)]
    assert gone == [0, 0, 3, 3]
    assert [waiting.pop_oldest().start_seconds, waiting.pop_oldest().start_seconds] == [0, 9]


def test_one_segment_may_wait_however_long_it_is() -> None:
    waiting = NewestSegments(max_seconds=1)
    assert waiting.put(segment(0)) == 0


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_sends_waits_for_the_next_or_the_end(is_first: bool) -> None:
    waiting = NewestSegments()
    heads: list[Segment | None] = []

    async def wait() -> None:
        heads.append(await waiting.head())

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            if is_first:
                waiting.put(segment(0))
            else:
                waiting.complete()
    assert [head is not None for head in heads] == [is_first]


@asynccontextmanager
async def recording(
    folder: Path, ffmpeg: Ffmpeg, service: Service, inputs: str
) -> AsyncIterator[Stream]:
    async with open_journal(folder) as journal:
        log = await journal.begin("st_1", {})
        plan = StreamConfig(dialect=V1, base_url="http://h")
        stream = Stream("st_1", plan, log=log, opener=service.opener)
        camera = CameraSource(inputs=read_inputs(inputs), ffmpeg=ffmpeg)
        fed = anyio.Event()

        async def work() -> None:
            await send_camera(stream, camera)
            fed.set()

        with anyio.fail_after(15):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream.run)
                tasks.start_soon(work)
                yield stream
                await fed.wait()  # it sees for itself that it is done
                tasks.cancel_scope.cancel()


async def test_a_stream_that_never_opens_is_not_recorded_for(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    service = Service()
    async with recording(tmp_path, ffmpeg, service, "-f lavfi -i testsrc2") as stream:
        await service.socket.close(4003)
        await stream.until(lambda: False)
    assert stream.status().state == "failed"


async def test_a_camera_that_is_not_there_fails_the_stream(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    service = Service()
    async with recording(tmp_path, ffmpeg, service, "-f v4l2 -i /dev/video99") as stream:
        await service.greet()
        await service.drain()
        await stream.until(lambda: False)
    assert stream.failure
    assert "/dev/video99" in stream.failure.what


async def test_a_stream_that_is_ended_is_recorded_no_further(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    service = Service()
    async with recording(tmp_path, ffmpeg, service, "-f lavfi -i testsrc2=s=64x48") as stream:
        await service.greet()
        await service.hear()
        stream.request_end()
        await service.drain()
        await stream.until(lambda: False)
    assert stream.status().state == "ended"


async def recorder_of_two_parts(folder: Path, ffmpeg: Ffmpeg) -> Ffmpeg:
    """An ffmpeg that records 4 s, waits until it is asked to end, and then gives the fifth."""
    inputs = read_inputs("-f lavfi -t 5 -i testsrc2=s=64x48:r=5")
    recorded = (await anyio.run_process(commands.recorded(ffmpeg.path, inputs))).stdout
    middle = recorded.rindex(b"moof") - 4
    await anyio.Path(folder / "recorded").write_bytes(recorded)
    program = anyio.Path(folder / "ffmpeg")
    await program.write_text(
        f"#!{sys.executable} -I\n"
        "import pathlib, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        f"recorded = pathlib.Path({str(folder / 'recorded')!r}).read_bytes()\n"
        f"sys.stdout.buffer.write(recorded[:{middle}])\n"
        "sys.stdout.flush()\n"
        "signal.sigwait({signal.SIGINT})\n"
        f"sys.stdout.buffer.write(recorded[{middle}:])\n"
        "sys.exit(255)\n"
    )
    await program.chmod(0o700)
    return replace(ffmpeg, path=str(program))


async def test_when_a_recording_is_ended_all_that_was_recorded_is_sent(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    service = Service()
    recorder = await recorder_of_two_parts(tmp_path, ffmpeg)
    async with recording(tmp_path, recorder, service, "-f v4l2 -i /dev/video0") as stream:
        await service.greet()
        await service.hear()
        asked = [stream.request_end(), stream.request_end()]
        await service.drain()
        await stream.until(lambda: False)
    assert asked == [True, False]
    assert stream.status().state == "ended"
    assert stream.sent_seconds == 5


async def test_an_end_that_is_asked_for_before_the_recorder_runs_is_kept(ffmpeg: Ffmpeg) -> None:
    end = RecordingEnd()
    assert end.request()
    recorded = record(
        read_inputs("-re -f lavfi -i testsrc2=s=64x48:r=5"),
        ffmpeg=ffmpeg,
        limits=V1.limits,
        framing=V1.framing,
        target_seconds=3.0,
        end=end,
    )
    with anyio.fail_after(15):
        assert sum([segment.end_seconds async for segment in recorded]) < 3


async def test_what_a_camera_gives_while_nothing_can_be_sent_goes_but_for_the_newest(
    tmp_path: Path, ffmpeg: Ffmpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    real, gate = service.client.send_segment, anyio.Event()

    async def held(data: bytes, **_: object) -> None:
        await gate.wait()
        await real(data)

    monkeypatch.setattr(service.client, "send_segment", held)
    camera = "-f lavfi -t 45 -i testsrc2=s=64x48:r=5"
    async with recording(tmp_path, ffmpeg, service, camera) as stream:
        await service.greet()
        most = 45 - MAX_WAITING_SECONDS - 3 * V1.target_segment_seconds
        await stream.until(lambda: stream.skipped_seconds >= most)
        gate.set()
        await service.drain()
        await stream.until(lambda: False)
    record = stream.status().to_json()
    sent = [item for item in service.heard if isinstance(item, bytes)]
    assert sent[0][4:8] == b"ftyp"  # the one with the header stayed
    assert stream.media_seconds == 45  # and the newest came
    assert record["segments"] == {"completed": len(sent)}
    assert record["lost"] == {"let_go_s": 45 - 3 * len(sent)}
