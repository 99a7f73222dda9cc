"""Finds tracks whose parameters change in the middle, as where an advert was put into a recording.

Where the clock of a file was set back is found on the way, see `clock_set_backs`.

A copy has one header, made from the first parameters: what follows a change would play at the wrong
rate, or not at all. AAC, MP3 and AC-3 in MPEG-TS, AAC in files of its own and in FLV, and H.264 in
FLV can change so; pictures in MPEG-TS carry their parameters with them. MP4 names them in its
header, see `header_facts`. The whole file is read once, half a second for an hour of MPEG-TS; of
MP4 only where its fragments begin.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from .clock_set_backs import SetBack, TrackClock, cluster_times, fragment_times

_READ_BYTES = 1 << 18
_PACKET_BYTES = 188  # of MPEG-TS
_PACKETS_BYTES = (188, 192, 204)  # with the time of cameras, with what corrects errors
_KEPT_BYTES = 1_024  # more than is left of a piece until the next one is there
_BEHIND_BYTES = 384  # what is read of a unit ends within so many behind its beginning
_LEAST_PACKETS = 8  # chosen: fewer may stand so by chance
_CALLED_EACH = 1_000
_LEAST_SEEN = 2  # a header that was seen once may be damage
_UNIT = re.compile(  # ISO/IEC 13818-1: a packet that begins a unit of a track or a list of tracks
    rb"\x47([\x40-\x5f].)(?:(?:[\x10-\x1f]|[\x30-\x3f].{1,180}?)\x00\x00\x01([\xbd\xc0-\xef])"
    rb"|[\x10-\x1f]\x00(\x02[\xb0-\xbf].{181}))",
    re.DOTALL,
)
_MARK, _BEGINS = b"\x47", re.compile(rb"[\x40-\x5f]")
_FIRST_PICTURES = b"\xe0"
_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]", re.DOTALL)


class Sighting(NamedTuple):
    """A stretch of a file that tells something of a track; often a single place."""

    kind: str
    """`video` or `audio`; nothing where the track does not matter."""
    number: int
    headers: Sequence[bytes] = ()
    """What may not change, each time the place says it; nothing stands for a place without it."""
    times: Sequence[float] = ()
    """In seconds by the clock of the file, in their order in it."""
    begins: int = 0
    """Where the stretch begins, in bytes of the file; set where tracks may replace others."""
    ends: int = 0
    """Where the last that it tells of begins."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes in the middle of a file."""

    tracks: frozenset[str] = frozenset()
    """Of `video` and `audio`, those whose parameters do."""
    changes_codec: bool = False
    """Whether a track of one codec becomes one of another."""
    set_backs: tuple[SetBack, ...] = ()
    """Of the clock of its tracks; of that one which was set back most often, and of several such
    ones, of the longest."""
    replaced_seconds: float = 0.0
    """How long the media is where a track ends and another of its kind begins behind it; else 0."""
    end_seconds: float | None = None
    """The latest time that was seen, where every packet was and the file ends with a whole one."""
    below_seconds: float = 0.0
    """How far below 0 the first time of a track is."""


def find_changes(
    file: BinaryIO, container: str, go_on: Callable[[], object] = lambda: None
) -> Changes:
    """What changes in the middle of a file.

    Reads the disk: call it in a thread.

    Args:
        file: Read from its beginning.
        container: As `Facts.container_name`.
        go_on: Called now and then; what it raises ends the work.
    """
    sightings = _SIGHTINGS.get(container)
    if sightings is None:
        return Changes()
    file.seek(0)
    tracks = _Tracks(wraps=container == "mpegts")
    for count, sighting in enumerate(sightings(file)):
        if count % _CALLED_EACH == 0:
            go_on()
        tracks.see(sighting)
    changes = tracks.changes()
    if container == "flv" and _ends_with_tag(file):
        return replace(changes, end_seconds=tracks.latest_seconds)
    return changes


class _Tracks:
    """What was seen of the tracks of a file, in its order."""

    def __init__(self, *, wraps: bool) -> None:
        self._wraps = wraps
        self._headers = defaultdict[tuple[str, int], Counter[bytes]](Counter)
        self._clocks: dict[tuple[str, int], TrackClock] = {}
        self._begins: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def see(self, sighting: Sighting) -> None:
        track = sighting.kind, sighting.number
        self._headers[track].update(filter(None, sighting.headers))
        if sighting.times:
            if track not in self._clocks:
                self._clocks[track] = TrackClock(wraps=self._wraps)
                self._begins[track] = sighting.begins
            self._clocks[track].see(sighting.times)
            self._ends[track] = sighting.ends

    @property
    def latest_seconds(self) -> float | None:
        return max((clock.latest_seconds for clock in self._clocks.values()), default=None)

    def changes(self) -> Changes:
        changing = frozenset(
            kind
            for (kind, _), counted in self._headers.items()
            if sum(count >= _LEAST_SEEN for count in counted.values()) > 1
        )
        clocks = self._clocks.values()
        clock = max(clocks, key=lambda one: (len(one.set_backs), one.media_seconds), default=None)
        set_backs = clock.set_backs if clock else ()
        lengths = [self._replaced_seconds(kind) for kind in ("video", "audio")]
        first = min((each.first_seconds for each in clocks), default=0.0)
        return Changes(
            changing - {""},
            "" in changing,
            tuple(set_backs),
            replaced_seconds=max(lengths),
            below_seconds=max(0.0, -first),
        )

    def _replaced_seconds(self, kind: str) -> float:
        """How long its tracks are in all, where each begins behind the one before; else 0."""
        found = sorted(
            (track for track in self._begins if track[0] == kind), key=self._begins.__getitem__
        )
        follow = [self._ends[before] < self._begins[after] for before, after in pairwise(found)]
        if not follow or not all(follow):
            return 0.0
        return sum(self._clocks[track].media_seconds for track in found)


def _transport(file: BinaryIO) -> Iterator[Sighting]:
    """The packetized units that begin in each piece of the file, by their PID."""
    offset = seen = 0
    while offset + len(data := _at(file, offset, _READ_BYTES + _KEPT_BYTES)) > seen:
        seen = offset + len(data)
        units, tables = defaultdict[tuple[bytes, bool], list[int]](list), Counter[bytes]()
        begun, searched = _begun(data)
        for found in begun:
            number, kind, table = found.groups()
            if table:
                tables[table] += 1
            else:
                units[number, kind >= _FIRST_PICTURES].append(found.end())
        for table, count in tables.items():
            yield from _listed(table, count)
        for (number, is_picture), places in units.items():
            yield Sighting(
                "video" if is_picture else "audio",
                int.from_bytes(number, "big") & 0x1FFF,
                () if is_picture else [_unit_header(data, at) for at in places],
                _transport_times(data, places),
                offset + places[0],
                offset + places[-1],
            )
        offset += searched  # what is left is read once more: to keep and to join it costs more


def _begun(data: bytes) -> tuple[list[re.Match[bytes]], int]:
    """The packets that begin a unit or a list of tracks, and up to where they were looked for.

    Where packets follow each other without a gap, as nearly always, their second bytes tell.
    """
    if packets := _packets(data):
        seconds = data[packets.start + 1 : packets.stop + 1 : packets.step]
        places = [packets[begins.start()] for begins in _BEGINS.finditer(seconds)]
        found = [unit for at in places if (unit := _UNIT.match(data, at, at + _PACKET_BYTES))]
        return found, packets[-1] + packets.step
    found = list(_UNIT.finditer(data, 0, max(0, len(data) - _BEHIND_BYTES)))
    searched = max(0, len(data) - _BEHIND_BYTES - _PACKETS_BYTES[1])
    return found, max(searched, found[-1].end() if found else 0)


def _packets(data: bytes) -> range:
    """Where packets begin, all but the last few, if they follow each other up to the end."""
    at = data.find(_MARK, 0, _PACKETS_BYTES[-1])
    while at >= 0:
        for size in _PACKETS_BYTES:
            marks = data[at::size]
            if len(marks) >= _LEAST_PACKETS and marks.count(_MARK) == len(marks):
                return range(at, len(data) - _BEHIND_BYTES - _PACKET_BYTES + 1, size)
        at = data.find(_MARK, at + 1, _PACKETS_BYTES[-1])
    return range(0)


def _unit_header(data: bytes, at: int) -> bytes:
    """What may not change of the sound in the unit whose length field stands there."""
    at += 5 + data[at + 4]  # behind the PES header, which tells its length
    return _header(data[at : at + _FRAME_BYTES])


def _listed(table: bytes, count: int = 1) -> Iterator[Sighting]:
    """The kind of codec of each track that a program map table lists, as far as one packet goes.

    Args:
        count: How many times the table stands there.
    """
    end = min(len(table), 3 + (int.from_bytes(table[1:3], "big") & 0xFFF) - 4)
    at = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while at + 5 <= end:
        number = int.from_bytes(table[at + 1 : at + 3], "big") & 0x1FFF
        yield Sighting("", number, count * (table[at : at + 1],))
        at += 5 + (int.from_bytes(table[at + 3 : at + 5], "big") & 0xFFF)


def _transport_times(data: bytes, places: Sequence[int]) -> list[float]:
    """When units are decoded, by the PES headers whose length fields stand there, in seconds."""
    times = []
    for at in places:
        present = data[at + 3] >> 6
        if present == 2:
            read = int.from_bytes(data[at + 5 : at + 10], "big")
        elif present == 3:  # of the two the second
            read = int.from_bytes(data[at + 10 : at + 15], "big")
        else:
            continue
        ticks = read >> 3 & 7 << 30 | read >> 2 & 0x7FFF << 15 | read >> 1 & 0x7FFF
        times.append(ticks / _TRANSPORT_HERTZ)
    return times


_TRANSPORT_HERTZ = 90_000


def _adts(file: BinaryIO) -> Iterator[Sighting]:
    """The header of each frame of a file that has nothing else."""
    waiting, at = b"", 0
    while data := file.read(_READ_BYTES):
        waiting += data
        while (found := _SYNC.search(waiting, at)) and found.start() + 6 <= len(waiting):
            at = found.start()
            yield Sighting("audio", 0, (_parameters(waiting[at : at + _FRAME_BYTES]),))
            at += max(7, (int.from_bytes(waiting[at + 3 : at + 6], "big") >> 5) & 0x1FFF)
        passed = found.start() if found else max(at, len(waiting) - 1)
        waiting, at = waiting[passed:], max(0, passed - len(waiting))


@lru_cache(maxsize=1 << 12)
def _header(frame: bytes) -> bytes:
    """What may not change of a frame that begins so; nothing where that is none that we know.

    Of MP3 and AC-3 that is the rate: each of their frames tells its channels, and decoders follow.
    """
    if _SYNC.match(frame):
        return _parameters(frame)
    first, second, third, _, fifth, sixth = frame
    if first == 0xFF and second & 0xE0 == 0xE0 and second & 0x06:
        return bytes((second & 0x1E, third & 0x0C))
    if (first, second) == (0x0B, 0x77) and sixth >> 3 <= _LAST_AC3:
        return bytes((first, fifth & 0xC0))
    return b""


_FRAME_BYTES = 6  # as far as they are looked at
_LAST_AC3 = 10  # of the kinds of bit stream; later ones are E-AC-3, which is encoded anyway


def _parameters(frame: bytes) -> bytes:
    """Profile, rate and channels of the ADTS header that stands there."""
    return bytes((frame[2] & 0xFD, frame[3] & 0xC0))


def _flash(file: BinaryIO) -> Iterator[Sighting]:
    """Reports each sequence header twice: a single one already counts as a change."""
    at = int.from_bytes(file.read(9)[5:9], "big") + 4
    while len(head := _at(file, at, 16)) >= 13:
        size = int.from_bytes(head[1:4], "big")
        kind, codec, is_header = _FLASH_KINDS.get(head[0], ""), head[11], head[12] == 0
        milliseconds = int.from_bytes(head[7:8] + head[4:7], "big")
        if kind:
            yield Sighting(kind, 0, (), (milliseconds / 1_000,))
        if kind == "audio" and codec >> 4 == _FLASH_AAC and is_header:
            yield Sighting(kind, 0, 2 * [_header_at(file, at + 13, size - 2)])
        elif kind == "video" and codec & 0xF in _FLASH_PICTURES and is_header:
            yield Sighting(kind, 0, 2 * [_header_at(file, at + 16, size - 5)])
        at += 11 + size + 4


def _ends_with_tag(file: BinaryIO) -> bool:
    """Whether an FLV file ends as a tag does, with how long that is."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 4))
    length = int.from_bytes(file.read(4), "big")
    head = _at(file, size - 4 - length, 4) if 11 <= length <= size - 4 else b""
    return int.from_bytes(head[1:], "big") == length - 11


def _at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _header_at(file: BinaryIO, at: int, size: int) -> bytes:
    return _at(file, at, max(0, min(size, _MAX_HEADER_BYTES)))


def _fragments(file: BinaryIO) -> Iterator[Sighting]:
    return (Sighting("", track, (), (seconds,)) for track, seconds in fragment_times(file))


def _clusters(file: BinaryIO) -> Iterator[Sighting]:
    return (Sighting("", track, (), (seconds,)) for track, seconds in cluster_times(file))


_FLASH_KINDS = {8: "audio", 9: "video"}
_FLASH_AAC, _FLASH_PICTURES = 10, frozenset({7, 12})  # H.264; HEVC as some write it
_MAX_HEADER_BYTES = 1 << 12
_SIGHTINGS: Mapping[str, Callable[[BinaryIO], Iterator[Sighting]]] = MappingProxyType(
    {
        "mpegts": _transport,
        "aac": _adts,
        "flv": _flash,
        "mov": _fragments,
        "matroska": _clusters,
    }
)
