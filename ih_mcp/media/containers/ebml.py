"""EBML, the grammar below Matroska and WebM: elements, found as their bytes come.

Names and numbers as in RFC 8794 (EBML) and RFC 9559 (Matroska). An element is a number, a size
and a payload. Only Segment and Cluster may have an unknown size, as live streams write them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from math import inf
from typing import NamedTuple

from .container_types import bad_container
from .incremental_reader import IncrementalReader


class Id(IntEnum):
    """Numbers of the elements that matter here."""

    EBML = 0x1A45DFA3
    SEGMENT = 0x18538067
    SEEK_HEAD = 0x114D9B74
    INFO = 0x1549A966
    TIMESTAMP_SCALE = 0x2AD7B1
    DURATION = 0x4489
    TRACKS = 0x1654AE6B
    TRACK_ENTRY = 0xAE
    TRACK_NUMBER = 0xD7
    TRACK_TYPE = 0x83
    DEFAULT_DURATION = 0x23E383
    CUES = 0x1C53BB6B
    CHAPTERS = 0x1043A770
    TAGS = 0x1254C367
    ATTACHMENTS = 0x1941A469
    CLUSTER = 0x1F43B675
    TIMESTAMP = 0xE7
    SIMPLE_BLOCK = 0xA3
    BLOCK_GROUP = 0xA0
    BLOCK = 0xA1
    REFERENCE_BLOCK = 0xFB
    VOID = 0xEC


ENTERED = frozenset({Id.SEGMENT, Id.CLUSTER, Id.BLOCK_GROUP})
"""Elements whose children are reported; all others are skipped as a whole."""
KNOWN = frozenset(
    {
        *(Id.EBML, Id.SEGMENT, Id.CLUSTER, Id.SEEK_HEAD, Id.INFO, Id.TRACKS, Id.CUES, Id.CHAPTERS),
        *(Id.TAGS, Id.ATTACHMENTS, Id.TIMESTAMP, Id.SIMPLE_BLOCK, Id.BLOCK_GROUP, Id.BLOCK),
        *(
            Id.REFERENCE_BLOCK,
            Id.VOID,
            0xBF,
            0x5854,
            0xA7,
            0xAB,
            0xAF,
        ),  # in any master; in a Cluster
        *(0xA2, 0x75A1, 0x9B, 0xFA, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8),  # in a BlockGroup
    }
)
"""What may stand in a Matroska stream, as far as masters are entered."""
MAY_BE_UNKNOWN = frozenset({Id.SEGMENT, Id.CLUSTER})
TOP = frozenset(
    {Id.SEEK_HEAD, Id.INFO, Id.TRACKS, Id.CUES, Id.CHAPTERS, Id.TAGS, Id.ATTACHMENTS, Id.CLUSTER}
)
"""Children of Segment: where one stands, a Cluster of unknown size has ended."""

ALL = -1
"""Of an element's payload: hand over all of it."""
UNKNOWN = b"\x01" + b"\xff" * 7
"""A size that is not known."""
_LENGTHS = tuple(9 - first.bit_length() for first in range(256))
"""Of a number or size in bytes, by its first byte; 9 where it is neither."""
_MOST = (*((1 << 7 * length) - 1 for length in range(9)), 0)
"""The greatest value of a number or size, by its length; 0 where it is neither."""
_MAX_PAYLOAD_BYTES = 1 << 26
_MAX_ELEMENTS = 100_000  # chosen: of one piece; half a minute of video has some thousand


RunBlock = tuple[int, int, int, int, int, int]
"""A SimpleBlock of a run: track, ticks, flags, place from the start of the run, size, and the place
of its ticks from its own start."""


class Element(NamedTuple):
    number: int
    offset: int
    """Of its first byte, from the start of the stream."""
    header: bytes
    """Its number and size, as written."""
    size: int | None
    """Of its payload; None where it is unknown."""
    payload: bytes
    """As much of it as was asked for."""
    end: int | None
    """Of its last byte, plus one; None where its size is unknown."""
    blocks: Sequence[RunBlock] = ()
    """Of a run of SimpleBlocks that counts as one element."""

    @property
    def payload_offset(self) -> int:
        return self.offset + len(self.header)

    @property
    def unsigned(self) -> int:
        return int.from_bytes(self.payload, "big")


class Elements:
    """Tells the elements of a stream in order, in whatever pieces it comes.

    Args:
        wanted: How many bytes of whose payload are handed over (`ALL`: all); of others, none.
        gathers_blocks: Whether SimpleBlocks of a Cluster that follow each other are one
            element, which costs a fifth; those at the end of what was fed stay single.
    """

    def __init__(self, wanted: Mapping[int, int], *, gathers_blocks: bool = False) -> None:
        self._wanted = wanted
        self._gathers_blocks = gathers_blocks
        self._blocks_end: float = 0
        """Of the Cluster, in the stream: no block behind it joins a run."""
        self._pieces = IncrementalReader()
        self._needed_bytes = 1
        """How many must wait before there is an element to tell."""
        self._is_damaged = False

    def copy(self) -> Elements:
        """Another one that goes on from here."""
        twin = Elements(self._wanted, gathers_blocks=self._gathers_blocks)
        twin._blocks_end = self._blocks_end
        twin._pieces, twin._is_damaged = self._pieces.copy(), self._is_damaged
        twin._needed_bytes = self._needed_bytes
        return twin

    @property
    def position(self) -> int:
        """How many bytes were passed."""
        return self._pieces.position

    def feed(self, data: bytes) -> list[Element]:
        """Take the next bytes; tells the elements that begin in them.

        Raises:
            MediaError: This is not EBML.
        """
        if self._is_damaged:
            raise bad_container("the Matroska stream was damaged before")
        self._is_damaged = True
        found: list[Element] = []
        for _ in self._pieces.feed(data):
            if self._pieces.has(self._needed_bytes):
                self._read_elements(found)
        self._is_damaged = False
        return found

    def _read_elements(self, found: list[Element]) -> None:
        """Add the elements that begin in what waits, and pass them."""
        waiting, first = self._pieces.waiting()
        at, begins = first, self.position - first
        self._needed_bytes = 1
        while at < len(waiting):
            if waiting[at] == _SIMPLE_BLOCK and self._gathers_blocks:
                last = min(len(waiting) - _BLOCK_BYTES, self._blocks_end - begins)
                blocks, end = _simple_blocks(waiting, at, last)
                if blocks:
                    run = Element(_SIMPLE_BLOCK, begins + at, b"", None, b"", begins + end, blocks)
                    found.append(run)
                    at = end
                    continue
            if not (element := self._next(waiting, at, begins + at)):
                break
            found.append(element)
            if len(found) > _MAX_ELEMENTS:  # it would hold up everything else
                raise bad_container(
                    f"the Matroska stream has over {_MAX_ELEMENTS:_} elements in one piece"
                )
            if element.number == Id.CLUSTER:
                self._blocks_end = inf if element.end is None else element.end
            if element.end is None or element.number in ENTERED:
                at += len(element.header)
            else:
                at = element.end - begins
        self._pieces.skip(at - first)

    def _next(self, waiting: bytes, at: int, offset: int) -> Element | None:
        """The element that begins there, `offset` of the stream; None until enough came."""
        number_end = at + _LENGTHS[waiting[at]]
        if number_end > at + 4:
            raise bad_container(f"byte {offset} of the Matroska stream is no element")
        if len(waiting) <= number_end:
            return None
        start = number_end + _LENGTHS[waiting[number_end]]
        if start > number_end + 8:
            place = offset + number_end - at
            raise bad_container(f"byte {place} of the Matroska stream is no size")
        if len(waiting) < start:
            return None
        header = waiting[at:start]
        number = int.from_bytes(header[: number_end - at], "big")
        size = number_of(header[number_end - at :])
        kept_end = start + self._kept_bytes(number, size)
        if len(waiting) < kept_end:
            self._needed_bytes = kept_end - at
            return None
        end = None if size is None else offset + start - at + size
        return Element(number, offset, header, size, waiting[start:kept_end], end)

    def _kept_bytes(self, number: int, size: int | None) -> int:
        if size is None:
            if number not in MAY_BE_UNKNOWN:
                raise bad_container(f"element {number:X} of the Matroska stream has no size")
            return 0
        wanted = self._wanted.get(number, 0)
        kept = size if wanted == ALL or size < wanted else wanted
        if kept > _MAX_PAYLOAD_BYTES:
            raise bad_container(f"element {number:X} of the Matroska stream claims {size} bytes")
        return kept


_SIMPLE_BLOCK = int(Id.SIMPLE_BLOCK)
_BLOCK_BYTES = 13  # number, size of up to 8, track of 1, time of 2, flags of 1
_BLOCK_HEAD = struct.Struct(">BhB")  # track, time, flags


def _simple_blocks(waiting: bytes, begins: int, last: float) -> tuple[Sequence[RunBlock], int]:
    """The SimpleBlocks that follow each other from there on, and where the last one ends.

    Up to one that is damaged, has a track above 126, or begins behind `last`.
    """
    blocks, at = list[RunBlock](), begins
    while at < last and waiting[at] == _SIMPLE_BLOCK:
        length = _LENGTHS[waiting[at + 1]]
        if length == 2:  # as nearly all are
            size, most = (waiting[at + 1] & 0x3F) << 8 | waiting[at + 2], 0x3FFF
        else:
            most = _MOST[length]
            size = int.from_bytes(waiting[at + 1 : at + 1 + length], "big") & most
        start = at + 1 + length
        track, ticks, flags = _BLOCK_HEAD.unpack_from(waiting, start)
        if not (4 <= size < most and 0x80 <= track < 0xFF):
            break
        blocks.append((track & 0x7F, ticks, flags, at - begins, start + size - at, length + 2))
        at = start + size
    return blocks, at


def number_of(written: bytes) -> int | None:
    """The value of a variable-size integer; None for all ones, which means unknown."""
    most = _MOST[len(written)]
    value = int.from_bytes(written, "big") & most
    return None if value == most else value


def children(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of a whole payload: number and payload of each."""
    at = 0
    while at < len(payload):
        number_end = at + _length(payload, at)
        start = number_end + _length(payload, number_end)
        size = number_of(payload[number_end:start])
        if size is None or start + size > len(payload):
            raise bad_container("an element of the Matroska header does not fit into its parent")
        yield int.from_bytes(payload[at:number_end], "big"), payload[start : start + size]
        at = start + size


def element(number: int, payload: bytes) -> bytes:
    """An element, written with a size of eight bytes."""
    written = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return written + sized(len(payload)) + payload


def void(size: int) -> bytes:
    """An element that says nothing, of so many bytes in all: two at least."""
    is_short = size < 129
    written = bytes([0x80 | size - 2]) if is_short else sized(size - 9)
    header = bytes([Id.VOID]) + written
    return header + bytes(size - len(header))


def sized(size: int) -> bytes:
    """A size in eight bytes."""
    return (size | 1 << 56).to_bytes(8, "big")


def length_at(payload: bytes, at: int) -> int:
    """Of the number or size that begins there; 9 where there is none."""
    return _LENGTHS[payload[at]] if at < len(payload) else 9


def _length(payload: bytes, at: int) -> int:
    length = length_at(payload, at)
    if length > 8:
        raise bad_container("the Matroska header is damaged")
    return length
