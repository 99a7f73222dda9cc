"""What the bytes of a file tell of tracks that change; whole files: see test_pitfalls."""

from __future__ import annotations

import io
import struct

import pytest

from ih_mcp.media.containers.parameter_changes import (
    Sighting,
    _flash,
    _header,
    _listed,
    _parameters,
    _transport_seconds,
)


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
        Sighting("", 0x100, b"\x1b"),
        Sighting("", 0x101, b"\x0f"),
        Sighting("", 0x1FFE, b"\x81"),
    ]
    assert [each.number for each in _listed(table[:22])] == [0x100]  # one packet has no more


def clock(seconds: float) -> bytes:
    ticks = round(seconds * 90_000)
    return struct.pack(
        ">BHH", ticks >> 29 & 0xE | 1, ticks >> 14 & 0xFFFE | 1, ticks << 1 & 0xFFFE | 1
    )


@pytest.mark.parametrize("seconds", [0.0, 1.5, 12_345.678, 95_000.25])
def test_a_unit_is_decoded_when_its_second_time_says_else_its_only_one(seconds: float) -> None:
    shown = b"\0\0\x80\x80\x05" + clock(seconds)
    assert _transport_seconds(shown, 0) is not None
    assert _transport_seconds(b"x" + b"\0\0\x80\x80\x05" + clock(seconds), 1) == pytest.approx(
        seconds
    )
    decoded = b"\0\0\x80\xc0\x0a" + clock(seconds + 0.2) + clock(seconds)
    assert _transport_seconds(decoded, 0) == pytest.approx(seconds)
    assert _transport_seconds(b"\0\0\x80\x00\x00" + bytes(10), 0) is None


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        ("fff1 50 80 0000", "50 80"),  # AAC: profile, rate and channels
        ("fff9 4c 40 0000", "4c 40"),
        ("fffb 90 64 0000", "1a 00"),  # MP3: version, layer and rate
        ("fff3 48 64 0000", "12 08"),
        ("0b77 1234 40 40", "0b 40"),  # AC-3: rate
        ("0b77 1234 40 58", ""),  # E-AC-3
        ("0b00 1234 40 40", ""),
        ("ff00 1234 4040", ""),
        ("ffe1 9064 0000", ""),
        ("0000 0000 0000", ""),
    ],
)
def test_a_frame_tells_what_may_not_change(frame: str, found: str) -> None:
    assert _header(b"xx" + bytes.fromhex(frame), 2).hex() == found.replace(" ", "")


def test_bits_that_may_change_do_not_count() -> None:
    assert _parameters(bytes.fromhex("fff1 52 bf"), 0) == _parameters(
        bytes.fromhex("fff1 50 80"), 0
    )


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
    assert [each.header for each in found if each.header] == headers
    times = [each.seconds for each in found if each.seconds is not None]
    assert times == ([] if kind == 18 else [0x0123_4567 / 1000]) + [0.04]
