"""What the stand-in sent, received and saw, for whoever wants to compare it."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from .analyst import Observation, Observations
from .coverage import Ranges
from .windows import Window, Work

_MAX_SESSIONS = 200
_MAX_UPLOADS = 200
_LARGE_BYTES = 1 << 18  # more is hashed beside the loop
_MAX_WINDOWS = 1_500  # per session: more than an hour of them
_MAX_TEXT_BYTES = 64 * 2**20  # per session and direction; beyond, texts are counted but not kept


@dataclass(slots=True, kw_only=True)
class SessionRecord:
    """One API session, from the stand-in's side."""

    number: int
    """From 1, in order of arrival at this stand-in."""
    correlation_id: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the upgrade request, without credentials."""
    texts: list[str] = field(default_factory=list)
    """Every text frame that was sent, exactly and in order."""
    texts_left_out: int = 0
    received: list[str] = field(default_factory=list)
    """Every text frame that came; beyond a bound they are counted but not kept."""
    received_left_out: int = 0
    segments: list[tuple[int, str]] = field(default_factory=list)
    """Size and SHA-256 of every binary message that came."""
    end: str | None = None
    """How it ended; None while it goes on."""
    close_code: int | None = None
    billed: Ranges = field(default_factory=Ranges)
    """Media that was analysed and delivered."""
    dropped: Ranges = field(default_factory=Ranges)
    """Media that was told as dropped."""
    work: Work = field(default_factory=Work)
    """What its analysis has taken so far."""
    seen: deque[tuple[Window, Observations]] = field(
        default_factory=lambda: deque(maxlen=_MAX_WINDOWS)
    )
    """What the analyst saw in each window, with the figures it stands on; no message has those."""
    text_bytes: int = 0
    received_bytes: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set once it has ended."""

    def keep_text(self, text: str) -> None:
        self.text_bytes += len(text)
        if self.text_bytes > _MAX_TEXT_BYTES:
            self.texts_left_out += 1
        else:
            self.texts.append(text)

    def did_not_leave(self) -> None:
        """Forget the last text: the client was gone before it left."""
        if self.texts_left_out:
            self.texts_left_out -= 1
        else:
            self.texts.pop()

    def keep_received(self, text: str) -> None:
        self.received_bytes += len(text)
        if self.received_bytes > _MAX_TEXT_BYTES:
            self.received_left_out += 1
        else:
            self.received.append(text)

    async def keep_segment(self, data: bytes) -> None:
        digest = hashlib.sha256(b"")
        if len(data) > _LARGE_BYTES:
            await anyio.to_thread.run_sync(digest.update, data)
        else:
            digest.update(data)
        self.segments.append((len(data), digest.hexdigest()))

    def keep_seen(self, window: Window, observations: Observations) -> None:
        self.seen.append((window, observations))

    def ended(self, end: str, close_code: int | None) -> None:
        """Note how it ended; the first word stands."""
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
            "end": self.end,
            "close_code": self.close_code,
            "billed_seconds": round(self.billed.seconds, 3),
            "billed": _pairs(self.billed),
            "dropped": _pairs(self.dropped),
            "analysis": {
                "windows": self.work.windows,
                "windows_shed": self.work.shed,
                "seconds": round(self.work.seconds, 3),
            },
        }

    def evidence(self) -> dict[str, object]:
        """What was seen, window by window, as JSON."""
        return {
            "number": self.number,
            "correlation_id": self.correlation_id,
            "path": self.path,
            "windows": _windows(self.seen),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """One upload that was analysed."""

    correlation_id: str
    """Of the request that brought it."""
    path: str
    seen: Sequence[tuple[Window, Observations]]

    def evidence(self) -> dict[str, object]:
        """What was seen, window by window, as JSON."""
        return {
            "correlation_id": self.correlation_id,
            "path": self.path,
            "windows": _windows(self.seen),
        }


def _windows(seen: Iterable[tuple[Window, Observations]]) -> list[dict[str, object]]:
    return [
        {
            "start": window.start_seconds,
            "end": window.end_seconds,
            "engagement": observations.engagement,
            "signals": [_signal(item) for item in observations.signals],
        }
        for window, observations in seen
    ]


def _signal(item: Observation) -> dict[str, object]:
    return {
        "signal_type": item.signal_type,
        "probability": item.probability,
        "start": item.start_seconds,
        "end": item.end_seconds,
        "rationale": item.rationale,
        "evidence": dict(item.evidence),
    }


def _pairs(ranges: Ranges) -> list[list[float]]:
    return [[item.start_seconds, item.end_seconds] for item in ranges]


class Recorder:
    """Keeps the last 200 sessions and 200 uploads; with a file, also every text frame as one line.

    A line is the raw text as a JSON string; it is in the file before the frame leaves. The last
    line of a session whose client vanished may therefore not have left.
    """

    def __init__(self) -> None:
        self.sessions: deque[SessionRecord] = deque(maxlen=_MAX_SESSIONS)
        self.uploads: deque[UploadRecord] = deque(maxlen=_MAX_UPLOADS)
        self._count = 0
        self._file: anyio.AsyncFile[bytes] | None = None

    def begin(self, path: str, correlation_id: str, headers: Mapping[str, str]) -> SessionRecord:
        """Start the record of a session."""
        self._count += 1
        record = SessionRecord(
            number=self._count, correlation_id=correlation_id, path=path, headers=headers
        )
        self.sessions.append(record)
        return record

    def keep_upload(
        self, path: str, correlation_id: str, seen: Sequence[tuple[Window, Observations]]
    ) -> None:
        """Keep what was seen in an upload; of a very long one, its last windows."""
        record = UploadRecord(correlation_id=correlation_id, path=path, seen=seen[-_MAX_WINDOWS:])
        self.uploads.append(record)

    @asynccontextmanager
    async def writing(self, path: Path | None) -> AsyncIterator[None]:
        """Write text frames to `path`, from its end on, for as long as this is open."""
        if path is None:
            yield
            return
        async with await anyio.open_file(path, "ab") as file:
            self._file = file
            try:
                yield
            finally:
                self._file = None

    async def write(self, text: str) -> None:
        """Put a text frame that is about to leave into the file, where there is one."""
        if self._file is not None:
            await self._file.write(json.dumps(text).encode() + b"\n")
            await self._file.flush()
