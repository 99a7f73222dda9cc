"""A record of what the stand-in sent, received and observed, for tests and for people."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from ih_mcp.private_files import open_private
from ih_mcp.wire.ranges import Ranges

from .analysis.analyst import Observation, Observations
from .analysis.windows import Window, Work

_MAX_SESSIONS = 200
_MAX_UPLOADS = 200
_LARGE_BYTES = 1 << 18  # more is hashed beside the loop
_MAX_WINDOWS = 1_500  # per session: more than an hour of them
_MAX_KEPT_BYTES = 64 * 2**20  # of all sessions together; beyond, it is counted but not kept
_SEGMENT_BYTES = 256  # that a size and a digest take in memory, about


@dataclass(slots=True, kw_only=True, eq=False)
class SessionRecord:
    """One API session, from the stand-in's side."""

    number: int
    """From 1, in order of arrival at this stand-in."""
    correlation_id: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the upgrade request, without credentials."""
    texts: list[str] = field(default_factory=list)
    """Every text frame that was sent, byte for byte and in order."""
    texts_left_out: int = 0
    received: list[str] = field(default_factory=list)
    """Every text frame that was received."""
    received_left_out: int = 0
    segments: list[tuple[int, str]] = field(default_factory=list)
    """Size and SHA-256 of every binary message that was received."""
    segments_left_out: int = 0
    end: str | None = None
    """How the session ended; None while it runs."""
    close_code: int | None = None
    billed: Ranges = field(default_factory=Ranges)
    """Media that was analysed and delivered."""
    dropped: Ranges = field(default_factory=Ranges)
    """Media that was reported as dropped."""
    work: Work = field(default_factory=Work)
    """How much work its analysis took so far."""
    seen: deque[tuple[Window, Observations]] = field(
        default_factory=lambda: deque(maxlen=_MAX_WINDOWS)
    )
    """What the analyst observed in each window, with its figures, which no message has."""
    kept_bytes: int = 0
    """Memory that headers, texts and segments take."""
    last_is_kept: bool = False
    """Whether the last text was kept."""
    has_room: Callable[[SessionRecord, int], bool] = lambda *_: True
    """Whether that many more bytes may be kept."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when the session has ended."""

    def keep_headers(self, headers: Mapping[str, str]) -> None:
        if self._keeps(sum(sys.getsizeof(text) for item in headers.items() for text in item)):
            self.headers = headers

    def keep_text(self, text: str) -> None:
        self.last_is_kept = self._keeps(sys.getsizeof(text))
        if self.last_is_kept:
            self.texts.append(text)
        else:
            self.texts_left_out += 1

    def forget_last_text(self) -> None:
        """Remove the last text from the record: the client went away before it was sent."""
        if self.last_is_kept and self.texts:
            self.texts.pop()
        else:
            self.texts_left_out -= 1

    def keep_received(self, text: str) -> None:
        if self._keeps(sys.getsizeof(text)):
            self.received.append(text)
        else:
            self.received_left_out += 1

    async def keep_segment(self, data: bytes) -> None:
        if not self._keeps(_SEGMENT_BYTES):
            self.segments_left_out += 1
            return
        digest = hashlib.sha256(b"")
        if len(data) > _LARGE_BYTES:
            await anyio.to_thread.run_sync(digest.update, data)
        else:
            digest.update(data)
        self.segments.append((len(data), digest.hexdigest()))

    def forget(self) -> int:
        """Drop what was sent and received; returns how many bytes that frees."""
        self.texts_left_out += len(self.texts)
        self.received_left_out += len(self.received)
        self.segments_left_out += len(self.segments)
        self.headers, self.texts, self.received, self.segments = {}, [], [], []
        freed, self.kept_bytes = self.kept_bytes, 0
        return freed

    def _keeps(self, size: int) -> bool:
        is_kept = self.has_room(self, size)
        self.kept_bytes += size if is_kept else 0
        return is_kept

    def keep_seen(self, window: Window, observations: Observations) -> None:
        self.seen.append((window, observations))

    def ended(self, end: str, close_code: int | None) -> None:
        """Record how the session ended; only the first call counts."""
        if self.end is None:
            self.end, self.close_code = end, close_code
            self.over.set()

    def as_json(self) -> dict[str, object]:
        return {
            "number": self.number,
            "correlation_id": self.correlation_id,
            "path": self.path,
            "headers": dict(self.headers),
            "texts": self.texts,
            "texts_left_out": self.texts_left_out,
            "received": self.received,
            "received_left_out": self.received_left_out,
            "segments": [{"bytes": size, "sha256": digest} for size, digest in self.segments],
            "segments_left_out": self.segments_left_out,
            "end": self.end,
            "close_code": self.close_code,
            "billed_seconds": round(self.billed.seconds, 3),
            "billed": _ranges_to_json(self.billed),
            "dropped": _ranges_to_json(self.dropped),
            "analysis": {
                "windows": self.work.windows,
                "windows_shed": self.work.shed,
                "seconds": round(self.work.seconds, 3),
            },
        }

    def evidence(self) -> dict[str, object]:
        """What the analyst observed in each window, as JSON."""
        return {
            "number": self.number,
            "correlation_id": self.correlation_id,
            "path": self.path,
            "windows": _windows_to_json(self.seen),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """One upload that was analysed."""

    correlation_id: str
    """Of the upload request."""
    path: str
    seen: Sequence[tuple[Window, Observations]]

    def evidence(self) -> dict[str, object]:
        """What the analyst observed in each window, as JSON."""
        return {
            "correlation_id": self.correlation_id,
            "path": self.path,
            "windows": _windows_to_json(self.seen),
        }


def _windows_to_json(seen: Iterable[tuple[Window, Observations]]) -> list[dict[str, object]]:
    return [
        {
            "start": window.start_seconds,
            "end": window.end_seconds,
            "engagement": observations.engagement,
            "signals": [_signal_to_json(item) for item in observations.signals],
        }
        for window, observations in seen
    ]


def _signal_to_json(item: Observation) -> dict[str, object]:
    return {
        "signal_type": item.signal_type,
        "probability": item.probability,
        "start": item.start_seconds,
        "end": item.end_seconds,
        "rationale": item.rationale,
        "evidence": dict(item.evidence),
    }


def _ranges_to_json(ranges: Ranges) -> list[list[float]]:
    return [[item.start_seconds, item.end_seconds] for item in ranges]


class Recorder:
    """Keeps the last 200 sessions and 200 uploads; can also write every text frame to a file.

    What all sessions sent and received may take 64 MiB; beyond that the oldest sessions lose
    theirs.

    A line of the file is the text as a JSON string. It is written before the frame is sent, so the
    last line of a session whose client went away may not have been sent.
    """

    def __init__(self) -> None:
        self.sessions: deque[SessionRecord] = deque()
        self.uploads: deque[UploadRecord] = deque(maxlen=_MAX_UPLOADS)
        self._count = 0
        self._kept_bytes = 0
        self._file: anyio.AsyncFile[bytes] | None = None

    def begin(self, path: str, correlation_id: str, headers: Mapping[str, str]) -> SessionRecord:
        """Start the record of a session."""
        self._count += 1
        if len(self.sessions) == _MAX_SESSIONS:
            self._kept_bytes -= self.sessions.popleft().forget()
        record = SessionRecord(
            number=self._count, correlation_id=correlation_id, path=path, has_room=self._has_room
        )
        self.sessions.append(record)
        record.keep_headers(headers)
        return record

    def _has_room(self, record: SessionRecord, size: int) -> bool:
        """Make room by dropping texts of older sessions; a session that is not kept gets none."""
        for older in self.sessions:
            if older is record:
                break
            if self._kept_bytes + size <= _MAX_KEPT_BYTES:
                break
            self._kept_bytes -= older.forget()
        has_room = record in self.sessions and self._kept_bytes + size <= _MAX_KEPT_BYTES
        self._kept_bytes += size if has_room else 0
        return has_room

    def keep_upload(
        self, path: str, correlation_id: str, seen: Sequence[tuple[Window, Observations]]
    ) -> None:
        """Keep what the analyst observed in an upload; of a very long one, the last windows."""
        record = UploadRecord(correlation_id=correlation_id, path=path, seen=seen[-_MAX_WINDOWS:])
        self.uploads.append(record)

    @asynccontextmanager
    async def writing(self, path: Path | None) -> AsyncIterator[None]:
        """Append text frames to `path` while this is open."""
        if path is None:
            yield
            return
        async with await anyio.open_file(path, "ab", opener=open_private) as file:
            self._file = file
            try:
                yield
            finally:
                self._file = None

    async def write(self, text: str) -> None:
        """Write a text frame that is about to be sent to the file, if there is one."""
        if self._file is not None:
            await self._file.write(json.dumps(text).encode() + b"\n")
            await self._file.flush()
