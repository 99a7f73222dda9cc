"""Finds where the clock of a file was set back, from the times that its container names.

A recorder whose clock is set while it records, or recordings put one behind the other, have times
that begin again in the middle. All of it is media: times go on from where they were.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from operator import sub
from typing import BinaryIO

from ih_mcp.errors import MediaError

from . import ebml
from .ebml import Id
from .matroska_clusters import block_of
from .mp4_boxes import children, read_movie
from .mp4_fields import LONG_HEADER_BYTES, read_box_header

_LEAST_SECONDS = 1.0  # chosen: media that overlaps by less is left as it is
_REORDERED_SECONDS = 0.25  # chosen: so far times go back where pictures are shown in another order
_MAX_STEP_SECONDS = 10.0  # chosen: from one time of a track to the next; the clock jumps otherwise
_WRAP_SECONDS = (1 << 33) / 90_000
"""After which the clock of MPEG-TS begins at 0 again."""
_MAX_UNITS = 1_000_000
_MAX_MOOV_BYTES, _MAX_MOOF_BYTES, _MAX_HEADER_BYTES = 1 << 24, 1 << 20, 1 << 16
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SetBack:
    """A place where the clock of a file was set back."""

    at_seconds: float
    """Of the media, from where it begins."""
    seconds: float
    """By how much."""


class TrackClock:
    """The times of one track in their order in the file, and where they go back.

    Args:
        wraps: Whether the clock begins at 0 again after 26.5 hours.
    """

    def __init__(self, *, wraps: bool = False) -> None:
        self._wraps = wraps
        self._last: float | None = None
        self.first_seconds = 0.0
        """The time that came first."""
        self._steps = (0.0, 0.0)
        """The last two that were media: Clusters are often long and short by turns."""
        self.media_seconds = 0.0
        """How long the media seen until now is."""
        self.latest_seconds = 0.0
        """The latest time."""
        self.set_backs: list[SetBack] = []

    def see(self, times: Sequence[float]) -> None:
        """Take the next times, in seconds; at least one."""
        if self._last is None:
            self._last = self.first_seconds = times[0]
        last = self._last
        steps = list(map(sub, times, (last, *times)))
        self._last, self.latest_seconds = times[-1], max(self.latest_seconds, *times)
        if min(steps) >= -_REORDERED_SECONDS and max(steps) <= _MAX_STEP_SECONDS:
            self.media_seconds += sum(steps)
            self._steps = (*self._steps, *steps[-2:])[-2:]
            return
        for step in steps:
            self._step(step)

    def _step(self, step: float) -> None:
        if self._wraps:
            step = (step + _WRAP_SECONDS / 2) % _WRAP_SECONDS - _WRAP_SECONDS / 2
        last_seconds = max(self._steps)  # what came before lasts about as long as those before it
        if step < -_REORDERED_SECONDS and last_seconds - step > _LEAST_SECONDS:
            self.media_seconds += last_seconds
            self.set_backs.append(SetBack(self.media_seconds, last_seconds - step))
        elif step <= _MAX_STEP_SECONDS:
            self.media_seconds += step
            self._steps = self._steps[1], step


def fragment_times(file: BinaryIO) -> Iterator[tuple[int, float]]:
    """The decoding times with which the fragments of an MP4 begin, by track."""
    moov, scales = b"", dict[int, int]()
    try:
        for kind, at, size in _boxes(file):
            if kind == b"moov" and size <= _MAX_MOOV_BYTES:
                file.seek(at)
                moov = file.read(size)
            elif kind == b"moof" and moov and size <= _MAX_MOOF_BYTES:
                scales = scales or {n: t.timescale for n, t in read_movie(moov).tracks.items()}
                file.seek(at)
                for track, ticks in _decoding_times(file.read(size)):
                    yield track, ticks / scales.get(track, 1)
    except (struct.error, IndexError, MediaError):
        return  # damaged: ffmpeg will tell


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """The outer boxes: kind, place and size."""
    at = 0
    for _ in range(_MAX_UNITS):
        file.seek(at)
        header = read_box_header(file.read(LONG_HEADER_BYTES))
        if header is None or header.size is None or header.size < header.header_bytes:
            return
        yield header.kind, at, header.size
        at += header.size


def _decoding_times(moof: bytes) -> Iterator[tuple[int, int]]:
    for traf, begin, end in children(moof, 8, len(moof)):
        track = 0
        for kind, at, _ in children(moof, begin, end) if traf == b"traf" else ():
            if kind == b"tfhd":
                (track,) = struct.unpack_from(">I", moof, at + 4)
            elif kind == b"tfdt":
                yield track, struct.unpack_from(">Q" if moof[at] else ">I", moof, at + 4)[0]


_CLUSTER = Id.CLUSTER.to_bytes(4, "big")
_TIME = re.compile(rb"(?:\xbf\x84.{4})?\xe7([\x81-\x88])(.{8})", re.DOTALL)
"""The time of a Cluster, perhaps behind a checksum."""
_BLOCKS = {Id.SIMPLE_BLOCK, Id.BLOCK}
_BLOCK_BYTES = 24  # number, size, track, time and flags
_MAX_ELEMENTS = 32  # chosen: of the beginning of a Cluster; two or three are enough nearly always
_BEGINNING_BYTES = 28  # number, size and checksum of a Cluster, then its time with its own


def cluster_times(file: BinaryIO) -> Iterator[tuple[int, float]]:
    """The time of the first block of each track in each Cluster of a Matroska file, by track.

    Of a Cluster the first blocks are looked at, until all tracks of the Clusters before are seen. A
    track may be written far ahead of the others, so that times of Clusters go back and forth.
    """
    known = set[int]()
    file.seek(0)
    ticks_per_second = _ticks_per_second(file.read(_MAX_HEADER_BYTES))
    at = _next_cluster(file, 0)
    for _ in range(_MAX_UNITS):
        if at is None:
            return
        file.seek(at)
        beginning = file.read(_BEGINNING_BYTES)
        begins = len(_CLUSTER) + min(8, ebml.length_at(beginning, len(_CLUSTER)))
        found = _TIME.match(beginning, begins)
        # Browsers write Clusters of unknown size.
        size = ebml.number_of(beginning[len(_CLUSTER) : begins]) if found else None
        if found:
            width, ends = found[1][0] & 0x7F, inf if size is None else at + begins + size
            begins_ticks = int.from_bytes(found[2][:width], "big")
            seen = set[int]()
            for track, ticks in _blocks(file, at + found.start(2) + width, ends):
                if track not in seen:
                    yield track, (begins_ticks + ticks) / ticks_per_second
                    seen.add(track)
                if known and seen >= known:
                    break
            known |= seen
        at = _next_cluster(file, at + begins + (size or 0))


def _blocks(file: BinaryIO, at: int, end: float) -> Iterator[tuple[int, int]]:
    """Track and time of the first blocks of a Cluster, whose elements follow from a place on."""
    for _ in range(_MAX_ELEMENTS):
        file.seek(at)
        head = file.read(_BLOCK_BYTES)
        width = ebml.length_at(head, 0)
        start = width + ebml.length_at(head, width)
        number, size = int.from_bytes(head[:width], "big"), ebml.number_of(head[width:start])
        if at >= end or start > len(head) or size is None or number in ebml.TOP:
            return
        if number in _BLOCKS and (block := block_of(head[start:])):
            yield block.track, block.ticks
        at += start + (0 if number in ebml.ENTERED else size)


def _next_cluster(file: BinaryIO, at: int) -> int | None:
    """Where the next one begins; mostly that is where the one before ends."""
    file.seek(at)
    waiting = file.read(len(_CLUSTER))
    while (found := waiting.find(_CLUSTER)) < 0:
        kept = waiting[1 - len(_CLUSTER) :]
        at += len(waiting) - len(kept)
        data = file.read(_READ_BYTES)
        if not data:
            return None
        waiting = kept + data
    return at + found


def _ticks_per_second(head: bytes) -> float:
    written = Id.TIMESTAMP_SCALE.to_bytes(3, "big")
    at = head.find(written, 0, _MAX_HEADER_BYTES) + len(written)
    length = ebml.length_at(head, at)
    if at < len(written) or length > 1:
        return 1_000.0
    size = ebml.number_of(head[at : at + 1]) or 0
    return 1e9 / (int.from_bytes(head[at + 1 : at + 1 + size], "big") or 1_000_000)
