"""What the beginning of a file tells, by the bytes that stand there."""

from __future__ import annotations

import pytest

from ih_mcp.media.containers.header_facts import _is_scrambled

CLEAR, ODD, EVEN, PADDING = 0x10, 0xD0, 0x90, 0xE0
"""The last byte of a packet's header; padding has no payload."""


def transport(size: int, first: int, *flags: int, pid: int = 0x100) -> bytes:
    """Packets of MPEG-TS, with as many bytes before or behind each as make up `size`."""
    packets = (bytes([0x47, pid >> 8, pid & 0xFF, each]) + bytes(184) for each in flags)
    return b"".join(bytes(first) + packet + bytes(size - 188 - first) for packet in packets)


@pytest.mark.parametrize(("size", "first"), [(188, 0), (192, 4), (204, 0)])
@pytest.mark.parametrize(
    ("flags", "is_scrambled"),
    [
        ([CLEAR] * 6, False),
        ([EVEN] * 6, True),
        ([CLEAR, ODD, EVEN, ODD, CLEAR, ODD], True),
        ([CLEAR, ODD, CLEAR, ODD, CLEAR, ODD], False),  # the last is not looked at
        ([ODD, CLEAR, ODD, CLEAR, CLEAR], False),  # half of four
        ([ODD, PADDING, ODD, PADDING, ODD, CLEAR], True),
        ([ODD] * 4, False),  # too few to be sure of what it is
    ],
)
def test_protected_packets_are_known_whatever_stands_between_them(
    size: int, first: int, flags: list[int], is_scrambled: bool
) -> None:
    assert _is_scrambled(transport(size, first, *flags)) is is_scrambled


@pytest.mark.parametrize(
    ("pid", "is_media"), [(0, False), (1, True), (0x1FFE, True), (0x1FFF, False)]
)
def test_what_is_no_media_does_not_say_that_a_file_is_protected(pid: int, is_media: bool) -> None:
    for marks in (0, 0xE000):  # which stand before the number
        assert _is_scrambled(transport(188, 0, *[ODD] * 6, pid=marks | pid)) is is_media
