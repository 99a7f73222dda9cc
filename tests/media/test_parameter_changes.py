"""What the bytes of a file tell of tracks that change; whole files: see test_pitfalls."""

from __future__ import annotations

import io
import struct
import tracemalloc

import pytest

from ih_mcp.media.containers import parameter_changes
from ih_mcp.media.containers.clock_set_backs import SetBack
from ih_mcp.media.containers.parameter_changes import (
    _BEHIND_BYTES,
    _PACKET_BYTES,
    Changes,
    Sighting,
    _flash,
    _header,
    _listed,
    _packets,
    _parameters,
    _transport,
    _transport_times,
    find_changes,
)

from .test_clock_set_backs import block, cluster_of, header, moof
from .test_mp4_boxes import movie


def program(*tracks: tuple[int, int, bytes], about: bytes = b"") -> bytes:
    """A program map table: kind, number and description of each track."""
    listed = b"".join(
        struct.pack(">BHH", kind, 0xE000 | number, 0xF000 | len(told)) + told
        for kind, number, told in tracks
    )
    length = 9 + len(about) + len(listed) + 4
    head = struct.pack(">BHHBBBHH", 2, 0xB000 | length, 1, 0xC1, 0, 0, 0xE100, 0xF000 | len(about))
    return head + about + listed + bytes(4)


def test_each_track_of_a_program_is_listed_with_its_kind() -> None:
    table = program((0x1B, 0x100, b""), (0x0F, 0x101, b"abc"), (0x81, 0x1FFE, b""), about=b"xy")
    assert list(_listed(table + bytes(100))) == [
        Sighting("", 0x100, (b"\x1b",)),
        Sighting("", 0x101, (b"\x0f",)),
        Sighting("", 0x1FFE, (b"\x81",)),
    ]
    assert [each.headers for each in _listed(table, 2)] == [
        2 * (b"\x1b",),
        2 * (b"\x0f",),
        2 * (b"\x81",),
    ]
    assert [each.number for each in _listed(table[:22])] == [0x100]  # one packet has no more
    long = program((0x0F, 0x101, bytes(300)), (0x81, 0x102, b""), about=bytes(300))
    assert [each.number for each in _listed(long)] == [0x101, 0x102]
    many = program(*((0x0F, number, b"") for number in range(60)))
    assert [each.number for each in _listed(many[:188])] == list(range(35))


def clock(seconds: float) -> bytes:
    ticks = round(seconds * 90_000)
    return struct.pack(
        ">BHH", ticks >> 29 & 0xE | 1, ticks >> 14 & 0xFFFE | 1, ticks << 1 & 0xFFFE | 1
    )


@pytest.mark.parametrize("seconds", [0.0, 1.5, 12_345.678, 95_000.25])
def test_a_unit_is_decoded_when_its_second_time_says_else_its_only_one(seconds: float) -> None:
    shown = b"\0\0\x80\x80\x05" + clock(seconds)
    decoded = b"\0\0\x80\xc0\x0a" + clock(seconds + 0.2) + clock(seconds)
    untimed = b"\0\0\x80\x00\x00" + bytes(10)
    places = [1, 1 + len(shown), 1 + len(shown + untimed)]
    assert _transport_times(b"x" + shown + untimed + decoded, places) == pytest.approx(
        [seconds, seconds]
    )
    assert _transport_times(untimed, [0]) == []


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        ("fff1 50 80 0000", "50 80"),  # AAC: profile, rate and channels
        ("fff9 4c 40 0000", "4c 40"),
        ("fffb 90 64 0000", "1a 00"),  # MP3: version, layer and rate
        ("fffb 93 64 0000", "1a 00"),
        ("fff3 48 64 0000", "12 08"),
        ("0b77 1234 40 40", "0b 40"),  # AC-3: rate
        ("0b77 1234 7f 50", "0b 40"),
        ("0b77 1234 40 58", ""),  # E-AC-3
        ("0b00 1234 40 40", ""),
        ("ff00 1234 4040", ""),
        ("ffe1 9064 0000", ""),
        ("0000 0000 0000", ""),
    ],
)
def test_a_frame_tells_what_may_not_change(frame: str, found: str) -> None:
    assert _header(bytes.fromhex(frame)).hex() == found.replace(" ", "")


def test_bits_that_may_change_do_not_count() -> None:
    assert _parameters(bytes.fromhex("fff1 52 bf")) == _parameters(bytes.fromhex("fff1 50 80"))


def tag(kind: int, milliseconds: int, body: bytes) -> bytes:
    time = milliseconds.to_bytes(4, "big")
    head = bytes([kind]) + len(body).to_bytes(3, "big") + time[1:] + time[:1] + bytes(3)
    return head + body + (len(head) + len(body)).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("body", "kind", "headers"),
    [
        (b"\xaf\0\x12\x10", 8, [b"\x12\x10"] * 2),  # of AAC
        (b"\xaf\1\x12\x10", 8, []),
        (b"\x2f\0\x12\x10", 8, []),  # of MP3 there is none
        (b"\x17\0\0\0\0avcC", 9, [b"avcC"] * 2),
        (b"\x1c\0\0\0\0hvcC", 9, [b"hvcC"] * 2),
        (b"\x17\1\0\0\0data", 9, []),
        (b"\x12\0\0\0\0data", 9, []),
        (b"\x17\0\0\0\0data", 18, []),  # of a script
    ],
)
def test_a_sequence_header_of_flv_is_told_twice_and_each_tag_tells_its_time(
    body: bytes, kind: int, headers: list[bytes]
) -> None:
    begin = b"FLV\x01\x05" + (9).to_bytes(4, "big") + bytes(4)
    written = begin + tag(kind, 0x0123_4567, body) + tag(8, 40, b"\x2f\1ab")
    found = list(_flash(io.BytesIO(written)))
    assert [header for each in found for header in each.headers] == headers
    assert all((each.begins, each.ends) == (0, 0) for each in found)  # no track replaces another
    times = [seconds for each in found for seconds in each.times]
    assert times == ([] if kind == 18 else [0x0123_4567 / 1000]) + [0.04]


AAC, OTHER_AAC = bytes.fromhex("fff1 50 80 0000"), bytes.fromhex("fff1 4c 80 0000")
SOUND, PICTURE, PRIVATE = 0xC0, 0xE0, 0xBD


def packet(number: int, body: bytes, *, adapts: bool = False) -> bytes:
    """A packet of MPEG-TS that begins something."""
    head = struct.pack(">BH", 0x47, 0x4000 | number) + (b"\x30\x05 tsok" if adapts else b"\x10")
    return (head + body).ljust(188, b"\xff")


def unit(
    number: int, kind: int, seconds: float, frame: bytes = b"", *, adapts: bool = False
) -> bytes:
    begin = b"\0\0\1" + bytes([kind]) + b"\0\0\x80\x80\x05" + clock(seconds)
    return packet(number, begin + frame, adapts=adapts)


def table(*kinds: int) -> bytes:
    return packet(0x20, b"\0" + program(*((kind, 0x101, b"") for kind in kinds)))


def sounds(number: int, begin: int, end: int, frame: bytes = AAC) -> list[bytes]:
    return [unit(number, SOUND, float(second), frame) for second in range(begin, end)]


TRANSPORT: list[tuple[str, list[bytes], Changes]] = [
    ("nothing", [], Changes()),
    ("the same", sounds(0x101, 0, 5), Changes()),
    (
        "other sound",
        sounds(0x101, 0, 2) + sounds(0x101, 2, 4, OTHER_AAC),
        Changes(tracks=frozenset({"audio"})),
    ),
    (
        "other sound behind what adapts, and of a private kind",
        [
            unit(0x1FFE, PRIVATE, float(n), AAC if n < 2 else OTHER_AAC, adapts=True)
            for n in range(4)
        ],
        Changes(tracks=frozenset({"audio"})),
    ),
    ("damage", sounds(0x101, 0, 2) + sounds(0x101, 2, 3, OTHER_AAC), Changes()),
    (
        "tracks apart",
        [
            part
            for n in range(3)
            for part in (*sounds(1, n, n + 1), *sounds(2, n, n + 1, OTHER_AAC))
        ],
        Changes(),
    ),
    ("another codec", [table(0x0F)] * 2 + [table(0x81)] * 2, Changes(changes_codec=True)),
    ("one codec", [table(0x0F)] * 4, Changes()),
    (
        "a clock that is set back",
        [*sounds(0x101, 0, 3), unit(0x100, PICTURE, 9.0), *sounds(0x101, 0, 2)],
        Changes(set_backs=(SetBack(3.0, 3.0),)),
    ),
    (
        "a clock that begins again",
        [unit(0x100, PICTURE, 95_440.0 + n) for n in range(3)]
        + [unit(0x100, PICTURE, float(n)) for n in range(3)],
        Changes(),
    ),
    ("a track behind another", sounds(1, 0, 3) + sounds(2, 5, 8), Changes(replaced_seconds=4.0)),
    (
        "three tracks of pictures",
        [unit(each, PICTURE, float(n)) for each in (3, 2, 1) for n in range(3)],
        Changes(replaced_seconds=6.0),
    ),
    ("a picture behind sound", [*sounds(1, 0, 3), unit(2, PICTURE, 4.0)], Changes()),
    (
        "two that follow a third only in part",
        sounds(1, 0, 3) + sounds(2, 3, 4) + sounds(3, 4, 5) + sounds(2, 4, 5),
        Changes(),
    ),
    ("two at once", sounds(1, 0, 3) + sounds(2, 3, 4) + sounds(1, 4, 6), Changes()),
    ("one after all", sounds(1, 0, 3) + sounds(2, 9, 10), Changes(replaced_seconds=2.0)),
]


@pytest.mark.parametrize("read_bytes", [70, 1 << 18])
@pytest.mark.parametrize("of_camera", [False, True])
@pytest.mark.parametrize(
    ("packets", "changes"), [row[1:] for row in TRANSPORT], ids=[row[0] for row in TRANSPORT]
)
def test_what_changes_in_mpeg_ts_is_found_in_whatever_pieces_it_is_read(
    packets: list[bytes],
    changes: Changes,
    of_camera: bool,
    read_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parameter_changes, "_READ_BYTES", read_bytes)
    empty = struct.pack(">BHB", 0x47, 0x1FFF, 0x10).ljust(188, b"\xff")
    time = b"time" if of_camera else b""
    file = io.BytesIO(b"".join(time + each for each in [*packets, empty, empty, empty]))
    file.read()
    assert find_changes(file, "mpegts") == changes


FALSE_PACKET = bytes.fromhex("47 4123 10 000001c0 0000 80 80 05")
"""What begins like a packet of sound of another track."""


@pytest.mark.parametrize("read_bytes", [70, 5_000, 1 << 18])
@pytest.mark.parametrize("between", [b"", b"time", bytes(16)], ids=["188", "192", "204"])
def test_packets_that_follow_each_other_are_all_looked_at_and_nothing_within_them(
    between: bytes, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameter_changes, "_READ_BYTES", read_bytes)
    within = 3 * (FALSE_PACKET + clock(1.0) + AAC) + 3 * (FALSE_PACKET + clock(9.0) + OTHER_AAC)
    body = (b"\x47" + struct.pack(">HB", 0x101, 0x10) + within).ljust(188, b"\x47")
    packets = list[bytes]()
    for second in range(200):
        packets += [unit(0x101, SOUND, float(second), AAC if second < 198 else OTHER_AAC), body]
    written = b"".join(between + each for each in [*packets, *3 * [body]])
    sound = frozenset({"audio"})
    if read_bytes == 1 << 18:  # enough of them to be sure that they follow each other
        assert find_changes(io.BytesIO(written), "mpegts") == Changes(tracks=sound)
    torn = written[:40_000] + written[40_077:]  # some bytes are lost: sought anew from there on
    assert sound <= find_changes(io.BytesIO(torn), "mpegts").tracks


@pytest.mark.parametrize("size", [188, 192, 204])
def test_packets_are_found_wherever_a_piece_begins_in_one(size: int) -> None:
    """All but the last few, of which the rest may come with the next piece."""
    written = 40 * (bytes(size - 188) + packet(0x101, b""))
    for begin in range(size):
        found = _packets(written[begin:])
        assert (found.step, (begin + found.start) % size) == (size, size - 188)
        behind = len(written) - begin - found[-1]
        assert _BEHIND_BYTES + _PACKET_BYTES <= behind < _BEHIND_BYTES + _PACKET_BYTES + size


@pytest.mark.parametrize("size", [188, 192, 204])
def test_each_unit_counts_once_however_the_file_is_read(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of a piece is read again with the next one."""
    units = [unit(0x101, SOUND, float(second), AAC) for second in range(60)]
    tail = 4 * [struct.pack(">BHB", 0x47, 0x1FFF, 0x10).ljust(188, b"\xff")]
    written = b"".join(bytes(size - 188) + each for each in units + tail)
    for read_bytes in (1, 187, 188, 1_000, 2_345, 1 << 18):
        monkeypatch.setattr(parameter_changes, "_READ_BYTES", read_bytes)
        seen = list(_transport(io.BytesIO(written)))
        assert [time for each in seen for time in each.times] == [float(n) for n in range(60)]
        places = [each.begins for each in seen] + [seen[-1].ends]
        assert places == sorted(set(places)), read_bytes


@pytest.mark.parametrize("read_bytes", [5, 1 << 18])
def test_the_frames_of_a_file_of_aac_follow_each_other(
    read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameter_changes, "_READ_BYTES", read_bytes)

    def frame(rate: int, size: int = 300) -> bytes:
        inner = bytes.fromhex("fff1 4c 40") * 1_000  # as if frames of another rate began there
        head = bytes([0xFF, 0xF1, rate, 0x80 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5])
        return (head + inner)[: size or 7]

    def changes(*frames: bytes) -> Changes:
        return find_changes(io.BytesIO(b"".join(frames)), "aac")

    is_changed = Changes(tracks=frozenset({"audio"}))
    assert changes(*[frame(0x50), frame(0x50, 3_000)] * 2, b"\xff\xf1") == Changes()
    for before, after in ([300, 300], [300, 6], [0, 0]):  # 0: damage
        assert changes(*[frame(0x50, before)] * 2, frame(0x4C), frame(0x4C, after)) == is_changed
    assert changes(b"junk", *[frame(0x50)] * 2, *[frame(0x4C)] * 2, b"\xff") == is_changed
    assert changes(*[frame(0x50)] * 2, frame(0x4C)) == Changes()


def test_what_is_no_frame_is_not_kept() -> None:
    class Zeros(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return bytes(len(super().read(size)))

    file = Zeros(bytes(8 * 2**20))
    tracemalloc.start()
    try:
        assert find_changes(file, "aac") == Changes()
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def flash(*tags: bytes) -> bytes:
    return b"FLV\x01\x05" + (9).to_bytes(4, "big") + bytes(4) + b"".join(tags)


HEAD, OTHER_HEAD = b"\xaf\0\x12\x10", b"\xaf\0\x11\x90"


@pytest.mark.parametrize(
    ("written", "changes"),
    [
        (flash(), Changes()),
        (flash(tag(8, 0, HEAD), tag(8, 2_000, b"\xaf\1x")), Changes(end_seconds=2.0)),
        (
            flash(tag(8, 0, HEAD), tag(8, 9, OTHER_HEAD), tag(9, 5_000, b"\x17\1\0\0\0x")),
            Changes(tracks=frozenset({"audio"}), end_seconds=5.0),
        ),
        (flash(tag(8, 0, HEAD), tag(8, 2_000, b"\xaf\1x"))[:-1], Changes()),
        (flash(tag(8, 2_000, b"\xaf\1x")) + bytes(4), Changes()),
        (flash(tag(8, 2_000, b"\xaf\1x"))[:-4] + (15).to_bytes(4, "big"), Changes()),
        (flash(tag(18, 2_000, b"script")), Changes()),
        (flash(tag(8, 2_000, b"")), Changes(end_seconds=2.0)),
        (flash(tag(8, 0, bytes(70_000)), tag(8, 2_000, bytes(70_000))), Changes(end_seconds=2.0)),
        (flash(tag(8, 2_000, bytes(9)))[:-4] + (35).to_bytes(4, "big"), Changes()),  # of 37 bytes
    ],
)
def test_an_flv_that_ends_with_a_whole_tag_tells_its_latest_time(
    written: bytes, changes: Changes
) -> None:
    assert find_changes(io.BytesIO(written), "flv") == changes


def test_the_last_tag_of_an_flv_may_be_cut_off_behind_its_beginning() -> None:
    written = flash(tag(8, 1_000, b"\xaf\1"), tag(8, 2_000, b"\xaf\1")[:13])
    assert [each.times for each in _flash(io.BytesIO(written))] == [(1.0,), (2.0,)]
    assert [each.times for each in _flash(io.BytesIO(written[:-1]))] == [(1.0,)]


def test_other_containers_tell_their_parameters_once() -> None:
    assert find_changes(io.BytesIO(flash(tag(8, 0, HEAD))), "avi") == Changes()


def test_tracks_of_mp4_that_follow_each_other_replace_nothing() -> None:
    times = [(1, 0, 0), (1, 0, 90), (2, 0, 180), (2, 0, 270)]
    file = io.BytesIO(movie({1: 90, 2: 90}) + b"".join(moof(each) for each in times))
    assert find_changes(file, "mov") == Changes()


@pytest.mark.parametrize(("tags", "calls"), [(1, 1), (1_000, 1), (1_001, 2)])
def test_long_work_can_be_ended(tags: int, calls: int) -> None:
    called = list[int]()
    file = flash(*[tag(8, n, b"\xaf\1x") for n in range(tags)])
    find_changes(io.BytesIO(file), "flv", lambda: called.append(0))
    assert len(called) == calls


def test_slides_that_are_written_ahead_of_their_sound_set_no_clock_back() -> None:
    sound = [cluster_of(n, block(2, 0)) for n in range(60)]
    slides = [cluster_of(n, block(1, 0)) for n in (0, 20, 40)]
    file = io.BytesIO(header(b"") + b"".join(slides + sound))
    assert find_changes(file, "matroska") == Changes()
    both = cluster_of(0, block(1, 0), block(2, 0)) + cluster_of(40, block(1, 0), block(2, -20_000))
    sound = [cluster_of(n, block(2, 0)) for n in (*range(21, 50), *range(10))]
    file = io.BytesIO(header(b"") + both + b"".join(sound) + cluster_of(0, block(1, 0)))
    assert find_changes(file, "matroska") == Changes(set_backs=(SetBack(30.0, 50.0),))


def test_how_far_below_0_a_track_of_matroska_begins_is_found() -> None:
    begins = cluster_of(0, block(1, -250), block(2, -1_500), block(1, -200))
    file = io.BytesIO(header(b"") + begins + cluster_of(1, block(1, 0), block(2, 0)))
    assert find_changes(file, "matroska") == Changes(below_seconds=1.5)
