"""What fuzzing begins with: real messages, real media, real edits."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Final

import imageio_ffmpeg

from tests.reliability.test_properties import SAMPLES

_PICTURE: Final = ["-f", "lavfi", "-i", "testsrc=size=32x32:rate=10:duration=1", "-g", "4"]
_LIVE: Final = {
    "webm": ["-c:v", "libvpx", "-f", "webm", "-live", "1", "-cluster_time_limit", "200"],
    "mp4": [
        *("-c:v", "libx264", "-f", "mp4", "-movflags"),
        "frag_keyframe+empty_moov+default_base_moof",
    ],
}


@cache
def media() -> tuple[bytes, ...]:
    """A second of moving picture in each container that is read, in several parts."""
    base = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *_PICTURE]
    return tuple(
        subprocess.run([*base, *how, "pipe:1"], check=True, capture_output=True).stdout
        for how in _LIVE.values()
    )


def containers() -> list[bytes]:
    """A first byte for the size of the pieces, then the media."""
    return [bytes([step]) + file for file in media() for step in (7, 255)]


def edits() -> list[bytes]:
    """A kind of damage, then changes of single bytes: three for the place, one for the value."""
    return [b"\0", b"\0\0\0\x12\1", b"\1\0\x20\0\xff", b"\2not a database", b"\3\0\3\0"]


def walks() -> list[bytes]:
    """Steps of five bytes of cursor, one of limit, two of characters."""
    return [bytes(8), b"\0\0\0\0\x05\x03\0\x20" * 3, b"\1\0\0\0\0\x03\0\x20"]


def lines() -> list[bytes]:
    """One message of MCP each, and what is none."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_streams"}}
    texts = [
        json.dumps(call),
        json.dumps([call, call]),
        json.dumps({**call, "id": None}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json.dumps({"jsonrpc": "2.0", "id": "a", "result": {}}),
        json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}}),
        '{"jsonrpc": "2.0", "id": 1e999, "method": "\\ud800"}',
        "[" * 50,
    ]
    return [text.encode() for text in texts]


def talks() -> list[bytes]:
    """A dialect, then messages of the service, one a line."""
    status = [
        '{"status": "processing", "segment": 1, "bytes": 9}',
        '{"status": "result", "segment": 1, "signals": [{"type": "stress", "start": 1, "end": 2}]}',
        '{"status": "completed", "segment": 1}',
    ]
    return [bytes([n]) + "\n".join([*SAMPLES, *status]).encode() for n in range(4)]


def gaps() -> list[bytes]:
    """What happens to a queue of segments, a byte each; see `targets.gap`."""
    return [bytes([0, 9, 1, 4, 2, 3, 5, 1, 8, 2]), bytes(range(40))]
