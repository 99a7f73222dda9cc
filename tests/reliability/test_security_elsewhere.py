"""S46: a stream of another live process is told as that, by all that would feed, change or end it.

Two real servers over stdio on one data folder, as two hosts of one person have them.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.server.serve import serve
from tests.road.host import Host, Process, environment, open_host

from .budget import report

pytestmark = pytest.mark.timeout(90)

ACTING: list[tuple[str, dict[str, Any]]] = [
    ("push_segment", {"data_base64": "R0lG"}),
    ("configure_stream", {"include": []}),
    ("end_stream", {"wait_s": 0}),
    ("start_capture", {}),
]


async def test_s46_a_stream_of_another_process_is_neither_over_nor_ended(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        env = environment(tmp_path, endpoint=running.url)
        async with open_host(env) as owner, open_host(env) as other:
            stream_id = (await owner.call("start_stream", label="mine")).status["stream_id"]
            pid = 0
            for tool, arguments in ACTING:
                answer = await other.call(tool, stream_id=stream_id, **arguments)
                error = answer.error
                assert error["code"] == "elsewhere", answer.text
                assert error["state"] in {"connecting", "open"}
                pid = error["process"]["pid"]
                assert f"open in process {pid} on " in answer.text
                assert "poll_events and list_streams read it from here" in answer.text
                assert "over (" not in answer.text
                assert "ended" not in error
            (session,) = running.recorder.sessions
            assert session.end is None
            await _reads(other, stream_id, pid)
            ended = await owner.call("end_stream", stream_id=stream_id)
            assert ended.status["ended"] is True
            again = await other.call("end_stream", stream_id=stream_id)  # it is over now
            assert again.status["notes"][-1] == "it was over before"
    report("S46", "test_security_elsewhere.py", f"{len(ACTING)} tools tell a foreign stream")


async def _reads(other: Host, stream_id: str, pid: int) -> None:
    polled = await other.call("poll_events", stream_id=stream_id, wait_s=0)
    assert polled.status["ended"] is False
    assert polled.messages
    (listed,) = (await other.call("list_streams")).status["streams"]
    (alone,) = [(await other.call("list_streams", stream_id=stream_id)).status]
    for record in (listed, alone):
        assert record["label"] == "mine"
        assert record["process"] == {"pid": pid, "host": socket.gethostname()}


async def test_s46_a_stream_of_a_dead_process_is_over_as_before(
    tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        env = environment(tmp_path, endpoint=running.url)
        owner = await to_thread.run_sync(Process, env)
        try:
            started = await to_thread.run_sync(lambda: owner.call("start_stream"))
            stream_id = started.status["stream_id"]
            async with open_host(env) as other:
                alive = await other.call("end_stream", stream_id=stream_id)
                assert alive.error["process"]["pid"] == owner.pid
                await to_thread.run_sync(owner.close)  # kill -9
                for tool in ("push_segment", "configure_stream", "start_capture"):
                    arguments = {"data_base64": "R0lG"} if tool == "push_segment" else {}
                    answer = await other.call(tool, stream_id=stream_id, **arguments)
                    assert answer.error["code"] == "stream_ended", answer.text
                ended = await other.call("end_stream", stream_id=stream_id)
                assert ended.status["ended"] is True
                assert ended.status["reason"] == "host_stopped"
                assert "process" not in ended.status
        finally:
            await to_thread.run_sync(owner.close)
