"""An agent pushes what a browser recorded, errs, and recovers without losing or doubling a chunk.

It knows the tool list and what the answers say, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.server.serve import serve
from tests.road.host import Answer, environment

from .day import Day, begin

pytestmark = pytest.mark.timeout(90)


async def errs_first(day: Day, stream_id: str, chunks: Sequence[Path]) -> None:
    """A later chunk first, then no media at all: both are told, nothing of them is kept."""
    for wrong in ({"path": str(chunks[1])}, {"data_base64": "AAAA"}):
        refused = await day.call("push_segment", stream_id=stream_id, seq=1, **wrong)
        assert refused.error["code"] == "no_header"
        assert (refused.error["kept"], refused.error["next_seq"]) == (False, 1)
        assert "from the first on" in refused.text


async def pushes(day: Day, stream_id: str, chunks: Sequence[Path]) -> Answer:
    """Each chunk with the number that was named; repeats one call, and mistakes another."""
    seq, answer = 1, None
    for number, chunk in enumerate(chunks):
        arguments = {"stream_id": stream_id, "path": str(chunk), "seq": seq}
        answer = await day.call("push_segment", **arguments)
        if answer.is_error:
            assert answer.error["code"] == "empty_file"
            assert "call end_stream" in answer.text
            break
        if number == 1:  # it does not know whether the call arrived
            again = await day.call("push_segment", **arguments)
            assert again.status["duplicate"] is True
            other = await day.call("push_segment", **(arguments | {"path": str(chunks[2])}))
            assert (other.error["code"], other.error["kept"]) == ("seq_taken", False)
            assert other.error["next_seq"] == answer.status["next_seq"]
        assert answer.status["next"].startswith(f"push_segment(seq={seq + 1})")
        seq = answer.status["next_seq"]
    assert answer
    return answer


@pytest.mark.parametrize(
    ("name", "calls"), [("chromium-vp8-250ms", 40), ("chromium-mp4-1s", 13), ("firefox-vp8-1s", 18)]
)
async def test_a_recording_is_pushed_with_mistakes_and_arrives_whole(
    name: str, calls: int, shared_media: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    folder = shared_media / "mediarecorder" / name
    chunks = sorted(folder.glob("chunk-*"))
    async with (
        serve(ffmpeg=ffmpeg) as running,
        begin(environment(tmp_path, endpoint=running.url, IH_MCP_MEDIA_DIRS=str(folder))) as day,
    ):
        started = await day.call("start_stream", label=name, include=[])
        stream_id = started.status["stream_id"]
        assert started.status["next_seq"] == 1
        await errs_first(day, stream_id, chunks)
        await pushes(day, stream_id, chunks)
        kept = [chunk.read_bytes() for chunk in chunks if chunk.stat().st_size]
        found = await day.call("list_streams", stream_id=stream_id)
        assert found.status["next_seq"] == len(kept) + 1
        ended = await day.call("end_stream", stream_id=stream_id)
        last = await day.follow_to_the_end(ended, wait_s=20)
        assert last.status["state"] == "ended"
        assert "lost" not in last.status
        (session,) = running.recorder.sessions
    whole, at = b"".join(kept), 0
    for size, digest in session.segments:
        assert hashlib.sha256(whole[at : at + size]).hexdigest() == digest
        at += size
    assert at == len(whole)
    day.cost_at_most(calls=calls, tokens=310 * calls)
