"""What the `moov` box of an MP4 stream tells: tracks, their clocks, and where it says lengths.

Names as in ISO/IEC 14496-12. Times of a track count in its own `timescale`; an edit list may
delay it (an empty edit) or skip its beginning (a media time), which fragments do not know of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .container_types import MAX_TRACKS, bad_container, too_many_tracks
from .mp4_fields import read_clock, read_edit_entries


@dataclass(slots=True)
class Mp4Track:
    """What `moov` tells of a track."""

    kind: bytes = b""
    codec: bytes = b""
    """The name of its first sample entry, such as `avc1`."""
    timescale: int = 1
    delay_seconds: float = 0.0
    """How much later than the movie it starts (an empty edit)."""
    skipped: int = 0
    """Its first ticks that are not shown (the media time of an edit)."""
    default_duration: int = 0
    default_flags: int = 0
    lag: int | None = None
    """Composition offset of its first key sample: how far decoding runs ahead of showing."""
    usual_duration: int | None = None
    """Of its samples, as far as they were seen."""

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
class Movie:
    """What `moov` tells, and where it tells lengths."""

    tracks: dict[int, Mp4Track] = field(default_factory=dict)
    seconds: float = 0.0
    """As declared; 0 in fragmented files."""
    timescale: int = 1
    lengths: list[tuple[int, int, int]] = field(default_factory=list)
    """Offset, width and timescale of each duration field, from the start of `moov`."""
    edits: list[Edit] = field(default_factory=list)

    def copy(self) -> Movie:
        """Another one whose tracks learn their `lag` for themselves; the rest stays as it is."""
        return replace(self, tracks={n: replace(track) for n, track in self.tracks.items()})

    @property
    def main(self) -> int | None:
        """The track that tells the time: the first picture, else the first of any kind."""
        pictures = (number for number, track in self.tracks.items() if track.kind == b"vide")
        return next(pictures, next(iter(self.tracks), None))


def read_movie(moov: bytes) -> Movie:
    movie = Movie()
    for kind, start, end in children(moov, 8, len(moov)):
        if kind == b"mvhd":
            clock = read_clock(moov, start)
            movie.timescale = clock.timescale or 1
            movie.lengths.append((clock.duration_offset, clock.width, movie.timescale))
            movie.seconds = 0.0 if clock.duration in _UNKNOWN else clock.duration / movie.timescale
        elif kind == b"trak":
            _track(moov, start, end, movie)
    for kind, start, end in children(moov, 8, len(moov)):
        if kind == b"mvex":
            movie.seconds = 0.0  # it holds for the part in `moov`; fragments tell the rest
            _defaults(moov, start, end, movie)
    if len(movie.tracks) > MAX_TRACKS:
        raise too_many_tracks("MP4", len(movie.tracks))
    return movie


_UNKNOWN = frozenset({(1 << 32) - 1, (1 << 64) - 1})


def _track(moov: bytes, start: int, end: int, movie: Movie) -> None:
    track, number = Mp4Track(), 0
    edits: list[tuple[int, int]] = []
    inner = [(start, end)]
    for begin, stop in inner:
        for kind, at, over in children(moov, begin, stop):
            if kind in {b"mdia", b"edts", b"minf", b"stbl"}:
                inner.append((at, over))
            elif kind == b"tkhd":
                number = _track_header(moov, at, movie)
            elif kind == b"mdhd":
                # Its duration stays 0: fragments tell how long a track is.
                track.timescale = read_clock(moov, at).timescale or 1
            elif kind == b"hdlr":
                track.kind = moov[at + 8 : at + 12]
            elif kind == b"stsd":
                track.codec = moov[at + 12 : at + 16]
            elif kind == b"elst":
                edits.append((at, over))
    for at, over in edits:
        _edit_list(moov, at, over, number, track, movie)
    movie.tracks[number] = track


def _track_header(moov: bytes, at: int, movie: Movie) -> int:
    """The number of the track; its duration counts in the timescale of the movie."""
    version = moov[at]
    movie.lengths.append((at + (28 if version else 20), 8 if version else 4, movie.timescale))
    (number,) = struct.unpack_from(">I", moov, at + (20 if version else 12))
    return int(number)


def _edit_list(moov: bytes, at: int, end: int, number: int, track: Mp4Track, movie: Movie) -> None:
    for entry in read_edit_entries(moov, at, end):
        is_empty = entry.media_time == -1
        if is_empty:
            track.delay_seconds += entry.duration / movie.timescale
        else:
            track.skipped = entry.media_time
        place = entry.offset if is_empty else entry.offset + entry.width
        movie.edits.append(Edit(number, place, entry.width, is_empty=is_empty))


def _defaults(moov: bytes, start: int, end: int, movie: Movie) -> None:
    for kind, at, _ in children(moov, start, end):
        if kind == b"trex":
            number, _, duration, _, flags = struct.unpack_from(">5I", moov, at + 4)
            if number in movie.tracks:
                movie.tracks[number].default_duration = duration
                movie.tracks[number].default_flags = flags


_HEADER = struct.Struct(">I4s")


def children(box: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: kind, start of the content, end."""
    while start + 8 <= end:
        size, kind = _HEADER.unpack_from(box, start)
        content, box_end = start + 8, start + size
        if size < 8:  # its size stands behind, or is impossible
            kind, content, box_end = next(box_headers(box, start, end))
        if not content <= box_end <= end:
            raise bad_container(f"a {kind!r} box of the MP4 stream does not fit into its parent")
        yield kind, content, box_end
        start = box_end


def box_headers(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The headers of the boxes that follow each other: kind, start of the content, end.

    The last box may go on beyond `end`. Where its header is cut off, its content starts beyond
    `end`. A box that ends before its content has an impossible size and is the last one.
    """
    while start + 8 <= end:
        size, kind = _HEADER.unpack_from(data, start)
        content = start + 8
        if size == 1:
            content += 8
            size = int.from_bytes(data[start + 8 : content], "big") if content <= end else 0
        yield kind, content, start + size
        if start + size < content:
            return
        start += size
