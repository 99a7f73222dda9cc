"""A service that means harm, in a process of its own: `python -m tests.reliability.hostile PLAN`.

It takes every WebSocket, greets, waits for as many segments as the plan says, and does what the
plan says. Nothing of the package is used, so that nothing of it keeps the peer to the rules.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.forked import forked_python

_REPOSITORY = Path(__file__).parents[2]
LIMITS = {
    "min_segment_size_bytes": 1,
    "max_segment_size_bytes": 33_554_432,
    "session_idle_timeout_seconds": 300,
    "session_max_duration_seconds": 3600,
}
_TEXT, _PING = 0x81, 0x89


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the service does with each session."""

    limits: dict[str, object] = field(default_factory=dict)
    """Over those of an honest service."""
    after_segments: int = 0
    """How many binary messages come before the harm."""
    shape: str = ""
    """One of `SHAPES`: what is sent once; nothing where empty."""
    size: int = 8 * 2**20 - 1024
    """Of that message."""
    flood: str = ""
    """`empty`, `byte` or `ping`: frames that are sent for as long as they are taken."""
    ends: bool = False
    """Whether it answers `session.close` in order."""


@contextmanager
def hostile(plan: Plan) -> Iterator[str]:
    """The base URL of such a service, while it runs."""
    command = [*forked_python(), "-m", "tests.reliability.hostile", json.dumps(asdict(plan))]
    with subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


# --- messages ------------------------------------------------------------------------------------


def _list(kind: str, name: str, item: str, size: int) -> str:
    head, tail = f'{{"type":"{kind}","data":{{"{name}":[', "]}}"
    return head + ",".join([item] * ((size - len(head) - len(tail)) // (len(item) + 1))) + tail


def _keys(size: int) -> str:
    keys = ",".join(f'"{n:06}":1' for n in range((size - 30) // 11))
    return f'{{"type":"x","data":{{{keys}}}}}'


def _value(value: str) -> str:
    return f'{{"type":"x","data":{{"a":{value}}}}}'


def _names(size: int) -> str:
    items = ",".join(f'{{"type":"{n:06x}"}}' for n in range((size - 60) // 18))
    return f'{{"type":"signal.detected","data":{{"signals":[{items}]}}}}'


SHAPES: dict[str, Callable[[int], str]] = {
    "ranges": lambda size: _list("coverage.dropped", "ranges", '{"start":-2,"end":-1}', size),
    "timeline": lambda size: _list("conversation_quality.updated", "timeline", "{}", size),
    "signals": lambda size: _list("signal.detected", "signals", '{"type":"a"}', size),
    "names": _names,
    "objects": lambda size: _list("x", "a", "{}", size),
    "floats": lambda size: _list("x", "a", "1.7976931348623157e-308", size),
    "keys": _keys,
    "deep": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "deep lists": lambda size: _list("x", "a", "[" * 400 + "]" * 400, size),
    "text": lambda size: _value('"' + "\\n" * (size // 2 - 40) + '"'),
    "digits": lambda size: _value("9" * (size - 40)),
    "fraction": lambda size: _value("0." + "3" * (size - 40)),
    "no json": lambda size: "x" * size,
}


# --- the service ---------------------------------------------------------------------------------


def frame(first: int, data: bytes) -> bytes:
    size = len(data)
    if size < 126:
        head = bytes([first, size])
    elif size < 2**16:
        head = bytes([first, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 127]) + size.to_bytes(8, "big")
    return head + data


class _Reader:
    """Frames of a client, unmasked."""

    def __init__(self, peer: socket.socket) -> None:
        self._file = peer.makefile("rb")

    def handshake(self) -> str:
        key = ""
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip().decode()
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324 - RFC 6455
        return base64.b64encode(digest).decode()

    def frame(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 127
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        mask = self._exactly(4)
        data = self._exactly(size)
        if first & 15 != 2:  # of media, only the size counts
            data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        return first, data

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError
        return data


def _serve(peer: socket.socket, plan: Plan) -> None:
    reader = _Reader(peer)
    answer = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    peer.sendall(f"{answer}{reader.handshake()}\r\n\r\n".encode())
    ready = {"type": "session.ready", "data": LIMITS | plan.limits}
    peer.sendall(frame(_TEXT, json.dumps(ready).encode()))
    segments = 0
    if not plan.after_segments:
        _harm(peer, plan)
    while True:
        first, data = reader.frame()
        if first & 15 == 9:
            peer.sendall(frame(0x8A, data))
        elif first == _TEXT and plan.ends and b"session.close" in data:
            peer.sendall(frame(_TEXT, b'{"type":"session.ended","data":{"reason":"client"}}'))
            peer.sendall(frame(0x88, (1000).to_bytes(2, "big")))
        elif first & 15 == 8:
            peer.sendall(frame(0x88, data))
            return
        elif first & 15 in {0, 2} and first & 128:
            segments += 1
            if segments == plan.after_segments:
                _harm(peer, plan)


def _harm(peer: socket.socket, plan: Plan) -> None:
    if plan.shape:
        peer.sendall(frame(_TEXT, SHAPES[plan.shape](plan.size).encode()))
    if plan.flood:
        frames = {"empty": (_TEXT, b""), "byte": (_TEXT, b"x"), "ping": (_PING, b"")}
        many = frame(*frames[plan.flood]) * 50_000
        while True:
            peer.sendall(many)


def _main(plan: Plan) -> None:
    os.nice(5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_one, args=(peer, plan), daemon=True).start()


def _one(peer: socket.socket, plan: Plan) -> None:
    with peer, suppress(OSError):
        _serve(peer, plan)


if __name__ == "__main__":
    _main(Plan(**json.loads(sys.argv[1])))
