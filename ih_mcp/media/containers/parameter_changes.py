"""Finds tracks whose parameters change in the middle, as where an advert was put into a recording.

A copy has one header, made from the first parameters: what follows a change would play at the wrong
rate, or not at all. AAC, MP3 and AC-3 in MPEG-TS, AAC in files of its own and in FLV, and H.264 in
FLV can change so; pictures in MPEG-TS carry their parameters with them. MP4 names them in its
header, see `header_facts`. The whole file is read once, about a second for an hour of MPEG-TS.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import BinaryIO

_READ_BYTES = 1 << 18
_PACKET_BYTES = 192  # MPEG-TS: 188, and 4 of time in those of cameras
_CALLED_EACH = 1_000
_LEAST_SEEN = 2  # a header that was seen once may be damage
_PES = re.compile(  # ISO/IEC 13818-1: a packet that begins a unit of sound, its PID first
    rb"\x47([\x40-\x5f].)(?:[\x10-\x1f]|[\x30-\x3f].{1,180}?)\x00\x00\x01[\xbd\xc0-\xdf]", re.DOTALL
)
_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]", re.DOTALL)


def changing_tracks(
    file: BinaryIO, container: str, go_on: Callable[[], object] = lambda: None
) -> frozenset[str]:
    """Of `video` and `audio`, those that change.

    Reads the disk: call it in a thread.

    Args:
        file: Read from its beginning.
        container: As `Facts.container_name`.
        go_on: Called now and then; what it raises ends the work.
    """
    headers = _HEADERS.get(container)
    if headers is None:
        return frozenset()
    file.seek(0)
    seen: dict[tuple[str, int], Counter[bytes]] = {}
    for number, (track, header) in enumerate(headers(file)):
        if number % _CALLED_EACH == 0:
            go_on()
        seen.setdefault(track, Counter())[header] += 1
    return frozenset(
        kind
        for (kind, _), counted in seen.items()
        if sum(count >= _LEAST_SEEN for count in counted.values()) > 1
    )


def _transport(file: BinaryIO) -> Iterator[tuple[tuple[str, int], bytes]]:
    """The first header of each packetized unit of sound, by its PID."""
    waiting = b""
    while data := file.read(_READ_BYTES):
        waiting += data
        searched = max(0, len(waiting) - 3 * _PACKET_BYTES)
        for found in _PES.finditer(waiting, 0, max(0, len(waiting) - 2 * _PACKET_BYTES)):
            searched = max(searched, found.end())
            at = found.end() + 4  # where the length of the rest of the PES header stands
            at += 1 + waiting[at]
            header = _header(waiting, at)
            if header:
                yield ("audio", int.from_bytes(found[1], "big") & 0x1FFF), header
        waiting = waiting[searched:]


def _adts(file: BinaryIO) -> Iterator[tuple[tuple[str, int], bytes]]:
    """The header of each frame of a file that has nothing else."""
    waiting = b""
    while data := file.read(_READ_BYTES):
        waiting += data
        at = 0
        while (found := _SYNC.search(waiting, at)) and found.start() + 6 <= len(waiting):
            at = found.start()
            yield ("audio", 0), _parameters(waiting, at)
            at += max(7, (int.from_bytes(waiting[at + 3 : at + 6], "big") >> 5) & 0x1FFF)
        waiting = waiting[found.start() if found else at :]


def _header(data: bytes, at: int) -> bytes:
    """What may not change of the frame that begins there; nothing where none that we know does.

    Of MP3 and AC-3 that is the rate: each of their frames tells its channels, and decoders follow.
    """
    if _SYNC.match(data, at):
        return _parameters(data, at)
    first, second, third, _, fifth, sixth = data[at : at + 6]
    if first == 0xFF and second & 0xE0 == 0xE0 and second & 0x06:
        return bytes((second & 0x1E, third & 0x0C))
    if (first, second) == (0x0B, 0x77) and sixth >> 3 <= _LAST_AC3:
        return bytes((first, fifth & 0xC0))
    return b""


_LAST_AC3 = 10  # of the kinds of bit stream; later ones are E-AC-3, which is encoded anyway


def _parameters(data: bytes, at: int) -> bytes:
    """Profile, rate and channels of the ADTS header that begins there."""
    return bytes((data[at + 2] & 0xFD, data[at + 3] & 0xC0))


def _flash(file: BinaryIO) -> Iterator[tuple[tuple[str, int], bytes]]:
    """Reports each sequence header twice: a single one already counts as a change."""
    at = int.from_bytes(file.read(9)[5:9], "big") + 4
    while len(head := _at(file, at, 16)) >= 13:
        size = int.from_bytes(head[1:4], "big")
        kind, codec, is_header = _FLASH_KINDS.get(head[0], ("", 0, 0)), head[11], head[12] == 0
        if kind == ("audio", 0) and codec >> 4 == _FLASH_AAC and is_header:
            yield from 2 * [(kind, _at(file, at + 13, size - 2))]
        elif kind == ("video", 0) and codec & 0xF in _FLASH_PICTURES and is_header:
            yield from 2 * [(kind, _at(file, at + 16, size - 5))]
        at += 11 + size + 4


def _at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(max(0, min(size, _MAX_HEADER_BYTES)))


_FLASH_KINDS = {8: ("audio", 0), 9: ("video", 0)}
_FLASH_AAC, _FLASH_PICTURES = 10, frozenset({7, 12})  # H.264; HEVC as some write it
_MAX_HEADER_BYTES = 1 << 12
_HEADERS: Mapping[str, Callable[[BinaryIO], Iterator[tuple[tuple[str, int], bytes]]]] = (
    MappingProxyType({"mpegts": _transport, "aac": _adts, "flv": _flash})
)
