"""Fields of MP4 boxes that several readers need: box headers, clocks, edit lists.

Names as in ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

SHORT_HEADER_BYTES, LONG_HEADER_BYTES = 8, 16
_SHORT_HEADER = struct.Struct(">I4s")


class BoxHeader(NamedTuple):
    """The header of a box."""

    kind: bytes
    header_bytes: int
    size: int | None
    """Of the whole box in bytes; None where it goes on to the end of what holds it."""


def read_box_header(data: bytes, at: int = 0) -> BoxHeader | None:
    """The header that begins there; None where it is not complete."""
    if len(data) < at + SHORT_HEADER_BYTES:
        return None
    size, kind = _SHORT_HEADER.unpack_from(data, at)
    if size != 1:
        return BoxHeader(kind, SHORT_HEADER_BYTES, size or None)
    if len(data) < at + LONG_HEADER_BYTES:
        return None
    (size,) = struct.unpack_from(">Q", data, at + SHORT_HEADER_BYTES)
    return BoxHeader(kind, LONG_HEADER_BYTES, size)


@dataclass(frozen=True, slots=True)
class MediaClock:
    """The clock of a movie (`mvhd`) or of a track (`mdhd`)."""

    timescale: int
    """Ticks per second."""
    duration: int
    duration_offset: int
    """Of the duration field, in the bytes that were read."""
    width: int
    """Of the duration field, in bytes."""


def read_clock(data: bytes, at: int = 0) -> MediaClock:
    """The clock in the content of an `mvhd` or `mdhd` that begins there.

    Raises:
        struct.error: The content is too short.
        IndexError: Likewise.
    """
    place, fields = (at + 20, ">IQ") if data[at] else (at + 12, ">II")
    timescale, duration = struct.unpack_from(fields, data, place)
    return MediaClock(timescale, duration, place + 4, 8 if data[at] else 4)


@dataclass(frozen=True, slots=True)
class EditEntry:
    """An entry of an edit list (`elst`)."""

    offset: int
    """In the bytes that were read; the media time follows the duration."""
    width: int
    """Of the duration and of the media time, in bytes."""
    duration: int
    """In ticks of the movie."""
    media_time: int
    """In ticks of the track; negative where nothing is shown."""


def read_edit_entries(data: bytes, at: int, end: int) -> Iterator[EditEntry]:
    """The entries in the content of an `elst` between two offsets.

    Raises:
        struct.error: The content is too short.
        IndexError: Likewise.
    """
    width, entry = (8, struct.Struct(">Qqi")) if data[at] else (4, struct.Struct(">Iii"))
    (count,) = struct.unpack_from(">I", data, at + 4)
    first = at + 8
    for offset in range(first, min(first + count * entry.size, end - entry.size + 1), entry.size):
        duration, media_time, _ = entry.unpack_from(data, offset)
        yield EditEntry(offset, width, duration, media_time)
