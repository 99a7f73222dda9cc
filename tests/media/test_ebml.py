"""The grammar of Matroska by its standards, RFC 8794 and RFC 9559."""

from __future__ import annotations

import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.ebml import (
    ALL,
    ENTERED,
    KNOWN,
    MAY_BE_UNKNOWN,
    TOP,
    UNKNOWN,
    Elements,
    Id,
    children,
    element,
    length_at,
    number_of,
    sized,
    void,
)

NAMES = """\
EBML 1A45DFA3
SEGMENT 18538067
SEEK_HEAD 114D9B74
INFO 1549A966
TIMESTAMP_SCALE 2AD7B1
DURATION 4489
TRACKS 1654AE6B
TRACK_ENTRY AE
TRACK_NUMBER D7
TRACK_TYPE 83
DEFAULT_DURATION 23E383
CUES 1C53BB6B
CHAPTERS 1043A770
TAGS 1254C367
ATTACHMENTS 1941A469
CLUSTER 1F43B675
TIMESTAMP E7
SIMPLE_BLOCK A3
BLOCK_GROUP A0
BLOCK A1
REFERENCE_BLOCK FB
VOID EC
"""
TRACK_PARTS = {Id.TIMESTAMP_SCALE, Id.DURATION, Id.TRACK_ENTRY} | {
    *(Id.TRACK_NUMBER, Id.TRACK_TYPE, Id.DEFAULT_DURATION)
}
ALSO_KNOWN = "EC BF 5854 A7 AB AF A2 75A1 9B FA FD A4 75A2 8E C8"


def test_elements_have_the_numbers_of_the_standard() -> None:
    assert [f"{each.name} {each:X}" for each in Id] == NAMES.splitlines()
    assert {int(number, 16) for number in ALSO_KNOWN.split()} | set(Id) - TRACK_PARTS == KNOWN
    entered = {Id.SEGMENT, Id.CLUSTER, Id.BLOCK_GROUP}
    assert sorted(ENTERED) == sorted(entered)
    assert sorted(MAY_BE_UNKNOWN) == [Id.SEGMENT, Id.CLUSTER]
    blocks = {Id.TIMESTAMP, Id.SIMPLE_BLOCK, Id.BLOCK, Id.REFERENCE_BLOCK, Id.VOID}
    assert set(Id) - TRACK_PARTS - blocks - {Id.EBML, Id.SEGMENT, Id.BLOCK_GROUP} == TOP


@pytest.mark.parametrize("length", range(1, 9))
def test_a_number_says_in_its_first_bits_how_long_it_is(length: int) -> None:
    most, mark = (1 << 7 * length) - 2, 1 << 7 * length
    for value in (0, 1, most):
        written = (value | mark).to_bytes(length, "big")
        assert length_at(b"x" + written, 1) == length
        assert number_of(written) == value
    assert number_of((most + 1 | mark).to_bytes(length, "big")) is None  # all ones: unknown


def test_what_is_no_number_has_no_length() -> None:
    assert length_at(b"\0", 0) == length_at(b"\x81", 1) == 9
    assert sized(0) == b"\x01" + bytes(7)
    assert number_of(UNKNOWN) is None


@pytest.mark.parametrize("piece_bytes", [1, 16, 1_000])
def test_elements_are_told_with_where_they_stand_in_the_stream(piece_bytes: int) -> None:
    info, segment = element(Id.INFO, b"abc"), b"\x18\x53\x80\x67" + UNKNOWN
    elements = Elements({Id.INFO: 2, Id.TRACKS: ALL, Id.TAGS: 9})
    written = [element(Id.EBML, b"left out"), segment, info]
    written += [element(Id.TRACKS, bytes(range(9))), element(Id.TAGS, b"short")]
    stream = b"".join(written)
    pieces = [stream[at : at + piece_bytes] for at in range(0, len(stream), piece_bytes)]
    found = [each for piece in pieces for each in elements.feed(piece)]
    starts = [sum(map(len, written[:place])) for place in range(6)]
    assert [each.offset for each in found] == starts[:-1]
    assert [each.end for each in found] == [starts[1], None, *starts[3:]]
    assert [each.payload for each in found] == [b"", b"", b"ab", bytes(range(9)), b"short"]
    assert [each.size for each in found] == [8, None, 3, 9, 5]
    assert [each.payload_offset - each.offset for each in found] == [12, 12, 12, 12, 12]
    assert elements.position == starts[-1]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (b"\x08\0\0\0\0\x81", "byte 12 of the Matroska stream is no element"),  # of five bytes
        (b"\x10\0\0\0\0", "byte 16 of the Matroska stream is no size"),
        (b"\xae\xff", "element AE of the Matroska stream has no size"),
    ],
)
def test_damage_is_told_with_its_place(written: bytes, says: str) -> None:
    elements, info = Elements({}), element(Id.INFO, b"")
    elements.feed(info[:1])
    with pytest.raises(MediaError, match=says):
        elements.feed(info[1:] + written)
    with pytest.raises(MediaError, match="was damaged before"):
        elements.feed(b"")


def test_a_run_of_blocks_ends_where_its_last_one_does() -> None:
    """Which is where a recording ends whose last Cluster has no size."""
    elements, block = Elements({}, gathers_blocks=True), b"\x81\0\0\x80" + bytes(30)
    head = element(Id.CLUSTER, b"")[:4] + UNKNOWN
    elements.feed(head)
    written = element(Id.SIMPLE_BLOCK, block)
    (run,) = elements.feed(3 * written)
    assert (len(run.blocks), run.offset, run.end) == (3, len(head), len(head) + 3 * len(written))


@pytest.mark.parametrize(
    ("written", "is_gathered"),
    [
        (b"\x84\x80\0\0\x80", True),  # no media behind track, time and flags
        (b"\x84\xfe\0\0\x80", True),
        (b"\x84\xff\0\0\x80", False),  # no number of a track
        (b"\x84\x40\x81\0\0", False),  # of two bytes
        (b"\x83\x81\0\0", False),  # too short
        (b"\x40\x04\x81\0\0\x80", True),
        (b"\x40\x03\x81\0\0", False),
        (sized(5) + b"\x81\0\0\x80a", True),
    ],
)
def test_what_is_no_usual_block_is_left_to_who_reads_each(
    written: bytes, is_gathered: bool
) -> None:
    elements, usual = Elements({}, gathers_blocks=True), element(Id.SIMPLE_BLOCK, b"\x81\0\0\x80")
    elements.feed(element(Id.CLUSTER, b"")[:4] + UNKNOWN)
    found = elements.feed(usual + b"\xa3" + written + void(20))
    gathered = [len(each.blocks) for each in found]
    assert gathered == ([2, 0] if is_gathered else [1, 0, 0])


@pytest.mark.parametrize(
    "written", [b"\0", b"\xae\0", b"\xae", b"\0" + bytes(30), b"\xae" + bytes(30)]
)
def test_a_child_whose_number_or_size_has_no_length_is_refused(written: bytes) -> None:
    with pytest.raises(MediaError, match="the Matroska header is damaged"):
        list(children(written))


def test_children_fill_their_parent() -> None:
    inner = element(Id.TRACK_NUMBER, b"\x01") + element(Id.TRACK_TYPE, b"")
    assert list(children(inner)) == [(Id.TRACK_NUMBER, b"\x01"), (Id.TRACK_TYPE, b"")]
    for torn in (element(Id.TRACK_NUMBER, b"\x01")[:-1], b"\xd7\xff", b"\xd7", b"\xd7\0"):
        with pytest.raises(MediaError, match=r"damaged|does not fit"):
            list(children(torn))


@pytest.mark.parametrize("size", [2, 8, 128, 129, 1000])
def test_nothing_takes_as_many_bytes_as_were_there(size: int) -> None:
    (found,) = Elements({}).feed(void(size))
    assert (found.number, found.end) == (Id.VOID, size)
