"""MP4 (ISO base media file format) as a stream: fragments and their times.

Names as in ISO/IEC 14496-12. A fragment is a `moof` box and the `mdat` that follows it; `moov`
before them tells the tracks. Times of a track count in its own `timescale`; an edit list may
delay it (an empty edit) or skip its beginning (a media time), which `tfdt` does not know of.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add

from .parts import GOES_ON_SECONDS, Atom, Stamp, bad_container
from .pieces import Pieces

_KEPT = frozenset({b"ftyp", b"moov", b"moof"})
_MAX_KEPT_BYTES = 1 << 26  # chosen: the index of a film of many hours is smaller
_MAX_TRACKS = 64
_NOT_KEY = 0x10000  # sample_is_non_sync_sample


@dataclass(slots=True)
class Track:
    """What `moov` tells of a track."""

    kind: bytes = b""
    timescale: int = 1
    delay_seconds: float = 0.0
    """How much later than the film it starts (an empty edit)."""
    skipped: int = 0
    """Its first ticks that are not shown (the media time of an edit)."""
    default_duration: int = 0
    default_flags: int = 0
    lag: int | None = None
    """Composition offset of its first key sample: how far decoding runs ahead of showing."""

    @property
    def shown_lag(self) -> int:
        """The media time at which its first sample is shown at 0."""
        return max(0, min(self.skipped, self.lag or 0))


@dataclass(frozen=True, slots=True)
class Edit:
    """An entry of an edit list, where it stands in `moov`."""

    track: int
    offset: int
    """Of its number: the duration if it is empty, else the media time."""
    width: int
    is_empty: bool


@dataclass(slots=True)
class Film:
    """What `moov` tells, and where it tells lengths."""

    tracks: dict[int, Track] = field(default_factory=dict)
    seconds: float = 0.0
    """As declared; 0 in fragmented files."""
    timescale: int = 1
    lengths: list[tuple[int, int, int]] = field(default_factory=list)
    """Offset, width and timescale of each duration field, from the start of `moov`."""
    edits: list[Edit] = field(default_factory=list)

    @property
    def main(self) -> int | None:
        """The track that tells the time: the first picture, else the first of any kind."""
        pictures = (number for number, track in self.tracks.items() if track.kind == b"vide")
        return next(pictures, next(iter(self.tracks), None))

    def shown(self, run: Run) -> tuple[float, float]:
        """When the samples of a run are shown, in seconds.

        Between key frames the order of showing is another than that of decoding; there the time
        of decoding is told, later by the track's usual lag, so that spans join without a gap.
        """
        track = self.tracks[run.track]
        lag = run.offset if run.is_key else track.lag or 0
        start = (run.decoded + lag - track.skipped) / track.timescale + track.delay_seconds
        return start, start + run.duration / track.timescale


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one track in one fragment, in ticks of the track."""

    track: int
    decoded: int
    """Decoding time of the first sample."""
    duration: int
    """Of all samples."""
    offset: int
    """Composition offset of the first sample."""
    earliest: int
    """Smallest composition time."""
    is_key: bool
    stamp: tuple[int, int]
    """Offset in the `moof` and width of the decoding time."""


class Mp4Reader:
    """Finds the fragments of an MP4 stream. A plain file has none: it is header and media."""

    def __init__(self) -> None:
        self._pieces = Pieces()
        self._parser = self._parse()
        self._film = Film()
        self._header = bytearray()
        self._moov_offset: int | None = None
        self._atoms: list[Atom] = []
        self._reached = 0.0
        self.has_media = False

    @property
    def header(self) -> bytes | None:
        return None if self._moov_offset is None else bytes(self._header)

    @property
    def reached_seconds(self) -> float:
        return self._reached

    def feed(self, data: bytes) -> list[Atom]:
        self._pieces.feed(data)
        try:
            next(self._parser)
        except (struct.error, IndexError, ZeroDivisionError) as exc:
            raise bad_container("a box of the MP4 stream is damaged") from exc
        except StopIteration:
            raise bad_container("the MP4 stream was damaged before") from None
        atoms, self._atoms = self._atoms, []
        return atoms

    def finish(self) -> list[Atom]:
        return []

    def head(self) -> Mp4Head:
        assert self._moov_offset is not None
        return Mp4Head(bytes(self._header), self._moov_offset, self._film)

    def _parse(self) -> Generator[None, None, None]:
        offset, runs = 0, list[Run]()
        while True:
            start = self._pieces.position
            kind, header, size = yield from self._box_header()
            self.has_media = self.has_media or kind in {b"moof", b"mdat"}
            if kind not in _KEPT:
                yield from self._pieces.skip(size - len(header))
                if kind == b"mdat" and runs:
                    size = self._pieces.position - offset
                    self._atoms.append(_atom(offset, size, runs, self._film))
                    runs = []
                continue
            box = header + (yield from self._pieces.read(size - len(header)))
            if kind == b"moof":
                offset, runs = start, _runs(box, self._film)
                self._reached = max([self._reached, *(self._film.shown(run)[1] for run in runs)])
            else:
                self._take_header(kind, box)

    def _box_header(self) -> Generator[None, None, tuple[bytes, bytes, int]]:
        header = yield from self._pieces.read(8)
        size, kind = struct.unpack(">I4s", header)
        if size == 1:
            header += yield from self._pieces.read(8)
            (size,) = struct.unpack_from(">Q", header, 8)
        elif size == 0:  # to the end of the stream
            size = sys.maxsize
        if size < len(header) or (kind in _KEPT and size > _MAX_KEPT_BYTES):
            raise bad_container(f"a {kind!r} box of the MP4 stream claims {size} bytes")
        return kind, header, size

    def _take_header(self, kind: bytes, box: bytes) -> None:
        if self._moov_offset is not None:
            raise bad_container("a second MP4 header stands within the stream")
        if kind == b"moov":
            self._moov_offset = len(self._header)
            self._film = _film(box)
            self._reached = self._film.seconds
        self._header += box


class Mp4Head:
    """`ftyp` and `moov` for segments that stand alone."""

    def __init__(self, header: bytes, moov_offset: int, film: Film) -> None:
        self._header = bytearray(header)
        self._moov_offset = moov_offset
        self._film = film
        for edit in film.edits:
            if not edit.is_empty:  # nothing is hidden, so that every segment lasts as it declares
                self._write(edit.offset, edit.width, film.tracks[edit.track].shown_lag)

    @property
    def size(self) -> int:
        return len(self._header)

    def filled(self, start_seconds: float, seconds: float, payload_bytes: int) -> bytes:
        del payload_bytes  # told by the boxes behind
        for at, width, timescale in self._film.lengths:
            self._write(at, width, round(seconds * timescale))
        for edit in self._film.edits:
            if edit.is_empty:
                delay = self._film.tracks[edit.track].delay_seconds - start_seconds
                kept = min(max(delay, 0.0), seconds)
                self._write(edit.offset, edit.width, round(kept * self._film.timescale))
        return bytes(self._header)

    def _write(self, at: int, width: int, value: int) -> None:
        at += self._moov_offset
        self._header[at : at + width] = min(value, (1 << 8 * width) - 1).to_bytes(width, "big")


def children(box: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: kind, start of the content, end."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", box, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", box, content)
            content += 8
        if size < content - start or start + size > end:
            raise bad_container(f"a {kind!r} box of the MP4 stream does not fit into its parent")
        yield kind, content, start + size
        start += size


def _film(moov: bytes) -> Film:
    film = Film()
    for kind, start, end in children(moov, 8, len(moov)):
        if kind == b"mvhd":
            film.timescale, duration = _film_header(moov, start, film)
            film.seconds = 0.0 if duration in _UNKNOWN else duration / film.timescale
        elif kind == b"trak":
            _track(moov, start, end, film)
    for kind, start, end in children(moov, 8, len(moov)):
        if kind == b"mvex":
            film.seconds = 0.0  # it holds for the part in `moov`; fragments tell the rest
            _defaults(moov, start, end, film)
    if len(film.tracks) > _MAX_TRACKS:
        raise bad_container(f"the MP4 stream has {len(film.tracks)} tracks")
    return film


_UNKNOWN = frozenset({(1 << 32) - 1, (1 << 64) - 1})


def _film_header(moov: bytes, start: int, film: Film) -> tuple[int, int]:
    """Timescale and duration of `mvhd`; notes where the duration stands."""
    at = start + (20 if moov[start] else 12)
    width = 8 if moov[start] else 4
    timescale = int.from_bytes(moov[at : at + 4], "big") or 1
    film.lengths.append((at + 4, width, timescale))
    return timescale, int.from_bytes(moov[at + 4 : at + 4 + width], "big")


def _timescale(moov: bytes, start: int) -> int:
    """Of a `mdhd`. Its duration stays 0: fragments tell how long a track is."""
    at = start + (20 if moov[start] else 12)
    return int.from_bytes(moov[at : at + 4], "big") or 1


def _track(moov: bytes, start: int, end: int, film: Film) -> None:
    track, number = Track(), 0
    edits: list[tuple[int, int]] = []
    inner = [(start, end)]
    for begin, stop in inner:
        for kind, at, over in children(moov, begin, stop):
            if kind in {b"mdia", b"edts"}:
                inner.append((at, over))
            elif kind == b"tkhd":
                number = _track_header(moov, at, film)
            elif kind == b"mdhd":
                track.timescale = _timescale(moov, at)
            elif kind == b"hdlr":
                track.kind = moov[at + 8 : at + 12]
            elif kind == b"elst":
                edits.append((at, over))
    for at, over in edits:
        _edit_list(moov, at, over, number, track, film)
    film.tracks[number] = track


def _track_header(moov: bytes, at: int, film: Film) -> int:
    """The number of the track; its duration counts in the timescale of the film."""
    version = moov[at]
    film.lengths.append((at + (28 if version else 20), 8 if version else 4, film.timescale))
    (number,) = struct.unpack_from(">I", moov, at + (20 if version else 12))
    return int(number)


def _edit_list(moov: bytes, at: int, end: int, number: int, track: Track, film: Film) -> None:
    entry = struct.Struct(">Qqi" if moov[at] else ">Iii")
    (entries,) = struct.unpack_from(">I", moov, at + 4)
    for offset in range(at + 8, min(at + 8 + entries * entry.size, end), entry.size):
        duration, media_time, _ = entry.unpack_from(moov, offset)
        width = 8 if moov[at] else 4
        if media_time == -1:
            track.delay_seconds += duration / film.timescale
            film.edits.append(Edit(number, offset, width, is_empty=True))
        else:
            track.skipped = media_time
            film.edits.append(Edit(number, offset + width, width, is_empty=False))


def _defaults(moov: bytes, start: int, end: int, film: Film) -> None:
    for kind, at, _ in children(moov, start, end):
        if kind == b"trex":
            number, _, duration, _, flags = struct.unpack_from(">5I", moov, at + 4)
            if number in film.tracks:
                film.tracks[number].default_duration = duration
                film.tracks[number].default_flags = flags


def _runs(moof: bytes, film: Film) -> list[Run]:
    found = (
        _run(moof, start, end, film)
        for kind, start, end in children(moof, 8, len(moof))
        if kind == b"traf"
    )
    return [run for run in found if run is not None]


def _run(moof: bytes, start: int, end: int, film: Film) -> Run | None:
    """The samples of one `traf`; None where it has none, or its track is not known."""
    number, duration, flags, decoded, stamp = 0, 0, 0, 0, (0, 0)
    samples = Samples()
    for kind, at, _ in children(moof, start, end):
        if kind == b"tfhd":
            number, duration, flags = _fragment_header(moof, at, film)
        elif kind == b"tfdt":
            stamp = (at + 4, 8 if moof[at] else 4)
            decoded = int.from_bytes(moof[stamp[0] : stamp[0] + stamp[1]], "big")
        elif kind == b"trun":
            samples.take(moof, at, duration, flags)
    track = film.tracks.get(number)
    if track is None or not samples.durations or not stamp[1]:
        return None
    run = samples.run(number, decoded, stamp)
    if track.lag is None and run.is_key:
        track.lag = run.offset
    return run


def _fragment_header(moof: bytes, at: int, film: Film) -> tuple[int, int, int]:
    """Track number, default duration and default flags of a `tfhd`."""
    present = int.from_bytes(moof[at + 1 : at + 4], "big")
    (number,) = struct.unpack_from(">I", moof, at + 4)
    track = film.tracks.get(number, Track())
    told = [track.default_duration, 0, track.default_flags]
    at += 8 + (8 if present & 1 else 0) + (4 if present & 2 else 0)
    for index, flag in enumerate((8, 0x10, 0x20)):
        if present & flag:
            (told[index],) = struct.unpack_from(">I", moof, at)
            at += 4
    return number, told[0], told[2]


class Samples:
    """The samples of one track in one fragment, as columns of numbers."""

    def __init__(self) -> None:
        self.durations: list[int] = []
        self.offsets: list[int] = []
        self.is_key = False

    def take(self, moof: bytes, at: int, duration: int, flags: int) -> None:
        """Add those of a `trun`."""
        present = int.from_bytes(moof[at + 1 : at + 4], "big")
        (count,) = struct.unpack_from(">I", moof, at + 4)
        at += 8 + (4 if present & 1 else 0)
        first_flags = flags
        if present & 4:
            (first_flags,) = struct.unpack_from(">I", moof, at)
            at += 4
        fields = [field for field in (0x100, 0x200, 0x400, 0x800) if present & field]
        if count * max(1, len(fields)) * 4 > len(moof) - at and (fields or count > len(moof)):
            raise bad_container("a fragment of the MP4 stream claims more samples than it has")
        columns = _columns(moof[at : at + 4 * len(fields) * count], fields)
        if not self.durations and count:
            told = columns.get(0x400)
            self.is_key = not (told[0] if told and not present & 4 else first_flags) & _NOT_KEY
        self.durations += columns.get(0x100) or [duration] * count
        self.offsets += columns.get(0x800) or [0] * count

    def run(self, track: int, decoded: int, stamp: tuple[int, int]) -> Run:
        times = map(add, accumulate(self.durations, initial=decoded), self.offsets)
        return Run(
            track=track,
            decoded=decoded,
            duration=sum(self.durations),
            offset=self.offsets[0],
            earliest=min(times),
            is_key=self.is_key,
            stamp=stamp,
        )


def _columns(table: bytes, fields: Sequence[int]) -> dict[int, list[int]]:
    """A table of 32-bit numbers, column by column; composition offsets are signed."""
    numbers = array("i", table)
    if sys.byteorder == "little":
        numbers.byteswap()
    return {field: numbers[index :: len(fields)].tolist() for index, field in enumerate(fields)}


def _atom(offset: int, size: int, runs: Sequence[Run], film: Film) -> Atom:
    spans = {run.track: film.shown(run) for run in runs}
    main = next((run for run in runs if run.track == film.main), None)
    earliest, latest = min(start for start, _ in spans.values()), max(e for _, e in spans.values())
    start, end = spans[main.track] if main else (earliest, latest)
    is_sound = film.main is None or film.tracks[film.main].kind != b"vide"
    return Atom(
        offset=offset,
        size=size,
        start_seconds=start,
        end_seconds=latest if latest > end + GOES_ON_SECONDS else end,
        first_seconds=earliest,
        is_key=is_sound or (main is not None and main.is_key),
        has_picture=is_sound or main is not None,
        has_leading=main is not None and main.earliest < main.decoded + main.offset,
        stamps=tuple(_stamp(run, film.tracks[run.track]) for run in runs),
    )


def _stamp(run: Run, track: Track) -> Stamp:
    ticks = run.decoded - track.skipped + track.shown_lag
    return Stamp(*run.stamp, ticks, track.timescale, track.delay_seconds)
