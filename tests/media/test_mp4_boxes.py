"""The fields of a movie header, each where it stands."""

from __future__ import annotations

import struct

from ih_mcp.media.containers.container_types import MAX_HEADER_BYTES
from ih_mcp.media.containers.mp4_boxes import Movie, Mp4Track, _defaults, _edit_list, _track_header
from ih_mcp.media.containers.mp4_fragments import Mp4Reader


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


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
