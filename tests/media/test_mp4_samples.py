"""The fields of a fragment of MP4, each where it stands."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.media.containers.mp4_boxes import Movie, Mp4Track
from ih_mcp.media.containers.mp4_samples import Samples, _fragment_header

DEFAULTS = Mp4Track(default_duration=11, default_flags=22)


@pytest.mark.parametrize(
    ("flags", "fields", "found"),
    [
        (0, (), (7, 11, 22, None)),
        (0x02, (99,), (7, 11, 22, None)),
        (0x08, (33,), (7, 33, 22, 8)),
        (0x10, (99,), (7, 11, 22, None)),
        (0x20, (44,), (7, 11, 44, None)),
        (0x01 | 0x02 | 0x08 | 0x10 | 0x20, (0, 0, 99, 33, 98, 44), (7, 33, 44, 20)),
    ],
)
def test_a_fragment_tells_its_track_and_its_defaults(
    flags: int, fields: tuple[int, ...], found: tuple[int, int, int, int | None]
) -> None:
    box = struct.pack(f">II{len(fields)}I", flags, 7, *fields)
    movie = Movie(tracks={7: DEFAULTS})
    assert _fragment_header(b"abc" + box, 3, movie) == (
        *found[:3],
        None if found[3] is None else found[3] + 3,
    )


def test_a_run_tells_its_samples_where_their_fields_stand() -> None:
    samples = Samples()
    run = struct.pack(">IIiI", 0x0F05, 2, 500, 0x0200_0000) + struct.pack(
        ">8i", 10, 1, 0, 5, 20, 2, 0, 6
    )
    samples.add_run(run, 0, 0, 0)
    assert (samples.durations, samples.offsets) == ([10, 20], [5, 6])
    assert (samples.data_offset, samples.is_key) == (500, True)
    assert samples.last_length == 16 + 16  # of the second one
    samples.add_run(struct.pack(">II", 0, 3), 0, 30, 0x0001_0000)
    assert samples.durations == [10, 20, 30, 30, 30]
    assert samples.is_key  # the first run tells


def test_a_run_of_defaults_says_by_them_whether_it_begins_with_a_key_frame() -> None:
    for flags, is_key in ((0x0200_0000, True), (0x0001_0000, False)):
        samples = Samples()
        samples.add_run(struct.pack(">II", 0, 1), 0, 30, flags)
        assert samples.is_key is is_key
