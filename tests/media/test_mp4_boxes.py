"""The fields of a movie header, each where it stands."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.container_types import MAX_HEADER_BYTES, MAX_TRACKS
from ih_mcp.media.containers.mp4_boxes import (
    Movie,
    Mp4Track,
    _defaults,
    _edit_list,
    _track_header,
    read_movie,
)
from ih_mcp.media.containers.mp4_fragments import Mp4Reader


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def movie(timescales: dict[int, int], *, extra: bytes = b"") -> bytes:
    """A `moov` of tracks with their timescales; the first is a picture."""
    told = box(b"mvhd", struct.pack(">5I", 0, 0, 0, 600, 1_500) + bytes(80))
    for number, timescale in timescales.items():
        kind, codec = (b"vide", b"avc1") if number == min(timescales) else (b"soun", b"mp4a")
        clock = box(b"mdhd", struct.pack(">6I", 0, 0, 0, timescale, 9, 0))
        entries = box(b"stsd", struct.pack(">II", 0, 1) + box(codec, bytes(8)))
        media = clock + box(b"hdlr", bytes(8) + kind + bytes(13))
        media += box(b"minf", box(b"stbl", entries))
        head = box(b"tkhd", struct.pack(">6I", 0, 0, 0, number, 0, 1_500) + bytes(60))
        told += box(b"trak", head + box(b"mdia", media))
    return box(b"moov", told + extra)


def test_a_movie_tells_its_tracks_and_where_each_length_stands() -> None:
    written = movie({3: 90_000, 5: 0})
    found = read_movie(written)
    assert {
        number: (track.kind, track.codec, track.timescale) for number, track in found.tracks.items()
    } == {3: (b"vide", b"avc1", 90_000), 5: (b"soun", b"mp4a", 1)}
    assert (found.timescale, found.seconds, found.main) == (600, 2.5, 3)
    assert [each[1:] for each in found.lengths] == [(4, 600)] * 3
    for at, width, _ in found.lengths:
        assert written[at : at + width] == (1_500).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("version", "duration", "timescale", "seconds"),
    [
        (0, 300, 600, 0.5),
        (0, 300, 0, 300.0),
        (0, (1 << 32) - 1, 600, 0.0),
        (1, (1 << 32) + 600, 600, ((1 << 32) + 600) / 600),
        (1, (1 << 64) - 1, 600, 0.0),
    ],
)
def test_a_movie_tells_how_long_it_is_unless_that_is_unknown(
    version: int, duration: int, timescale: int, seconds: float
) -> None:
    clock = struct.pack(">QQIQ" if version else ">IIII", 0, 0, timescale, duration)
    head = box(b"mvhd", bytes([version, 0, 0, 0]) + clock + bytes(80))
    found = read_movie(box(b"moov", head))
    assert (found.seconds, found.main, found.timescale) == (seconds, None, timescale or 1)
    fragmented = read_movie(box(b"moov", head + box(b"mvex", b"")))
    assert fragmented.seconds == 0.0


def test_what_a_movie_does_not_tell_is_nothing() -> None:
    assert read_movie(box(b"moov", b"")) == Movie(tracks={}, seconds=0.0, timescale=1)
    assert list(read_movie(box(b"moov", box(b"trak", b""))).tracks) == [0]
    (track,) = read_movie(box(b"moov", box(b"trak", b""))).tracks.values()
    assert track == Mp4Track(kind=b"", codec=b"", timescale=1, delay_seconds=0.0, skipped=0)
    assert (Movie().seconds, Movie().timescale, track.timescale, track.skipped) == (0.0, 1, 1, 0)


@pytest.mark.parametrize(
    ("skipped", "lag", "shown"),
    [(9, 7, 7), (7, 9, 7), (7, None, 0), (0, 7, 0), (7, 0, 0), (-1, 7, 0)],
)
def test_decoding_runs_ahead_as_far_as_both_tell(skipped: int, lag: int | None, shown: int) -> None:
    assert Mp4Track(skipped=skipped, lag=lag).shown_lag == shown


def test_fragments_have_the_defaults_of_the_movie() -> None:
    told = box(b"mvex", box(b"trex", struct.pack(">6I", 0, 5, 1, 40, 7, 6)))
    long = struct.pack(">I4sQ", 1, b"free", 16 + 300) + bytes(300)  # a size in eight bytes
    found = read_movie(movie({3: 90, 5: 48}, extra=box(b"free", b"") + long + told))
    assert [(each.default_duration, each.default_flags) for each in found.tracks.values()] == [
        (0, 0),
        (40, 6),
    ]


def test_a_movie_has_a_greatest_number_of_tracks() -> None:
    assert len(read_movie(movie(dict.fromkeys(range(1, MAX_TRACKS + 1), 1))).tracks) == MAX_TRACKS
    with pytest.raises(MediaError, match="tracks"):
        read_movie(movie(dict.fromkeys(range(1, MAX_TRACKS + 2), 1)))


def test_edits_of_a_track_are_read_wherever_they_stand_in_it() -> None:
    edits = struct.pack(">II", 0, 2) + struct.pack(">IiIIiI", 300, -1, 1 << 16, 900, 33, 1 << 16)
    head = box(b"tkhd", struct.pack(">6I", 0, 0, 0, 4, 0, 1_500) + bytes(60))
    clock = box(b"mvhd", struct.pack(">5I", 0, 0, 0, 600, 1_500) + bytes(80))
    for trak in (
        box(b"edts", box(b"elst", edits)) + head,
        head + box(b"edts", box(b"elst", edits)),
    ):
        written = box(b"moov", clock + box(b"trak", trak))
        found = read_movie(written)
        assert (found.tracks[4].delay_seconds, found.tracks[4].skipped) == (0.5, 33)
        assert {each.track for each in found.edits} == {4}


def test_a_box_that_does_not_fit_into_its_parent_is_refused() -> None:
    for torn in (struct.pack(">I", 17) + b"trak" + bytes(8), struct.pack(">I", 7) + b"trak"):
        with pytest.raises(MediaError, match="does not fit"):
            read_movie(struct.pack(">I", 8 + len(torn)) + b"moov" + torn)


def test_what_samples_are_by_default_is_told_by_track() -> None:
    movie = Movie(tracks={1: Mp4Track(), 2: Mp4Track()})
    told = box(b"mehd", struct.pack(">5I", 0, 2, 9, 9, 9) + bytes(8))
    told += box(b"trex", struct.pack(">6I", 0, 1, 1, 40, 7, 5))
    told += box(b"trex", struct.pack(">6I", 0, 3, 1, 50, 7, 6))  # of a track that is not there
    _defaults(told, 0, len(told), movie)
    assert [(each.default_duration, each.default_flags) for each in movie.tracks.values()] == [
        (40, 5),
        (0, 0),
    ]


def test_a_track_tells_its_number_and_where_its_length_stands() -> None:
    for version, at, width in ((0, 20, 4), (1, 28, 8)):
        movie = Movie(timescale=600)
        header = bytes([version, 0, 0, 0]) + bytes(16 if version else 8) + (7).to_bytes(4, "big")
        assert _track_header(b"xyz" + header + bytes(20), 3, movie) == 7
        assert movie.lengths == [(3 + at, width, 600)]


def test_an_empty_edit_delays_a_track_and_another_skips_its_beginning() -> None:
    movie, track = Movie(timescale=100), Mp4Track()
    told = struct.pack(">II", 0, 2) + struct.pack(">IiIIiI", 50, -1, 1 << 16, 900, 33, 1 << 16)
    _edit_list(told, 0, len(told), 4, track, movie)
    assert (track.delay_seconds, track.skipped) == (0.5, 33)
    assert [(each.track, each.offset, each.width, each.is_empty) for each in movie.edits] == [
        (4, 8, 4, True),
        (4, 24, 4, False),
    ]


def test_a_header_that_is_too_large_is_not_kept() -> None:
    reader = Mp4Reader()
    reader._keep_header(b"free", bytes(MAX_HEADER_BYTES))
    assert len(reader._header) == MAX_HEADER_BYTES
    reader._keep_header(b"free", b"x")
    assert len(reader._header) == 0
