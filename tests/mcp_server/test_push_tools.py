"""What a caller of `push_segment` reads: what was kept, what is next, and what helps."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import TextContent

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.errors import CallerError
from ih_mcp.mcp_server import push_tools
from ih_mcp.mcp_server.push_tools import PushSegment, _decode_or_read
from ih_mcp.mcp_server.server import make_server
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.settings import read_settings
from ih_mcp.standin.server.serve import RunningStandin, serve
from ih_mcp.streams.sources import pushed as pushes
from ih_mcp.streams.stream import Stream
from tests.streams.test_all_or_nothing import cluster, webm_header


@dataclass
class Caller:
    client: Client
    runtime: Runtime
    folder: Path

    async def call(self, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
        """The text of an answer, and our status or the facts of an error."""
        result = await self.client.call_tool(tool, arguments)
        block = result.content[0]
        assert isinstance(block, TextContent)
        said = json.loads(block.text.splitlines()[-1])["ih_mcp"]
        return block.text, said.get("error", said)

    async def push(self, stream_id: str, data: bytes, **more: Any) -> tuple[str, dict[str, Any]]:
        path = anyio.Path(self.folder / "segment.webm")
        await path.write_bytes(data)
        return await self.call("push_segment", stream_id=stream_id, path=str(path), **more)

    async def start(self) -> tuple[str, Stream]:
        _, said = await self.call("start_stream", include=[])
        return said["stream_id"], self.runtime.registry.live(said["stream_id"])


@pytest.fixture(scope="module")
async def running(ffmpeg: Ffmpeg) -> AsyncIterator[RunningStandin]:
    async with serve(ffmpeg=ffmpeg) as opened:
        yield opened


@pytest.fixture
async def caller(running: RunningStandin, tmp_path: Path) -> AsyncIterator[Caller]:
    found = read_settings(
        endpoint=running.url, api_key="ih_k", data_dir=tmp_path / "d", media_dirs=str(tmp_path)
    )
    async with open_runtime(found) as runtime:

        @asynccontextmanager
        async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
            yield runtime

        async with Client(make_server(lifespan)) as client:
            yield Caller(client, runtime, tmp_path)


async def test_each_answer_tells_what_is_kept_and_what_is_next(caller: Caller) -> None:
    stream_id, _ = await caller.start()
    first = webm_header() + cluster(0)
    _, said = await caller.push(stream_id, first, seq=1)
    assert {"kept": True, "accepted": True, "next_seq": 2}.items() <= said.items()
    assert said["next"].startswith("push_segment(seq=2) or end_stream")
    assert said["pushed"] == {"segments": 1, "bytes": len(first)}
    assert set(said["sent"]) == set(said["waiting"]) == {"segments", "bytes"}
    text, said = await caller.push(stream_id, first, seq=1)
    assert {"kept": True, "duplicate": True, "next_seq": 2}.items() <= said.items()
    assert "it is in the stream once, and nothing is missing" in text
    text, said = await caller.push(stream_id, cluster(1), seq=1)
    assert (said["code"], said["kept"], said["next_seq"]) == ("seq_taken", False, 2)
    assert text.startswith("Seq 1 was pushed before, with other bytes; 2 is next.\n")
    assert "If this is a new segment, push it as seq 2" in text
    _, said = await caller.push(stream_id, cluster(1))  # without a number it takes the next
    assert said["next_seq"] == 3
    for tool, arguments in (("list_streams", {}), ("list_streams", {"stream_id": stream_id})):
        _, listed = await caller.call(tool, **arguments)
        assert (listed["streams"][0] if "streams" in listed else listed)["next_seq"] == 3


async def test_every_error_tells_what_is_kept_and_what_is_next(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_tools, "_ORDER_SECONDS", 0.01)
    stream_id, _ = await caller.start()
    await caller.push(stream_id, webm_header() + cluster(0))
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("bad_argument", {}),
        ("bad_argument", {"path": "segment.webm", "data_base64": "////"}),
        ("bad_base64", {"data_base64": "?"}),
        ("empty_file", {"data_base64": ""}),
        ("call_too_large", {"data_base64": "A" * (8 << 20)}),
        ("file_not_found", {"path": "absent.webm"}),
        ("path_not_allowed", {"path": "/etc/passwd"}),
        ("bad_container", {"data_base64": "////////"}),
        ("seq_gap", {"data_base64": "////", "seq": 9}),
        ("seq_taken", {"data_base64": "////", "seq": 1}),
    ]
    for code, arguments in wrong:
        text, said = await caller.call("push_segment", stream_id=stream_id, **arguments)
        expected = {"code": code, "stream_id": stream_id, "next_seq": 2, "kept": False}
        assert expected.items() <= said.items(), text
    await caller.call("end_stream", stream_id=stream_id)
    for name, code in ((stream_id, "stream_ended"), ("st_none", "unknown_stream")):
        _, said = await caller.call("push_segment", stream_id=name, data_base64="AAAA")
        assert (said["code"], said["stream_id"], said["kept"]) == (code, name, False)
        assert said["next_seq"] is None


async def test_a_chunk_outside_the_folders_can_be_pushed_by_doing_what_the_error_says(
    caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream_id, _ = await caller.start()
    chunk = tmp_path_factory.mktemp("recorder") / "chunk-000.webm"
    chunk.write_bytes(webm_header() + cluster(0))
    push = {"stream_id": stream_id, "seq": 1}
    text, said = await caller.call("push_segment", **push, path=str(chunk))
    assert (said["code"], said["allowed"]) == ("path_not_allowed", [str(caller.folder)])
    _, helps, _ = text.splitlines()
    assert helps.startswith(
        "A segment of live video needs no path: push_segment takes its bytes as data_base64, up to "
    )
    assert f"Copy the file into {caller.folder} and give the path of the copy." in helps
    data = base64.b64encode(chunk.read_bytes()).decode()
    _, said = await caller.call("push_segment", **push, data_base64=data)
    assert (said["kept"], said["next_seq"]) == (True, 2)
    copy = caller.folder / chunk.name
    copy.write_bytes(cluster(1))
    _, said = await caller.call("push_segment", stream_id=stream_id, seq=2, path=str(copy))
    assert (said["kept"], said["next_seq"]) == (True, 3)


async def test_a_repeat_says_nothing_of_the_uplink(caller: Caller) -> None:
    stream_id, stream = await caller.start()
    first = webm_header() + cluster(0)
    await caller.push(stream_id, first, seq=1)
    await stream.until(lambda: stream.was_sent)
    assert stream.leg is not None
    stream.leg.is_behind = True  # as after a segment that took long
    _, alone = await caller.call("list_streams", stream_id=stream_id)
    assert alone["what_now"].startswith("Falling behind")
    _, said = await caller.push(stream_id, first, seq=1)
    assert (said["duplicate"], "what_now" in said) == (True, False)


async def test_an_empty_last_chunk_is_to_be_left_out(caller: Caller) -> None:
    stream_id, _ = await caller.start()
    await caller.push(stream_id, webm_header() + cluster(0))
    text, said = await caller.push(stream_id, b"", seq=2)
    assert (said["code"], said["kept"]) == ("empty_file", False)
    what, helps, _ = text.splitlines()
    assert what == "The segment is empty."
    assert "the last chunk of a recorder is often empty" in helps
    assert "call end_stream; else push the next chunk as seq 2" in helps


async def test_the_same_bytes_without_a_number_are_told_and_sent(caller: Caller) -> None:
    _, started = await caller.call(
        "start_stream", api="v2", model="inter-2-audio", sample_rate=16_000
    )
    stream_id = started["stream_id"]
    silence = bytes(32_000)
    text, _ = await caller.push(stream_id, silence)
    assert "same bytes" not in text
    text, said = await caller.push(stream_id, silence)
    assert "these are the same bytes as of the segment before; they were sent again" in text
    assert said["next_seq"] == 3
    text, _ = await caller.push(stream_id, silence, seq=3)  # a new number says that it is new
    assert "these are the same bytes as of the segment before" in text


async def test_a_jump_in_media_time_is_told_with_its_seconds(caller: Caller) -> None:
    stream_id, _ = await caller.start()
    text, _ = await caller.push(stream_id, webm_header() + cluster(0))
    assert "jump" not in text
    text, said = await caller.push(stream_id, cluster(6))
    assert said["jump"] == {"from_s": 0.9, "to_s": 6.0}
    assert "media time goes from 0.900 s to 6.000 s: segments may be missing" in text
    text, said = await caller.push(stream_id, cluster(2))
    assert said["jump"] == {"from_s": 6.9, "to_s": 2.0}
    assert "earlier than what was pushed before" in text
    text, said = await caller.push(stream_id, cluster(7) + cluster(3))
    assert said["jump"] == {"from_s": 7.9, "to_s": 3.0}
    within = (
        "this segment goes on at 6.900 s, and within it media time goes from 7.900 s to 3.000 s"
    )
    assert f"{within}: its own times go back there" in text


async def test_a_header_that_is_left_out_is_told(caller: Caller) -> None:
    stream_id, _ = await caller.start()
    text, _ = await caller.push(stream_id, webm_header())
    assert "no media in it yet" in text
    text, _ = await caller.push(stream_id, webm_header() + cluster(0))
    assert f"{len(webm_header())} bytes of a header that no media followed are left out" in text


def test_numbers_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "_REMEMBERED", 3)
    known = pushes.PushRecord()
    for number in range(1, 6):
        known.keep(bytes([number]), 1)
    assert [known.is_repeat(seq, bytes([seq])) for seq in (3, 4, 5, 6)] == [True, True, True, False]
    with pytest.raises(CallerError, match="so long ago that it cannot be compared") as error:
        known.is_repeat(2, bytes([2]))
    assert error.value.code == "seq_taken"
    assert len(known._digests) == 3


async def test_a_large_segment_is_told_from_another_in_a_thread() -> None:
    large = bytes(pushes._SMALL_BYTES + 1)
    assert await pushes.digest_of(large) == await pushes.digest_of(bytes(len(large)))
    assert await pushes.digest_of(large) != await pushes.digest_of(large[1:] + b"x")


async def test_no_page_records_into_a_stream_that_is_pushed_into(caller: Caller) -> None:
    stream_id, _ = await caller.start()
    await caller.push(stream_id, webm_header() + cluster(0))
    text, said = await caller.call("start_capture", stream_id=stream_id)
    assert (said["code"], said["fed_by"]) == ("fed_elsewhere", "push")
    assert f"push_segment gives stream {stream_id} its media" in text
    assert "start_capture without a stream_id" in text


async def test_nothing_is_pushed_into_a_stream_of_the_page(caller: Caller) -> None:
    stream_id, stream = await caller.start()
    rejected, _ = await caller.push(stream_id, b"no media")  # a rejected push claims nothing
    assert "begins without a container header" in rejected
    _, said = await caller.call("start_capture", stream_id=stream_id)
    assert "#" in said["link"]
    text, said = await caller.push(stream_id, webm_header() + cluster(0))
    assert (said["code"], said["fed_by"], said["kept"]) == ("fed_elsewhere", "page", False)
    assert "the capture page gives" in text.lower()
    assert stream.outbox.segments == 0
    _, again = await caller.call("start_capture", stream_id=stream_id)  # another link for it
    assert "#" in again["link"]


async def test_no_page_records_into_a_stream_that_is_ending(caller: Caller) -> None:
    stream_id, stream = await caller.start()
    stream.request_end()
    text, said = await caller.call("start_capture", stream_id=stream_id)
    assert said["code"] == "stream_ended", text
    assert "nothing can be recorded into it any more" in text


async def test_what_changes_something_is_logged_and_what_reads_is_not(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ih_mcp.audit"):
        stream_id, _ = await caller.start()
        await caller.call("list_streams")
        await caller.call("poll_events", stream_id=stream_id, wait_s=0)
    audited = [each.getMessage() for each in caplog.records if each.name == "ih_mcp.audit"]
    assert [each.partition(" ")[0] for each in audited] == ["start_stream"]
    assert f"stream_id='{stream_id}'" in audited[0]
    assert "result='ok'" in audited[0]


async def test_a_call_may_hold_as_many_bytes_as_the_setting_says() -> None:
    runtime = cast("Runtime", SimpleNamespace(settings=SimpleNamespace(max_call_bytes=10)))

    def ask(size: int) -> PushSegment:
        text = base64.b64encode(bytes(size)).decode()
        return PushSegment.model_validate({"stream_id": "st_1", "data_base64": text})

    assert await _decode_or_read(runtime, ask(10)) == (bytes(10), ())
    with pytest.raises(CallerError, match="17 are the most"):
        await _decode_or_read(runtime, ask(13))
