"""Which key frames are whole only some pictures later, by the messages before their slices."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.media.containers.h264_recovery import _number, recovers_late


def unit(kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">IB", len(body) + 1, kind) + body


SLICE, SEI, DELIMITER = unit(5, bytes(9)), 6, unit(9, b"\x10")
AT_ONCE, LATE = bytes([6, 1, 0x80]), bytes([6, 1, 0x40])
OTHER = bytes([255, 5, 255, 2]) + bytes(257)  # of kind 260, 257 bytes long


@pytest.mark.parametrize(
    ("written", "number", "end"),
    [
        (b"\x05", 5, 1),
        (b"\xff\x00", 255, 2),
        (b"\xff\xff\x03\x09", 513, 3),
        (b"\xff", 255, 2),
        (b"", 0, 1),
    ],
)
def test_a_number_goes_on_while_its_bytes_are_full(written: bytes, number: int, end: int) -> None:
    assert _number(written, 0) == (number, end)


@pytest.mark.parametrize(
    ("messages", "is_late"),
    [
        (b"", False),
        (AT_ONCE, False),
        (LATE, True),
        (OTHER + LATE, True),
        (OTHER + AT_ONCE, False),
        (OTHER, False),
        (bytes([5, 2]) + b"\x06\x01" + LATE, True),  # what is in a message is none
        (bytes([5, 3]) + LATE, False),
        (bytes([5, 4]) + b"\0\0\3\0\0" + LATE, True),  # without the byte that keeps zeros apart
        (LATE[:2], False),
        (bytes([6, 1, 0x41]), True),
        (bytes([6, 255, 5]), False),  # cut off before it says so
    ],
)
def test_a_recovery_point_tells_whether_pictures_are_whole_at_once(
    messages: bytes, is_late: bool
) -> None:
    written = DELIMITER + unit(SEI, messages) + SLICE
    assert recovers_late(written) is is_late
    assert recovers_late(written[: -len(SLICE)] + SLICE[:5]) is is_late
    assert not recovers_late(SLICE + unit(SEI, LATE))  # of another picture
    assert not recovers_late(written[:4])
    assert not recovers_late(unit(1, bytes(9)) + unit(SEI, LATE))
