"""The fields of a fragment of MP4, each where it stands."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.mp4_boxes import Movie, Mp4Track
from ih_mcp.media.containers.mp4_samples import (
    Samples,
    _fragment_header,
    media_unit_of,
    runs_of,
)

from .test_mp4_boxes import box

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


def fragment(
    track: int, decoded: int, samples: list[tuple[int, int, int]], flags: int = 0
) -> bytes:
    """The `traf` of a track: duration, flags and composition offset of each sample."""
    head = box(b"tfhd", struct.pack(">II", flags, track) + bytes(8 if flags & 1 else 0))
    table = b"".join(struct.pack(">IIi", *sample) for sample in samples)
    run = box(b"trun", struct.pack(">IIi", 0xD01, len(samples), 700) + table)
    return box(b"traf", head + box(b"tfdt", struct.pack(">II", 0, decoded)) + run)


KEY, OTHER = 0x0200_0000, 0x0001_0000


def movie_of(codec: bytes = b"avc1") -> Movie:
    picture = Mp4Track(kind=b"vide", codec=codec, timescale=100, skipped=30, delay_seconds=2.0)
    return Movie(tracks={1: Mp4Track(kind=b"soun", timescale=1_000), 2: picture})


def test_a_fragment_tells_when_its_samples_are_shown() -> None:
    movie = movie_of()
    pictures = [(4, KEY, 20), (4, OTHER, 24), (8, OTHER, 11)]
    moof = box(b"moof", fragment(1, 5_000, [(20, KEY, 0)] * 3) + fragment(2, 900, pictures))
    unit = media_unit_of(77, runs_of(moof, movie), movie)
    assert (unit.offset, unit.size, unit.is_key, unit.has_picture) == (77, 0, True, True)
    assert [span.track for span in unit.spans] == [2, 1]  # the picture first
    picture, sound = unit.spans
    assert picture.start_seconds == pytest.approx((900 + 20 - 30) / 100 + 2.0)
    assert picture.first_seconds == picture.start_seconds
    assert picture.end_seconds == pytest.approx(picture.start_seconds + 0.12)  # as its neighbours
    assert picture.stays_seconds == pytest.approx(0.04)
    assert (sound.start_seconds, sound.end_seconds) == pytest.approx((5.0, 5.06))
    assert picture.last_length
    place, width, usual = picture.last_length
    assert (int.from_bytes(moof[place : place + width], "big"), usual) == (8, 4)
    assert unit.has_leading  # the third is shown before the first
    assert unit.h264_offset == 700
    fields = {each.track: each for each in unit.timestamps}
    assert moof[fields[2].offset :][:4] == (900).to_bytes(4, "big")
    assert fields[2].ticks == 900 - 30 + 20
    later = box(b"moof", fragment(2, 1_000, [(4, OTHER, 99)]))
    unit = media_unit_of(0, runs_of(later, movie), movie)
    assert unit.spans[0].start_seconds == pytest.approx((1_000 + 20 - 30) / 100 + 2.0)
    assert not unit.is_key


@pytest.mark.parametrize(
    ("kind", "offsets", "late", "found"),
    [
        (KEY, [20, 519, 10], 0.0, []),  # as far as pictures are reordered
        (KEY, [49, 20, 10], 0.29, []),
        (KEY, [50, 20, 10], 0.3, [50, 20, 10]),
        (KEY, [2_020, 2_040, 10], 20.0, [2_020, 2_040, 10]),
        (OTHER, [519, 10, 10], 0.0, []),
        (OTHER, [10, 520, 2_020], 0.0, [520, 2_020]),
    ],
)
def test_a_fragment_tells_what_is_decoded_long_before_it_is_shown(
    kind: int, offsets: list[int], late: float, found: list[int]
) -> None:
    movie = movie_of()
    runs_of(box(b"moof", fragment(2, 0, [(4, KEY, 20)])), movie)  # the usual lag
    pictures = [(4, kind if n == 0 else OTHER, offset) for n, offset in enumerate(offsets)]
    moof = box(b"moof", fragment(1, 0, [(20, KEY, 0)]) + fragment(2, 900, pictures))
    unit = media_unit_of(0, runs_of(moof, movie), movie)
    span = unit.spans[0]
    assert span.ahead_seconds == pytest.approx(late)
    written = [int.from_bytes(moof[each.offset :][:4], "big") for each in span.ahead]
    assert written == [each.ticks for each in span.ahead] == found
    assert [round(each.shown_seconds * 100) for each in span.ahead] == [
        900 + 4 * n + offset - 30 + 200 for n, offset in enumerate(offsets) if offset in found
    ]
    begins = kind == KEY and bool(found)
    fields = {each.track: (each.ahead, each.last_length) for each in unit.timestamps}
    assert fields == {1: ((), None), 2: (span.ahead, span.last_length) if begins else ((), None)}


def test_a_picture_without_a_field_of_its_own_stays_when_the_others_are_shown_sooner() -> None:
    """A table of a fragment may say when each picture is shown, and the next one nothing of it."""
    movie = movie_of()
    runs_of(box(b"moof", fragment(2, 0, [(4, KEY, 20)])), movie)  # the usual lag
    pictures = fragment(2, 900, [(4, KEY, 50), (4, OTHER, 20)])
    lengths_alone = box(b"trun", struct.pack(">IIiII", 0x101, 2, 700, 4, 4))
    moof = box(b"moof", box(b"traf", pictures[8:] + lengths_alone))
    unit = media_unit_of(0, runs_of(moof, movie), movie)
    written = [int.from_bytes(moof[each.offset :][:4], "big") for each in unit.spans[0].ahead]
    assert written == [50, 20]
    (field,) = unit.timestamps
    assert {place for place, _ in field.moves(field.offset, 100.0)} == {
        field.offset, moof.index(struct.pack(">i", 50)), moof.index(struct.pack(">i", 20)),
        len(moof) - 4,
    }  # fmt: skip


@pytest.mark.parametrize("codec", [b"hvc1", b"avc3"])
@pytest.mark.parametrize("flags", [0, 1])
def test_a_fragment_that_names_its_place_does_not_say_where_its_picture_stands(
    codec: bytes, flags: int
) -> None:
    movie = movie_of(codec)
    (run,) = runs_of(box(b"moof", fragment(2, 0, [(4, KEY, 0)], flags)), movie)
    assert run.is_placed is bool(flags)
    unit = media_unit_of(0, [run], movie)
    assert unit.h264_offset == (700 if codec == b"avc3" and not flags else None)
    assert not unit.has_leading


def test_what_a_fragment_says_of_no_track_or_no_samples_is_left_out() -> None:
    movie = movie_of()
    unknown, empty = fragment(9, 0, [(4, KEY, 0)]), fragment(2, 0, [])
    assert runs_of(box(b"moof", box(b"mfhd", bytes(8)) + unknown + empty), movie) == []
    (run,) = runs_of(box(b"moof", fragment(1, 0, [(4, KEY, 0)])), movie)
    unit = media_unit_of(0, [run], movie)
    assert (unit.is_key, unit.has_picture, unit.has_leading) == (False, False, False)
    sound = Movie(tracks={1: Mp4Track(kind=b"soun")})
    unit = media_unit_of(0, runs_of(box(b"moof", fragment(1, 0, [(4, OTHER, 0)])), sound), sound)
    assert (unit.is_key, unit.has_picture) == (True, True)


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


@pytest.mark.parametrize(
    ("runs", "place"),
    [
        ([("own", 2)], 12),
        ([("own", 2), ("default", 1)], 777),
        ([("own", 2), ("default", 2)], None),  # another sample has the same field
        ([("default", 1), ("own", 1)], 8),
        ([("default", 1), ("default", 1)], None),
        ([("default", 1)], 777),
        ([("default", 1), ("own", 0)], 777),
    ],
)
def test_where_the_last_sample_says_how_long_it_lasts(
    runs: list[tuple[str, int]], place: int | None
) -> None:
    samples = Samples()
    samples.default_length = 777
    for kind, count in runs:
        own = [40] * count if kind == "own" else []
        run = struct.pack(f">II{len(own)}I", 0x100 if kind == "own" else 0, count, *own)
        samples.add_run(run, 0, 500, 0)
    assert samples.last_length == place


def test_a_run_that_claims_more_samples_than_it_has_is_damaged() -> None:
    for count, table in ((2, bytes(28)), (100, b"")):  # of four fields each; of none
        run = struct.pack(">IIi", 0xF01 if table else 1, count, 0) + table
        with pytest.raises(MediaError, match="claims more samples"):
            Samples().add_run(run, 0, 0, 0)


def test_a_run_of_defaults_says_by_them_whether_it_begins_with_a_key_frame() -> None:
    for flags, is_key in ((0x0200_0000, True), (0x0001_0000, False)):
        samples = Samples()
        samples.add_run(struct.pack(">II", 0, 1), 0, 30, flags)
        assert samples.is_key is is_key


@pytest.mark.parametrize(
    ("durations", "before", "usual"),
    [([7, 9, 40], 3, 9), ([40], 5, 5), ([3], 5, 3), ([40], None, 10), ([4], None, 4)],
)
def test_a_sample_lasts_as_the_others_or_as_those_before_or_a_second_at_most(
    durations: list[int], before: int | None, usual: int
) -> None:
    samples = Samples()
    samples.durations = durations
    assert samples.usual_duration(Mp4Track(timescale=10, usual_duration=before)) == usual


def test_pictures_that_are_decoded_before_or_after_their_turn_lead_or_come_late() -> None:
    movie = movie_of()
    begun = [(4, KEY, 8), (4, OTHER, 16), (3_000, OTHER, 4)]  # shown at 8, 20 and 12
    first = media_unit_of(0, runs_of(box(b"moof", fragment(2, 0, begun)), movie), movie)
    later = [(4, OTHER, 4), (4, OTHER, 8), (4, OTHER, 8)]
    second = media_unit_of(0, runs_of(box(b"moof", fragment(2, 3_008, later)), movie), movie)
    (begin,), (end,) = first.spans, second.spans
    assert (begin.lead_seconds, begin.late_seconds) == pytest.approx((0.0, 0.04))
    assert (end.lead_seconds, end.late_seconds) == pytest.approx((0.04, 0.0))
    far = [(4, KEY, 8), (4, OTHER, 1_000)]  # decoded before the clock jumps
    ahead = media_unit_of(0, runs_of(box(b"moof", fragment(2, 4_000, far)), movie), movie)
    assert ahead.spans[0].late_seconds == 0.0
