"""The rows of `bench_load` that push files into the real server over stdio."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ih_mcp.media.ffmpeg.program import find_ffmpeg

from .bench_load_rows import forget_peak, peak_bytes, rss_bytes
from .bench_load_stdio import serving, status, timed
from .stdio import Server

_ANY_MEDIA = b"RIFF\0\0\0\0WAVEfmt "
"""Begins a container whose times are not read, so that any bytes may follow."""


def call_under_pushes(
    count: int, size: int, seconds: float
) -> tuple[list[float], list[float], int]:
    """Ms of an empty poll at rest, and while `count` streams push `size` bytes a second each.

    Also how many of the pushed segments the service did not get. It sends 5 events/s to each.
    """
    with tempfile.TemporaryDirectory() as folder:
        media = Path(folder, "segment.wav")
        media.write_bytes(_ANY_MEDIA + bytes(size - len(_ANY_MEDIA)))
        with serving(0, 5, tls=True, IH_MCP_MEDIA_DIRS=folder) as ours:
            first = status(ours.call("start_stream", {}))["stream_id"]
            empty = {"stream_id": first, "cursor": 10**6, "wait_s": 0}

            def polls(seconds: float) -> list[float]:
                found, until = list[float](), time.monotonic() + seconds
                while time.monotonic() < until:
                    found += timed(lambda: ours.call("poll_events", empty), 1)
                    time.sleep(0.01)  # a process that slept is slower, with a load and without
                return found

            timed(lambda: ours.call("poll_events", empty), 50)
            idle = polls(seconds / 2)
            ids = [first]
            ids += [status(ours.call("start_stream", {}))["stream_id"] for _ in range(count - 1)]
            with pushing(ours, ids, str(media)) as pushed:
                loaded = polls(seconds)
            for number in range(len(pushed)):  # an end would overtake a push that is being read
                ours.wait_for(f"p{number}")
            ends = [
                status(ours.call("end_stream", {"stream_id": each, "wait_s": 20})) for each in ids
            ]
    return idle, loaded, len(pushed) - sum(end["segments"].get("completed", 0) for end in ends)


@contextmanager
def pushing(ours: Server, ids: Sequence[str], media: str) -> Iterator[list[str]]:
    """Each stream gets a segment a second, at its own moment of it; gives whose were pushed."""
    pushed: list[str] = []
    is_over = threading.Event()

    def work() -> None:
        began = time.monotonic()
        while not is_over.wait(max(0.0, began + len(pushed) / len(ids) - time.monotonic())):
            stream_id = ids[len(pushed) % len(ids)]
            ask = {"name": "push_segment", "arguments": {"stream_id": stream_id, "path": media}}
            ours.write({"id": f"p{len(pushed)}", "method": "tools/call", "params": ask})
            pushed.append(stream_id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield pushed
    finally:
        is_over.set()
        thread.join()


_RECORD = (
    "-v error -f lavfi -i testsrc=size=320x180:rate=10:duration=1 "
    "-pix_fmt yuv420p -movflags frag_keyframe+empty_moov+default_base_moof -f mp4 pipe:1"
)


def recorded(size: int) -> bytes:
    """A second of MP4 as a recorder writes it, brought to `size` bytes by a box that is skipped."""
    made = subprocess.run(
        [find_ffmpeg().path, *_RECORD.split()], check=True, capture_output=True
    ).stdout
    rest = size - len(made)
    return made + struct.pack(">I4s", rest, b"free") + bytes(rest - 8)


def pushed_memory(size: int) -> int:
    """Peak bytes of the server over rest while it takes and sends one file, the file included."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("small.mp4", "large.mp4")]
        files[0].write_bytes(recorded(2**18))
        files[1].write_bytes(recorded(size))
        with serving(1, 0, IH_MCP_MEDIA_DIRS=folder) as ours:
            rest = 0
            for file in files:  # the first brings in what only pushes need
                rest = rss_bytes(ours.pid)
                forget_peak(ours.pid)
                stream_id = status(ours.call("start_stream", {}))["stream_id"]
                push = {"stream_id": stream_id, "path": str(file)}
                assert status(ours.call("push_segment", push))["accepted"]
                end = status(ours.call("end_stream", {"stream_id": stream_id}))
                assert end["segments"] == {"completed": 1}, end
            return peak_bytes(ours.pid) - rest
