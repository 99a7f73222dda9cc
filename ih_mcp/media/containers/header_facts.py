"""What the bytes of a file tell before anything is decoded.

Of MP4 and QuickTime: whether it is a photo, or a fragment without its beginning; which tracks are
protected, and which change their parameters in the middle (several sample entries). Of MPEG-TS:
whether it is scrambled. Of Matroska and WebM: whether the header is missing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from .mp4_edits import boxes
from .mp4_fields import read_clock

_ENTERED = {
    b"": {b"moov", b"meta", b"moof"},
    b"moof": {b"traf"},
    b"moov": {b"trak", b"mvex"},
    b"trak": {b"mdia"},
    b"mdia": {b"minf"},
    b"minf": {b"stbl"},
}
_WANTED = {
    b"": {b"ftyp", b"moov", b"sidx", b"moof"},
    b"meta": {b"hdlr"},
    b"moov": {b"mvhd"},
    b"mvex": {b"mehd"},
    b"mdia": {b"hdlr"},
    b"stbl": {b"stsd"},
    b"traf": {b"tfhd"},
}
_KINDS = {b"vide": "video", b"soun": "audio"}
_PHOTOS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"})
_PROTECTED = frozenset({b"encv", b"enca", b"drmi", b"drms", b"aavd"})
"""Sample entries of ISO/IEC 23001-7 (cenc, cbcs), of iTunes, of Audible."""


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What was found; of `video` and `audio`, the first track of each counts."""

    is_photo: bool = False
    is_fragment: bool = False
    """Whether it has media and no header."""
    is_chunk: bool = False
    """Whether it is a later chunk of a recording in Matroska or WebM."""
    encrypted: frozenset[str] = frozenset()
    changing: frozenset[str] = frozenset()
    changes_by_fragment: bool = False
    """Whether fragments are of different sample entries, which ffmpeg does not follow."""
    is_open_ended: bool = False
    """Whether it is of fragments, and has no index that tells whether the last one is there."""
    fragments_seconds: float | None = None
    """How long all fragments are by the header."""


def read_header_facts(file: BinaryIO) -> HeaderFacts:
    """Read what the headers of a file say; nothing where it is of another kind.

    Reads the disk: call it in a thread.

    Args:
        file: Of any kind; read from its beginning, in a few small steps.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if _is_scrambled(head):
        return HeaderFacts(encrypted=frozenset(_KINDS.values()))
    if head[4:8] not in _FIRST:
        is_chunk = not head.startswith(_EBML) and _TIMED_CLUSTER.search(head) is not None
        return HeaderFacts(is_chunk=is_chunk)
    size = file.seek(0, 2)
    first, found, kind = dict[bytes, bytes](), dict[str, bytes](), ""
    handler = b""
    numbers = {1}
    try:
        for name, box in boxes(file, size, entered=_ENTERED, wanted=_WANTED):
            first.setdefault(name, box)
            if name == b"trak":
                kind = ""
            elif name == b"hdlr":
                kind, handler = kind or _KINDS.get(box[8:12], ""), handler or box[8:12]
            elif name == b"tfhd":
                numbers.add(_entry_number(box))
            elif name == b"stsd" and kind:
                found.setdefault(kind, box)
    except (struct.error, IndexError):
        pass  # damaged: ffmpeg will tell
    entries = {kind: _entries(box) for kind, box in found.items()}
    changing = frozenset(kind for kind, of in entries.items() if len(set(of)) > 1)
    is_fragmented = b"moof" in first
    return HeaderFacts(
        is_photo=first.get(b"ftyp", b"")[:4] in _PHOTOS
        or (handler == b"pict" and b"moov" not in first),
        is_fragment=is_fragmented and b"moov" not in first,
        encrypted=frozenset(
            kind for kind, of in entries.items() if any(one[4:8] in _PROTECTED for one in of)
        ),
        changing=frozenset() if is_fragmented else changing,
        changes_by_fragment=is_fragmented and bool(changing) and len(numbers) > 1,
        is_open_ended=is_fragmented and not (_has_index(first) or _ends_in_index(file, size)),
        fragments_seconds=_fragments_seconds(first) if is_fragmented else None,
    )


def _has_index(first: Mapping[bytes, bytes]) -> bool:
    """Whether the first `sidx` is of several fragments; one before each is of that alone."""
    box = first.get(b"sidx", b"")
    at = 30 if box[:1] == b"\x01" else 22
    return int.from_bytes(box[at : at + 2], "big") > 1


def _ends_in_index(file: BinaryIO, size: int) -> bool:
    """Whether the file ends in an `mfra`, whose last box is an `mfro` of 16 bytes."""
    file.seek(max(0, size - 16))
    return file.read(8)[4:] == b"mfro"


def _fragments_seconds(first: Mapping[bytes, bytes]) -> float | None:
    """By the `mehd`; None where there is none, or it tells of nothing."""
    try:
        timescale, box = read_clock(first[b"mvhd"]).timescale, first[b"mehd"]
        (duration,) = struct.unpack_from(">Q" if box[0] else ">I", box, 4)
    except (KeyError, struct.error, IndexError):
        return None
    return duration / timescale if timescale and duration else None


_FIRST = frozenset(
    {b"ftyp", b"styp", b"sidx", b"moof", b"moov", b"mdat", b"free", b"wide", b"skip"}
)


_EBML = b"\x1aE\xdf\xa3"
_TIMED_CLUSTER = re.compile(  # and its size, of any length: its time stands first
    rb"\x1f\x43\xb6\x75(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f].{3}"
    rb"|[\x08-\x0f].{4}|[\x04-\x07].{5}|[\x02\x03].{6}|\x01.{7})(?:\xbf\x84.{4})?\xe7[\x81-\x88]",
    re.DOTALL,
)


def _entry_number(box: bytes) -> int:
    """Of the sample entry of a fragment; 1 where its `tfhd` names none."""
    flags = int.from_bytes(box[1:4], "big")
    at = 16 if flags & 1 else 8
    return int.from_bytes(box[at : at + 4], "big") if flags & 2 else 1


_HEAD_BYTES = 1 << 19
_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Of MPEG-TS: how long they are, and where in them the first byte stands."""
_NO_MEDIA = frozenset({0, 0x1FFF})
"""PIDs of the list of programs, and of nothing."""


def _is_scrambled(head: bytes) -> bool:
    """Whether most packets with a payload have scrambling bits (ISO/IEC 13818-1, 2.4.3.3)."""
    for size, first in _PACKETS:
        if head[first::size][:5] == b"\x47" * 5:
            headers = (head[at + 1 : at + 4] for at in range(first, len(head) - size, size))
            bits = [
                flags & 0xC0
                for high, low, flags in headers
                if flags & 0x10 and (high << 8 | low) & 0x1FFF not in _NO_MEDIA
            ]
            return 2 * sum(map(bool, bits)) > len(bits)
    return False


def _entries(box: bytes) -> list[bytes]:
    """The sample entries of an `stsd`, each as it stands there."""
    found, at = list[bytes](), 8
    while at + 8 <= len(box):
        size = int.from_bytes(box[at : at + 4], "big")
        if size < 8:
            break
        found.append(box[at : at + size])
        at += size
    return found
