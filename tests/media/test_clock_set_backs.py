"""Times that go back, and where the fragments and Clusters of a file name theirs."""

from __future__ import annotations

import io
import struct

import pytest

from ih_mcp.media.containers import clock_set_backs, ebml
from ih_mcp.media.containers.clock_set_backs import (
    SetBack,
    TrackClock,
    cluster_times,
    fragment_times,
)
from ih_mcp.media.containers.ebml import Id

from .test_mp4_boxes import box, movie


@pytest.mark.parametrize(
    ("times", "set_backs", "media", "latest"),
    [
        ([0, 0.25, 0.5], [], 0.5, 0.5),
        ([50, 51, 52], [], 2.0, 52.0),
        ([5, 0], [SetBack(0.0, 5.0)], 0.0, 5.0),
        ([50, 51, 53, 20, 21], [SetBack(5.0, 35.0)], 6.0, 53.0),  # the last lasts as before
        ([50, 52, 53, 20, 21, 0], [SetBack(5.0, 35.0), SetBack(7.0, 22.0)], 7.0, 53.0),
        ([0, 0.5, 1, 0.5], [], 0.5, 1.0),  # media overlaps by no more than a second
        ([0, 0.5, 1, 0.4], [SetBack(1.5, 1.1)], 1.5, 1.0),
        ([0, 3, 2.75, 3], [], 3.0, 3.0),  # shown in another order
        ([0, 3, 2.5, 3], [SetBack(6.0, 3.5)], 6.5, 3.0),
        ([0, 10, 20], [], 20.0, 20.0),
        ([0, 1, 12, 13], [], 2.0, 13.0),  # the clock jumps
    ],
)
def test_media_goes_on_where_its_clock_goes_back(
    times: list[float], set_backs: list[SetBack], media: float, latest: float
) -> None:
    for pieces in ([[seconds] for seconds in times], [times], [times[:2], times[2:] or times[-1:]]):
        clock = TrackClock()
        for piece in pieces:
            clock.see(piece)
        assert clock.set_backs == [
            SetBack(each.at_seconds, pytest.approx(each.seconds))  # type: ignore[arg-type]  # float
            for each in set_backs
        ]
        assert (clock.media_seconds, clock.latest_seconds) == pytest.approx((media, latest))


def test_a_clock_of_mpeg_ts_goes_on_after_its_greatest_time() -> None:
    clock = TrackClock(wraps=True)
    clock.see([(1 << 33) / 90_000 - 1, 0.5])
    clock.see([1.5, 0.25])
    assert clock.media_seconds == pytest.approx(4.0)
    assert [each.seconds for each in clock.set_backs] == [pytest.approx(2.75)]


def moof(*times: tuple[int, int, int]) -> bytes:
    """Track, version of the time and time, of each of its tracks."""
    told = box(b"mfhd", bytes(8))
    for track, version, ticks in times:
        time = struct.pack(">I", version << 24) + ticks.to_bytes(8 if version else 4, "big")
        head = box(b"tfhd", struct.pack(">II", 0, track))
        told += box(b"traf", head + box(b"tfdt", time) + box(b"trun", bytes(8)))
    return box(b"moof", told)


def test_fragments_name_the_time_of_each_track_in_its_scale() -> None:
    long = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + bytes(5)
    written = box(b"ftyp", b"iso5") + box(b"free", b"") + movie({1: 90, 2: 48_000})
    written += moof((1, 0, 45), (2, 1, 1 << 33)) + long + moof((1, 1, 90), (3, 0, 7))
    written += box(b"moof", box(b"traf", box(b"tfdt", bytes(7) + b"\x09"))) + box(b"mdat", b"")
    assert list(fragment_times(io.BytesIO(written))) == [
        (1, 0.5),
        (2, (1 << 33) / 48_000),
        (1, 1.0),
        (3, 7.0),  # of a track that the header does not name
        (0, 9.0),  # of none
    ]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (moof((1, 0, 45)), 0),  # before any header
        (movie({1: 90}) + moof((1, 0, 45)) + b"\0\0\0\4free" + moof((1, 0, 90)), 1),
        (movie({1: 90}) + moof((1, 0, 45)) + b"\0\0\0\0mdat" + moof((1, 0, 90)), 1),  # to its end
        (movie({1: 90}) + moof((1, 0, 45)) + box(b"moof", box(b"traf", box(b"tfdt", b""))), 1),
        (movie({1: 90}) + moof((1, 0, 45)) + box(b"moof", b"\0\0\0\x20traf") + moof((1, 0, 90)), 1),
        (movie({1: 90})[:-9], 0),
    ],
)
def test_of_a_damaged_mp4_the_times_before_it_count(written: bytes, found: int) -> None:
    assert list(fragment_times(io.BytesIO(written))) == [(1, 0.5)] * found


def test_boxes_that_are_too_large_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    head, first = movie({1: 90}), moof((1, 0, 45))
    file = io.BytesIO(head + first)
    monkeypatch.setattr(clock_set_backs, "_MAX_MOOF_BYTES", len(first))
    monkeypatch.setattr(clock_set_backs, "_MAX_MOOV_BYTES", len(head))
    assert list(fragment_times(file)) == [(1, 0.5)]
    monkeypatch.setattr(clock_set_backs, "_MAX_MOOF_BYTES", len(first) - 1)
    assert list(fragment_times(file)) == []
    monkeypatch.undo()
    monkeypatch.setattr(clock_set_backs, "_MAX_MOOV_BYTES", len(head) - 1)
    assert list(fragment_times(file)) == []


def header(scale: bytes) -> bytes:
    told = ebml.element(Id.INFO, scale)
    return ebml.element(Id.EBML, bytes(3)) + b"\x18\x53\x80\x67" + ebml.UNKNOWN + told


def cluster(ticks: bytes, *, before: bytes = b"", size: bytes | None = None) -> bytes:
    payload = before + b"\xe7" + bytes([0x80 | len(ticks)]) + ticks + b"\xa3\x84\x81\0\0\0"
    size = bytes([0x80 | len(payload)]) if size is None else size
    return b"\x1f\x43\xb6\x75" + size + payload


@pytest.mark.parametrize("read_bytes", [7, 1 << 20])
@pytest.mark.parametrize(
    ("scale", "per_second"),
    [
        (b"\x2a\xd7\xb1\x83\x0f\x42\x40", 1_000),
        (b"\x2a\xd7\xb1\x83\x01\x86\xa0", 10_000),
        (b"\x2a\xd7\xb1\x80", 1_000),  # nothing
        (b"\x2a\xd7\xb1\x81\0", 1_000),
        (b"\x2a\xd7\xb1\x40\x03\x01\x86\xa0", 1_000),  # its length in two bytes, as nobody writes
        (b"", 1_000),
    ],
)
def test_clusters_name_their_times_in_the_scale_of_the_file(
    scale: bytes, per_second: int, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_set_backs, "_READ_BYTES", read_bytes)
    written = header(scale) + cluster(b"\0") + cluster(b"\x01\x02", before=b"\xbf\x84crc3")
    hidden = b"\x1f\x43\xb6\x75" + b"\x83\xe7\x81\x09"  # in the payload of one with a size
    most = b"\x01" + bytes(6) + b"\x16"  # a size in eight bytes
    written += cluster(bytes(5) + b"\1\0\0", before=b"\xbf\x84crc3", size=most)
    written += cluster(b"\x05", size=ebml.UNKNOWN)
    sized = b"\xe7\x81\x06\xa3\x84\x81\0\0\0\xec" + bytes([0x80 | len(hidden)]) + hidden
    written += b"\x1f\x43\xb6\x75" + bytes([0x80 | len(sized)]) + sized
    written += b"\x1f\x43\xb6\x75\x83\xa3\x81x" + cluster(b"\x07") + bytes(8)
    ticks = [0, 0x102, 0x10000, 5, 6, 7]
    file = io.BytesIO(written)
    file.seek(100)
    found = list(cluster_times(file))
    assert [track for track, _ in found] == [1] * len(ticks)
    expected = [each / per_second for each in ticks]
    assert [seconds for _, seconds in found] == pytest.approx(expected, rel=1e-12)


def block(track: int, ticks: int, *, is_grouped: bool = False) -> bytes:
    told = bytes([0x80 | track]) + struct.pack(">hB", ticks, 0) + b"media"
    if not is_grouped:
        return b"\xa3" + bytes([0x80 | len(told)]) + told
    told = b"\x9b\x81\x14\xa1" + bytes([0x80 | len(told)]) + told + b"\xfb\x81\xec"
    return b"\xa0" + bytes([0x80 | len(told)]) + told


def cluster_of(seconds: int, *blocks: bytes, is_sized: bool = True) -> bytes:
    payload = b"\xe7\x84" + (1_000 * seconds).to_bytes(4, "big") + b"".join(blocks)
    size = ebml.sized(len(payload)) if is_sized else ebml.UNKNOWN
    return b"\x1f\x43\xb6\x75" + size + payload


@pytest.mark.parametrize("is_grouped", [True, False])
@pytest.mark.parametrize("is_sized", [True, False])
def test_of_each_track_the_first_block_of_a_cluster_names_its_time(
    is_sized: bool, is_grouped: bool
) -> None:
    def later(seconds: int, *places: tuple[int, int]) -> bytes:
        blocks = (block(*place, is_grouped=is_grouped) for place in places)
        return cluster_of(seconds, *blocks, is_sized=is_sized)

    written = header(b"") + later(0, (1, 0), (2, 100), (1, 200), (2, 300))
    written += later(60, (1, 0)) + later(1, (2, -500), (2, 0))  # a slide, ahead of the sound
    written += later(2, (1, 0), (2, 20), (3, 40)) + later(3, (3, 0), (4, 10), (2, 20), (1, 30))
    assert list(cluster_times(io.BytesIO(written))) == [
        *[(1, 0.0), (2, 0.1), (1, 60.0), (2, 0.5)],
        *[(1, 2.0), (2, 2.02)],  # both that were known
        *[(3, 3.0), (4, 3.01), (2, 3.02), (1, 3.03)],
    ]


def test_in_a_cluster_blocks_are_looked_for_at_its_beginning_alone() -> None:
    first = block(1, 0) + block(2, 0)
    for many, expected in ((block(1, 5) * 31, [1, 2]), (block(1, 5) * 32, [1])):
        file = io.BytesIO(header(b"") + cluster_of(0, first) + cluster_of(1, many + block(2, 9)))
        assert [track for track, _ in cluster_times(file)] == [1, 2, *expected]
    damaged = b"\xa3\xff\x81" + bytes(40)  # a block without a size
    file = io.BytesIO(header(b"") + cluster_of(0, block(1, 0), damaged, block(2, 0)))
    assert list(cluster_times(file)) == [(1, 0.0)]
