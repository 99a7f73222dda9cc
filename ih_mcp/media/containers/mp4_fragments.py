"""An MP4 stream as fragments: each a `moof` box and the `mdat` that follows it."""

from __future__ import annotations

import struct
import sys
from copy import copy
from dataclasses import replace

from .container_types import (
    MAX_HEADER_BYTES,
    EntryPoint,
    MediaUnit,
    StreamTimes,
    TimeJump,
    bad_container,
    too_large_header,
)
from .incremental_reader import IncrementalReader
from .mp4_boxes import Movie, read_movie
from .mp4_fields import LONG_HEADER_BYTES, read_box_header
from .mp4_samples import SampleRun, media_unit_of, runs_of, shown

_KEPT = frozenset({b"ftyp", b"moov", b"moof"})
_MAY_BE_LARGE = frozenset({b"mdat", b"free", b"skip", b"wide", b"uuid"})
_MAX_KEPT_BYTES = 1 << 26  # chosen: the index of a movie of many hours is smaller
"""Of a box that is kept, or that we do not know: text that is no box claims 500 MB and more."""


class Mp4Reader:
    """Finds the fragments of an MP4 stream. A plain file has none: it is header and media."""

    def __init__(self) -> None:
        self._pieces = IncrementalReader()
        self._movie = Movie()
        self._header = bytearray()
        self._header_bytes = 0
        self._moov_offset: int | None = None
        self._unit: MediaUnit | None = None
        """A fragment whose media is still to come."""
        self._media_end: int | None = None
        """Where that media ends."""
        self._times = StreamTimes()
        self._is_placed = False
        self._is_damaged = False
        self.has_media = False
        self.entries: list[EntryPoint] = []

    def copy(self) -> Mp4Reader:
        twin: Mp4Reader = copy(self)
        twin._pieces, twin._movie = self._pieces.copy(), self._movie.copy()
        twin._header, twin._times = bytearray(self._header), self._times.copy()
        twin._unit = self._unit and replace(self._unit)
        return twin

    @property
    def header(self) -> bytes | None:
        is_kept = self._moov_offset is not None and self._header_bytes <= MAX_HEADER_BYTES
        return bytes(self._header) if is_kept else None

    @property
    def reached_seconds(self) -> float:
        return self._times.reached_seconds

    @property
    def jump(self) -> TimeJump | None:
        return self._times.jump

    def feed(self, data: bytes) -> list[MediaUnit]:
        if self._is_damaged:
            raise bad_container("the MP4 stream was damaged before")
        self.entries, self._times.jump, self._is_damaged = [], None, True
        units: list[MediaUnit] = []
        try:
            for _ in self._pieces.feed(data):
                units += self._completed()
                while self._take_box():
                    units += self._completed()
        except (struct.error, IndexError, ZeroDivisionError) as exc:
            raise bad_container("a box of the MP4 stream is damaged") from exc
        self._is_damaged = False
        return units

    def finish(self) -> list[MediaUnit]:
        return []

    def head(self) -> Mp4Head:
        assert self._moov_offset is not None
        if self._header_bytes > MAX_HEADER_BYTES:
            raise too_large_header(self._header_bytes)
        if self._is_placed:
            raise bad_container(
                "fragments of the MP4 stream say where in it their media is; they cannot be moved"
            )
        return Mp4Head(bytes(self._header), self._moov_offset, self._movie)

    def _completed(self) -> list[MediaUnit]:
        """The fragment whose media has come, if it has."""
        if self._unit is None or self._media_end is None:
            return []
        if self._pieces.position < self._media_end:
            return []
        unit, self._unit = self._unit, None
        unit.size = self._media_end - unit.offset
        return [unit]

    def _take_box(self) -> bool:
        """Read the next box, or pass over it; False until enough of it came."""
        header = self._box_header()
        if header is None:
            return False
        kind, size = header
        start = self._pieces.position
        self.has_media = self.has_media or kind in {b"moof", b"mdat"}
        if kind not in _KEPT:
            self._pieces.skip(size)
            self._media_end = start + size if kind == b"mdat" else None
            return True
        if not self._pieces.has(size):
            return False
        box = self._pieces.read(size)
        if kind == b"moof":
            self._media_end = None
            self._unit = self._begun(start, runs_of(box, self._movie))
        else:
            self._keep_header(kind, box)
        return True

    def _box_header(self) -> tuple[bytes, int] | None:
        """Kind and size of the next box; None until both can be read."""
        header = read_box_header(self._pieces.peek(LONG_HEADER_BYTES))
        if header is None:
            return None
        kind, length = header.kind, header.header_bytes
        size = sys.maxsize if header.size is None else header.size
        if not kind.isalnum():
            raise bad_container(f"byte {self._pieces.position} of the MP4 stream is no box")
        if size < length or (kind not in _MAY_BE_LARGE and size > _MAX_KEPT_BYTES):
            raise bad_container(f"a {kind!r} box of the MP4 stream claims {size} bytes")
        return kind, size

    def _begun(self, offset: int, runs: list[SampleRun]) -> MediaUnit | None:
        """A fragment whose media is still to come."""
        if not runs:
            return None
        for run in runs:
            self._times.add(run.track, *shown(run, self._movie))
        unit = media_unit_of(offset, runs, self._movie)
        self._is_placed = self._is_placed or any(run.is_placed for run in runs)
        if unit.is_key and (not self._is_placed or offset == self._header_bytes):
            self.entries.append(EntryPoint(offset, unit.start_seconds))
        return unit

    def _keep_header(self, kind: bytes, box: bytes) -> None:
        if self._moov_offset is not None:
            raise bad_container("a second MP4 header stands within the stream")
        if kind == b"moov":
            self._moov_offset = self._header_bytes
            self._movie = read_movie(box)
            self._times.reached_seconds = self._movie.seconds
        self._header += box
        self._header_bytes += len(box)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._header.clear()


class Mp4Head:
    """`ftyp` and `moov` for media that begins anew."""

    def __init__(self, header: bytes, moov_offset: int, movie: Movie) -> None:
        self._header = bytearray(header)
        self._moov_offset = moov_offset
        self._movie = movie
        for edit in movie.edits:
            if not edit.is_empty:  # nothing is hidden, so that every segment lasts as it declares
                self._write(edit.offset, edit.width, movie.tracks[edit.track].shown_lag)

    @property
    def size(self) -> int:
        return len(self._header)

    def filled(self, start_seconds: float, seconds: float | None, payload_bytes: int) -> bytes:
        del payload_bytes  # the boxes behind say it
        for at, width, timescale in self._movie.lengths:
            self._write(at, width, round((seconds or 0.0) * timescale))
        for edit in self._movie.edits:
            if edit.is_empty:
                delay = max(0.0, self._movie.tracks[edit.track].delay_seconds - start_seconds)
                kept = delay if seconds is None else min(delay, seconds)
                self._write(edit.offset, edit.width, round(kept * self._movie.timescale))
        return bytes(self._header)

    def _write(self, at: int, width: int, value: int) -> None:
        at += self._moov_offset
        self._header[at : at + width] = min(value, (1 << 8 * width) - 1).to_bytes(width, "big")
