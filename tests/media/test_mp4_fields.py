"""Each field of the boxes that several readers need, in both of its widths."""

from __future__ import annotations

import struct

import pytest

from ih_mcp.media.containers.mp4_fields import (
    BoxHeader,
    EditEntry,
    MediaClock,
    read_box_header,
    read_clock,
    read_edit_entries,
)

BEFORE = b"before"


@pytest.mark.parametrize(
    ("size", "long_size", "found"),
    [
        (20, b"", BoxHeader(b"moov", 8, 20)),
        (0, b"", BoxHeader(b"moov", 8, None)),
        (2, b"", BoxHeader(b"moov", 8, 2)),
        (1, struct.pack(">Q", (1 << 33) + 7), BoxHeader(b"moov", 16, (1 << 33) + 7)),
    ],
)
def test_a_header_is_read_once_it_is_complete(
    size: int, long_size: bytes, found: BoxHeader
) -> None:
    header = struct.pack(">I4s", size, b"moov") + long_size
    for before in (b"", BEFORE):
        whole = before + header
        assert read_box_header(whole, len(before)) == found
        assert read_box_header(whole + b"more", len(before)) == found
        for end in range(len(before), len(whole)):
            assert read_box_header(whole[:end], len(before)) is None
    assert read_box_header(header) == found


def test_a_clock_stands_behind_two_dates_in_either_width() -> None:
    short = struct.pack(">5I", 0, 2, 3, 600, 1_500)
    assert read_clock(short) == MediaClock(600, 1_500, 16, 4)
    assert read_clock(BEFORE + short, 6) == MediaClock(600, 1_500, 22, 4)
    long = struct.pack(">I2QIQ", 1 << 24, 2, 3, 600, 1 << 40)
    assert read_clock(long) == MediaClock(600, 1 << 40, 24, 8)
    assert read_clock(BEFORE + long, 6) == MediaClock(600, 1 << 40, 30, 8)
    for torn in (b"", short[:-1], long[:-1]):
        with pytest.raises((struct.error, IndexError)):
            read_clock(torn)


@pytest.mark.parametrize(
    ("version", "fields", "width", "size"), [(0, ">IiI", 4, 12), (1, ">QqI", 8, 20)]
)
def test_the_edits_that_fit_are_read_in_either_width(
    version: int, fields: str, width: int, size: int
) -> None:
    edits = [(300, -1), (900, 33), (5, 0)]
    told = b"".join(struct.pack(fields, *edit, 1 << 16) for edit in edits)
    written = BEFORE + struct.pack(">BxxxI", version, len(edits)) + told
    entries = [
        EditEntry(14 + place * size, width, *edit) for place, edit in enumerate(edits)
    ]  # behind six bytes, the version and the count
    assert list(read_edit_entries(written, 6, len(written))) == entries
    assert list(read_edit_entries(written + bytes(50), 6, len(written) + 50)) == entries
    assert list(read_edit_entries(written, 6, len(written) - 1)) == entries[:2]
    assert list(read_edit_entries(written[6:], 0, 8)) == []
