"""Matroska and WebM as a stream: Clusters and their times.

Browser recorders write Clusters of unknown size and cut their chunks anywhere, also within an
element's number; ffmpeg writes known sizes. Both are read by the same walk.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from . import ebml
from .container_types import (
    MAX_HEADER_BYTES,
    MAX_TRACKS,
    EntryPoint,
    MediaUnit,
    StreamTimes,
    TimeJump,
    TimestampField,
    TrackSpan,
    bad_container,
    too_large_header,
    too_many_tracks,
)
from .ebml import ALL, Element, Elements, Id, RunBlock

_MAX_HEADER_BYTES = 1 << 24
_BLOCK_HEADER_BYTES = 11  # track number of up to 8, time of 2, flags of 1
_WANTED: dict[int, int] = {
    Id.EBML: ALL,
    Id.INFO: ALL,
    Id.TRACKS: ALL,
    Id.TIMESTAMP: 8,
    Id.SIMPLE_BLOCK: _BLOCK_HEADER_BYTES,
    Id.BLOCK: _BLOCK_HEADER_BYTES,
}
_BLOCKS = frozenset({Id.SIMPLE_BLOCK, Id.BLOCK})
_MOST_FRAME_SECONDS = 1.0  # chosen: where two pictures stand far apart, the second need not stay
_FAR_SECONDS = 5.0  # chosen: less than any jump that is left out, more than a Cluster lasts
_KEY = 0x80
_TICKS_AND_FLAGS = struct.Struct(">hB")
_VIDEO = 1


class Block(NamedTuple):
    """One block's place in time."""

    track: int
    ticks: int
    """From the Cluster's own time."""
    is_key: bool
    """As flagged; only of meaning in a SimpleBlock."""
    header_bytes: int
    """What stands before the media."""


@dataclass(frozen=True, slots=True)
class MatroskaTrack:
    is_video: bool = False
    frame_seconds: float = 0.0
    """Declared, else 0."""


@dataclass(slots=True)
class Blocks:
    """Those of one track in one Cluster, in seconds."""

    first: float
    is_key: bool
    earliest: float
    latest: float
    count: int = 1
    before_key: list[tuple[int, int]] | None = None
    """Place in the Cluster, and size, of those before its first key frame. None where it begins
    with one, or some are not SimpleBlocks."""
    has_later_key: bool = False
    """Whether a key frame follows those."""

    def add(self, times: Sequence[float]) -> None:
        self.latest, self.earliest = max(self.latest, *times), min(self.earliest, *times)
        self.count += len(times)

    @property
    def seeks_key(self) -> bool:
        return self.before_key is not None and not self.has_later_key

    def seek_key(self, place: int, size: int, *, is_key: bool) -> None:
        """Take note of a block that is the first key frame, or stands before it."""
        if self.before_key is not None and not self.has_later_key:
            if is_key:
                self.has_later_key = True
            else:
                self.before_key.append((place, size))

    def copy(self) -> Blocks:
        return replace(self, before_key=self.before_key and list(self.before_key))


@dataclass(slots=True)
class Cluster:
    """One that is being read."""

    offset: int
    end: int | None
    timestamp: tuple[int, int, int] = (0, 0, 0)
    """Offset, width and value of its time."""
    blocks: dict[int, Blocks] = field(default_factory=dict)
    read_to: int = 0
    """Where its last whole element ends."""
    far_blocks: list[tuple[int, int, int]] = field(default_factory=list)
    """As of `MediaUnit`."""

    def holds(self, element: Element) -> bool:
        """Whether a block stands in it, and not behind."""
        return self.end is None or element.offset < self.end

    def copy(self) -> Cluster:
        blocks = {track: each.copy() for track, each in self.blocks.items()}
        return replace(self, blocks=blocks, far_blocks=list(self.far_blocks))


class MatroskaReader:
    """Finds the Clusters of a Matroska or WebM stream."""

    def __init__(self) -> None:
        self._elements = Elements(_WANTED, gathers_blocks=True)
        self._tracks: dict[int, MatroskaTrack] = {}
        self._ticks_per_second = 1_000.0
        self._far_ticks = _FAR_SECONDS * self._ticks_per_second
        self._beginning = bytearray()
        self._header = b""
        self._header_bytes = 0
        """Known when the first Cluster begins."""
        self._parts: dict[int, bytes] = {}
        self._cluster: Cluster | None = None
        self._last_track: int | None = None
        """Of the newest block of the Cluster."""
        self._times = StreamTimes()
        self.entries: list[EntryPoint] = []

    def copy(self) -> MatroskaReader:
        twin: MatroskaReader = copy(self)
        twin._elements, twin._times = self._elements.copy(), self._times.copy()
        twin._tracks, twin._parts = dict(self._tracks), dict(self._parts)
        twin._beginning = bytearray(self._beginning)
        twin._cluster = self._cluster.copy() if self._cluster else None
        return twin

    @property
    def header(self) -> bytes | None:
        return self._header or None

    @property
    def reached_seconds(self) -> float:
        return self._times.reached_seconds

    @property
    def jump(self) -> TimeJump | None:
        return self._times.jump

    @property
    def has_media(self) -> bool:
        return self._header_bytes > 0

    def feed(self, data: bytes) -> list[MediaUnit]:
        self.entries, self._times.jump = [], None
        self._keep_beginning(data)
        units: list[MediaUnit] = []
        for element in self._elements.feed(data):
            cluster = self._cluster
            if cluster and element.number in _BLOCKS and cluster.holds(element):  # as nearly all
                if element.blocks:
                    self._take_run(element.offset, element.blocks, cluster)
                else:
                    self._take_block(element, cluster)
                cluster.read_to = element.end or cluster.read_to
            else:
                units += self._closed_before(element)
                self._handle(element)
                self._note_end(element)
        return units + self._closed_at(self._elements.position)

    def finish(self) -> list[MediaUnit]:
        """A last Cluster of unknown size counts as far as its elements are whole."""
        cluster = self._cluster
        if cluster is None or cluster.end is not None:
            return []
        return self._close(min(cluster.read_to, self._elements.position))

    def head(self) -> MatroskaHead:
        if not self._header:
            raise too_large_header(self._header_bytes)
        return MatroskaHead(self._parts, self._ticks_per_second)

    def _keep_beginning(self, data: bytes) -> None:
        if not self.has_media:
            self._beginning += data
            if len(self._beginning) > _MAX_HEADER_BYTES + len(data):
                raise bad_container("the Matroska stream has a header without an end")

    def _closed_before(self, element: Element) -> list[MediaUnit]:
        cluster = self._cluster
        if cluster is None:
            return []
        if cluster.end is not None:
            return self._closed_at(element.offset)
        return self._close(element.offset) if element.number in ebml.TOP else []

    def _closed_at(self, position: int) -> list[MediaUnit]:
        cluster = self._cluster
        if cluster is None or cluster.end is None or position < cluster.end:
            return []
        return self._close(cluster.end)

    def _close(self, end: int) -> list[MediaUnit]:
        cluster, self._cluster = self._cluster, None
        if cluster is None or not cluster.blocks:
            return []
        return [self._unit(cluster, end)]

    def _handle(self, element: Element) -> None:
        match element.number:
            case Id.CLUSTER:
                self._begin_cluster(element)
            case Id.TIMESTAMP if self._cluster:
                width = len(element.payload)
                self._cluster.timestamp = (
                    element.payload_offset - self._cluster.offset,
                    width,
                    element.unsigned,
                )
            case Id.REFERENCE_BLOCK if self._cluster and self._last_track is not None:
                blocks = self._cluster.blocks[self._last_track]
                blocks.is_key = blocks.is_key and blocks.count > 1
            case Id.EBML | Id.INFO | Id.TRACKS if not self.has_media:
                self._parts[element.number] = element.header + element.payload
                self._take_header(element)
            case number if number not in ebml.KNOWN:
                raise bad_container(f"{number:X} is no element of a Matroska stream")
            case _:
                pass

    def _note_end(self, element: Element) -> None:
        end = element.end
        if self._cluster and end is not None and element.number not in ebml.ENTERED:
            self._cluster.read_to = end

    def _begin_cluster(self, element: Element) -> None:
        if not self.has_media:
            if not {Id.EBML, Id.TRACKS} <= self._parts.keys():
                raise bad_container("the Matroska stream has media before its header")
            self._header_bytes = element.offset
            if self._header_bytes <= MAX_HEADER_BYTES:
                self._header = bytes(self._beginning[: element.offset])
            else:
                self._parts.clear()
            self._beginning.clear()
        self._cluster = Cluster(element.offset, element.end)
        self._last_track = None

    def _take_header(self, element: Element) -> None:
        if element.number == Id.INFO:
            for number, payload in ebml.children(element.payload):
                if number == Id.TIMESTAMP_SCALE and any(payload):
                    self._ticks_per_second = 1e9 / int.from_bytes(payload, "big")
                    self._far_ticks = _FAR_SECONDS * self._ticks_per_second
        elif element.number == Id.TRACKS:
            entries = ebml.children(element.payload)
            self._tracks = dict(_track(entry) for name, entry in entries if name == Id.TRACK_ENTRY)
            if len(self._tracks) > MAX_TRACKS:
                raise too_many_tracks("Matroska", len(self._tracks))

    def _take_run(self, offset: int, run: Sequence[RunBlock], cluster: Cluster) -> None:
        """Take SimpleBlocks that follow each other from a place of the stream on."""
        begins, ticks_per_second = cluster.timestamp[2], self._ticks_per_second
        tracks, all_ticks, all_flags, places, sizes, _ = zip(*run, strict=True)
        seconds = [(begins + ticks) / ticks_per_second for ticks in all_ticks]
        times = {
            track: [time for each, time in zip(tracks, seconds, strict=True) if each == track]
            for track in dict.fromkeys(tracks)
        }
        if all(self._times.goes_on(*each) for each in times.items()):
            for each in times.items():
                self._times.reach(*each)
        else:
            for track, time in zip(tracks, seconds, strict=True):
                self._times.add(track, time, time)
        begins = offset - cluster.offset
        for track, of_track in times.items():
            is_key = bool(all_flags[tracks.index(track)] & _KEY)
            blocks = self._place(track, of_track, cluster, is_key=is_key, is_entry=is_key)
            if blocks.seeks_key:
                for each, flags, place, size in zip(tracks, all_flags, places, sizes, strict=True):
                    if each == track:
                        blocks.seek_key(begins + place, size, is_key=bool(flags & _KEY))
        if max(all_ticks) > self._far_ticks or min(all_ticks) < -self._far_ticks:
            cluster.far_blocks += [
                (begins + place + ticks_place, track, ticks)
                for track, ticks, _, place, _, ticks_place in run
                if abs(ticks) > self._far_ticks
            ]
        self._last_track = tracks[-1]

    def _take_block(self, element: Element, cluster: Cluster) -> None:
        block = block_of(element.payload)
        if block is None:
            raise bad_container("a block of the Matroska stream is too short")
        time = (cluster.timestamp[2] + block.ticks) / self._ticks_per_second
        self._times.add(block.track, time, time)
        if abs(block.ticks) > self._far_ticks:
            place = (
                element.payload_offset - cluster.offset + block.header_bytes - _TICKS_AND_FLAGS.size
            )
            cluster.far_blocks.append((place, block.track, block.ticks))
        # Of one within a BlockGroup only what follows would tell whether it is a key frame.
        is_simple = element.number == Id.SIMPLE_BLOCK
        is_key, is_entry = block.is_key or not is_simple, block.is_key and is_simple
        blocks = self._place(block.track, [time], cluster, is_key=is_key, is_entry=is_entry)
        if blocks.seeks_key and is_simple and element.end is not None:
            place, size = element.offset - cluster.offset, element.end - element.offset
            blocks.seek_key(place, size, is_key=is_key)
        elif blocks.seeks_key:
            blocks.before_key = None
        self._last_track = block.track

    def _place(
        self, track: int, times: Sequence[float], cluster: Cluster, *, is_key: bool, is_entry: bool
    ) -> Blocks:
        """Put blocks of a track into the Cluster that is being read.

        Args:
            is_key: Whether the first of them counts as a key frame.
            is_entry: Whether it tells for sure that a decoder can begin with it.
        """
        if blocks := cluster.blocks.get(track):
            blocks.add(times)
            return blocks
        if len(cluster.blocks) >= MAX_TRACKS:
            raise too_many_tracks("Matroska", len(cluster.blocks) + 1)
        first, *others = times
        before_key = None if is_key else list[tuple[int, int]]()
        blocks = Blocks(first, is_key, first, first, before_key=before_key)
        cluster.blocks[track] = blocks
        if others:
            blocks.add(others)
        if track == self._main(cluster) and (is_entry or not self._is_video(track)):
            self.entries.append(EntryPoint(cluster.offset, first))
        return blocks

    def _unit(self, cluster: Cluster, end: int) -> MediaUnit:
        main = self._main(cluster)
        is_video = self._is_video(main)
        blocks = cluster.blocks.get(main) if main is not None else None
        ordered = sorted(cluster.blocks, key=lambda number: number != main)
        offset, width, ticks = cluster.timestamp
        before_key = (blocks.before_key or ()) if blocks and blocks.has_later_key else ()
        return MediaUnit(
            offset=cluster.offset,
            size=end - cluster.offset,
            spans=tuple(self._span(number, cluster.blocks[number]) for number in ordered),
            is_key=not is_video or (blocks is not None and blocks.is_key),
            has_picture=not is_video or blocks is not None,
            has_leading=blocks is not None and blocks.is_key and blocks.earliest < blocks.first,
            timestamps=(TimestampField(offset, width, ticks, self._ticks_per_second),)
            if width
            else (),
            far_blocks=tuple(cluster.far_blocks) if width else (),
            before_key=tuple((place, ebml.void(size)) for place, size in before_key),
        )

    def _span(self, number: int, blocks: Blocks) -> TrackSpan:
        start = blocks.first if blocks.is_key else blocks.earliest
        end = blocks.latest + self._frame_seconds(number, blocks)
        return TrackSpan(number, start, blocks.earliest, end)

    def _main(self, cluster: Cluster) -> int | None:
        videos = (number for number, track in self._tracks.items() if track.is_video)
        return next(videos, next(iter(cluster.blocks)) if cluster.blocks else None)

    def _is_video(self, number: int | None) -> bool:
        """Whether this track has pictures; one that the header does not name has none."""
        track = self._tracks.get(number) if number is not None else None
        return track is not None and track.is_video

    def _frame_seconds(self, number: int, blocks: Blocks) -> float:
        """How long a block lasts, which blocks do not tell: as declared, else their mean."""
        track = self._tracks.get(number, MatroskaTrack())
        if blocks.count > 1 and not track.frame_seconds:
            mean = (blocks.latest - blocks.earliest) / (blocks.count - 1)
            return min(mean, _MOST_FRAME_SECONDS)
        return track.frame_seconds


class MatroskaHead:
    """EBML, Segment, Info and Tracks for media that begins anew."""

    def __init__(self, parts: dict[int, bytes], ticks_per_second: float) -> None:
        self._before = parts[Id.EBML]
        self._ticks_per_second = ticks_per_second
        self._info = b"".join(
            ebml.element(number, payload)
            for number, payload in ebml.children(_payload(parts.get(Id.INFO, b"")))
            if number != Id.DURATION
        )
        self._tracks = parts[Id.TRACKS]
        self.size = len(self.filled(0.0, 0.0, 0))

    def filled(self, start_seconds: float, seconds: float | None, payload_bytes: int) -> bytes:
        del start_seconds  # blocks tell all times
        if seconds is None:
            info = ebml.element(Id.INFO, self._info)
            return self._before + Id.SEGMENT.to_bytes(4, "big") + ebml.UNKNOWN + info + self._tracks
        duration = struct.pack(">d", seconds * self._ticks_per_second)
        info = ebml.element(Id.INFO, self._info + ebml.element(Id.DURATION, duration))
        size = ebml.sized(len(info) + len(self._tracks) + payload_bytes)
        segment = Id.SEGMENT.to_bytes(4, "big") + size
        return self._before + segment + info + self._tracks


def block_of(payload: bytes) -> Block | None:
    """The beginning of a block; None where it is too short to be one."""
    length = ebml.length_at(payload, 0)
    if length > 8 or len(payload) < length + 3:
        return None
    track = ebml.number_of(payload[:length])
    ticks, flags = _TICKS_AND_FLAGS.unpack_from(payload, length)
    return Block(track or 0, ticks, bool(flags & _KEY), length + 3)


def _track(entry: bytes) -> tuple[int, MatroskaTrack]:
    fields = dict(ebml.children(entry))
    number = int.from_bytes(fields.get(Id.TRACK_NUMBER, b""), "big")
    is_video = fields.get(Id.TRACK_TYPE) == bytes([_VIDEO])
    nanoseconds = int.from_bytes(fields.get(Id.DEFAULT_DURATION, b""), "big")
    return number, MatroskaTrack(is_video, nanoseconds / 1e9)


def _payload(element: bytes) -> bytes:
    """Of an element as it was written, header included."""
    if not element:
        return b""
    number_length = 9 - element[0].bit_length()
    return element[number_length + 9 - element[number_length].bit_length() :]
