"""Clusters and their times, of streams that are written here byte by byte."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers import ebml
from ih_mcp.media.containers.container_types import MAX_TRACKS, MediaUnit
from ih_mcp.media.containers.ebml import Id
from ih_mcp.media.containers.matroska_clusters import MatroskaReader, _payload, block_of
from ih_mcp.media.cutter import Cutter, Segment
from ih_mcp.media.segment_bounds import bounds
from ih_mcp.wire.dialects import V1

VIDEO, SOUND = 1, 2


def track(number: int, kind: int, *, nanoseconds: int = 0) -> bytes:
    told = ebml.element(Id.TRACK_NUMBER, bytes([number])) + ebml.element(
        Id.TRACK_TYPE, bytes([kind])
    )
    if nanoseconds:
        told += ebml.element(Id.DEFAULT_DURATION, nanoseconds.to_bytes(4, "big"))
    return ebml.element(Id.TRACK_ENTRY, told)


def header(*tracks: bytes, scale: int = 0) -> bytes:
    told = ebml.element(Id.TIMESTAMP_SCALE, scale.to_bytes(4, "big")) if scale else b""
    info, entries = ebml.element(Id.INFO, told), ebml.element(Id.TRACKS, b"".join(tracks))
    return ebml.element(Id.EBML, b"") + b"\x18\x53\x80\x67" + ebml.UNKNOWN + info + entries


def block(number: int, ticks: int, *, is_key: bool = False) -> bytes:
    flags = 0x80 if is_key else 0
    return ebml.element(Id.SIMPLE_BLOCK, struct.pack(">BhB", 0x80 | number, ticks, flags) + b"x")


def cluster(ticks: int, *blocks: bytes) -> bytes:
    time = ebml.element(Id.TIMESTAMP, ticks.to_bytes(2, "big"))
    return ebml.element(Id.CLUSTER, time + b"".join(blocks))


def unit(written: bytes) -> MediaUnit:
    (found,) = MatroskaReader().feed(written)
    return found


BOTH = (track(1, VIDEO, nanoseconds=40_000_000), track(2, SOUND))


def test_times_count_in_the_scale_of_the_stream() -> None:
    blocks = [block(1, 0, is_key=True), block(2, 10), block(2, 30), block(1, 40), block(2, 50)]
    for scale, seconds in ((0, 0.001), (1_000_000, 0.001), (500_000, 0.0005)):
        found = unit(header(*BOTH, scale=scale) + cluster(2_000, *blocks))
        assert [span.track for span in found.spans] == [1, 2]
        picture, sound = found.spans
        assert picture.first_seconds == pytest.approx(2_000 * seconds)
        assert picture.end_seconds == pytest.approx(2_040 * seconds + 0.04)  # as declared
        assert sound.first_seconds == pytest.approx(2_010 * seconds)
        assert sound.end_seconds == pytest.approx(2_070 * seconds)  # as the mean of the others
        (clock,) = found.timestamps
        assert clock.ticks == 2_000
        assert clock.ticks_per_second == pytest.approx(1 / seconds)
        assert clock.shifted(1_000 * seconds) == (1_000).to_bytes(2, "big")


def test_a_unit_is_the_whole_cluster_and_tells_where_its_clock_is() -> None:
    before, media = header(*BOTH), cluster(7, block(1, 0, is_key=True), block(2, 0))
    found = unit(before + media)
    assert (found.offset, found.size) == (len(before), len(media))
    (clock,) = found.timestamps
    assert media[clock.offset : clock.offset + clock.width] == (7).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("tracks", "blocks", "is_key", "has_picture", "has_leading"),
    [
        (BOTH, [block(1, 0, is_key=True), block(2, 0)], True, True, False),
        (BOTH, [block(1, 0), block(2, 0, is_key=True)], False, True, False),
        (BOTH, [block(2, 0, is_key=True)], False, False, False),
        (BOTH, [block(1, 9, is_key=True), block(1, 3)], True, True, True),
        (BOTH, [block(1, 9), block(1, 3)], False, True, False),
        (BOTH[1:], [block(2, 0)], True, True, False),
    ],
)
def test_a_unit_says_whether_a_decoder_can_begin_there(
    tracks: tuple[bytes, ...],
    blocks: list[bytes],
    is_key: bool,
    has_picture: bool,
    has_leading: bool,
) -> None:
    found = unit(header(*tracks) + cluster(0, *blocks))
    assert (found.is_key, found.has_picture, found.has_leading) == (
        is_key,
        has_picture,
        has_leading,
    )


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("81 0005 80 61", (1, 5, True, 4)),
        ("81 fffb 00 61", (1, -5, False, 4)),
        ("4001 0102 80 61", (1, 258, True, 5)),
        ("ff 0000 00", (0, 0, False, 4)),  # a number of ones alone is none
        ("0100000000000002 0005 80 61", (2, 5, True, 11)),
        ("81 0005", None),
        ("00 0005 80", None),
        ("", None),
    ],
)
def test_a_block_begins_with_its_track_time_and_flags(
    written: str, found: tuple[int, int, bool, int] | None
) -> None:
    assert block_of(bytes.fromhex(written)) == found


def in_group(written: bytes) -> bytes:
    """The same block in a BlockGroup, with a reference: no key frame."""
    payload = written[9:]  # an element of `ebml.element`, without its number and size
    return ebml.element(
        Id.BLOCK_GROUP, ebml.element(Id.BLOCK, payload) + ebml.element(Id.REFERENCE_BLOCK, b"\x01")
    )


def test_pictures_before_a_key_frame_can_be_written_over() -> None:
    before, sound, key = block(1, 0), block(2, 5, is_key=True), block(1, 40, is_key=True)
    written = cluster(2_000, before, sound, block(1, 20), key, block(1, 80))
    found = unit(header(*BOTH) + written)
    assert not found.is_key
    covered = bytearray(written)
    for place, nothing in found.before_key:
        covered[place : place + len(nothing)] = nothing
    again = MatroskaReader().feed(header(*BOTH) + bytes(covered))
    assert [each.is_key for each in again] == [True]
    assert covered.count(sound) == 1
    assert len(covered) == len(written)


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([block(1, 0, is_key=True), block(1, 40, is_key=True)], id="begins with one"),
        pytest.param([block(1, 0), block(1, 40)], id="has none"),
        pytest.param([in_group(block(1, 0)), block(1, 40, is_key=True)], id="begins in a group"),
        pytest.param([block(1, 0), in_group(block(1, 20)), block(1, 40, is_key=True)], id="group"),
    ],
)
def test_nothing_is_written_over_where_that_is_not_needed_or_does_not_help(
    blocks: list[bytes],
) -> None:
    assert unit(header(*BOTH) + cluster(2_000, *blocks)).before_key == ()


def test_media_that_begins_anew_has_a_header_of_one_size_with_its_length() -> None:
    reader = MatroskaReader()
    reader.feed(header(*BOTH, scale=500_000) + cluster(0, block(1, 0, is_key=True)))
    head = reader.head()
    whole = head.filled(0.0, 3.0, 100)
    assert len(whole) == head.size
    assert ebml.element(Id.DURATION, struct.pack(">d", 6_000.0)) in whole
    size = 0x1853_8067.to_bytes(4, "big") + ebml.sized(
        100 + len(whole) - whole.index(b"\x15\x49\xa9\x66")
    )
    assert size in whole
    assert b"\x18\x53\x80\x67" + ebml.UNKNOWN in head.filled(0.0, None, 100)


def test_the_payload_of_an_element_is_without_its_header() -> None:
    assert _payload(ebml.element(Id.INFO, b"abc")) == b"abc"
    assert _payload(b"\xae\x82ab") == b"ab"
    assert _payload(b"") == b""


def test_a_cluster_has_at_most_so_many_tracks_also_such_as_no_header_told_of() -> None:
    told = header(track(VIDEO, 1))

    def of(tracks: int) -> bytes:
        return told + cluster(
            0, *[block(number, 0, is_key=True) for number in range(1, tracks + 1)]
        )

    assert len(unit(of(MAX_TRACKS)).spans) == MAX_TRACKS
    with pytest.raises(MediaError, match=f"has {MAX_TRACKS + 1} tracks"):
        unit(of(MAX_TRACKS + 1))


def test_media_before_its_header_is_refused() -> None:
    with pytest.raises(MediaError, match="media before its header"):
        MatroskaReader().feed(ebml.element(Id.EBML, b"") + cluster(0, block(1, 0)))


def times_of(written: bytes) -> list[tuple[int, int]]:
    """Track and time of each block, in milliseconds, as they stand in a stream."""
    found, begins = list[tuple[int, int]](), 0
    wanted: dict[int, int] = {Id.TIMESTAMP: 8, Id.SIMPLE_BLOCK: 11}
    for each in ebml.Elements(wanted).feed(written):
        if each.number == Id.TIMESTAMP:
            begins = each.unsigned
        elif each.number == Id.SIMPLE_BLOCK and (told := block_of(each.payload)):
            found.append((told.track, begins + told.ticks))
    return found


@pytest.mark.parametrize("step", [10**6, 1])
@pytest.mark.parametrize(
    "between",
    [
        pytest.param(cluster(1_040, block(2, 0), block(1, 20_000)), id="picture far ahead"),
        pytest.param(cluster(21_040, block(1, 0), block(2, -20_000)), id="sound far behind"),
    ],
)
def test_a_clock_that_jumps_within_a_cluster_moves_each_track(between: bytes, step: int) -> None:
    ticks = range(0, 1_001, 40)
    before = cluster(0, *(block(n, at, is_key=at == 0) for at in ticks for n in (1, 2)))
    after = cluster(21_060, block(2, 0), block(1, 20), block(2, 40), block(1, 60))
    written = header(*BOTH) + before + between + after
    cutter = Cutter(
        MatroskaReader(),
        bounds(replace(V1.limits, min_segment_seconds=0.0), V1.framing, target_seconds=3.0),
        V1.framing,
        max_pause_seconds=10.0,
    )
    segments = list[Segment]()
    for at in range(0, len(written), step):
        segments += cutter.feed(written[at : at + step])
    segments += cutter.finish()
    found = sorted(times_of(b"".join(segment.data for segment in segments)))
    later = {1: [1_040, 1_080, 1_120], 2: [1_040, 1_060, 1_100]}
    wanted = [(track, at) for track in (1, 2) for at in (*ticks, *later[track])]
    assert [track for track, _ in found] == [track for track, _ in wanted]
    assert [time for _, time in found] == pytest.approx([time for _, time in wanted], abs=45)
