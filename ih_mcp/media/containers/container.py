"""Container streams: which container a stream has, where it can be cut and what time it is there.

A `Reader` gets the bytes of one stream in pieces of any size. It reports the header and the media
units by their places and keeps no media; its result does not depend on where the pieces were cut.
It changes nothing: a `TimestampField` names the place of a clock, so that the owner of the bytes
can set that clock.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from .container_types import (
    EntryPoint,
    HeaderTemplate,
    MediaUnit,
    Reader,
    TimeJump,
    TimestampField,
    bad_container,
)
from .matroska_clusters import MatroskaReader
from .mp4_fragments import Mp4Reader

__all__ = [
    "READERS",
    "EntryPoint",
    "HeaderTemplate",
    "MediaUnit",
    "Reader",
    "TimeJump",
    "TimestampField",
    "bad_container",
    "container_of",
    "is_headed",
    "is_text",
    "may_begin",
]

READERS: Mapping[str, Callable[[], Reader]] = MappingProxyType(
    {"mp4": Mp4Reader, "webm": MatroskaReader}
)

_LOOKED_AT_BYTES = 4096
_LEAST_TEXT_BYTES = 9  # chosen: a recorder may give a chunk of a few bytes, which may be anything
_TS_PACKET = 188
_TS_PACKETS = 4  # looked at; a single 0x47 is just the letter G


def is_headed(data: bytes) -> bool:
    """Whether media bytes begin a container, so that they can be read without what came before.

    Known are Matroska and WebM, MP4, AVI, WAV, Ogg and MPEG-TS.
    """
    return container_of(data) is not None


def container_of(data: bytes) -> str | None:
    """Which container media bytes begin, as ffmpeg names it; None where they begin none."""
    known = (
        ("matroska", data.startswith(b"\x1aE\xdf\xa3")),
        ("mp4", data[4:8] in {b"ftyp", b"moov"}),
        ("avi", data.startswith(b"RIFF") and data[8:12] == b"AVI "),
        ("wav", data.startswith(b"RIFF") and data[8:12] == b"WAVE"),
        ("ogg", data.startswith(b"OggS")),
        ("mpegts", _is_transport_stream(data)),
    )
    return next((name for name, is_it in known if is_it), None)


def may_begin(data: bytes) -> bool:
    """Whether bytes that are too few to tell a container may be the beginning of one."""
    if any(mark.startswith(data[: len(mark)]) for mark in _MARKS):
        return True
    size, kind = data[:4], data[4:8]  # of the first box of an MP4 stream
    is_box = any(known.startswith(kind) for known in (b"ftyp", b"moov"))
    return is_box and size[:1] == b"\0" and (len(size) < 4 or int.from_bytes(size, "big") >= 8)


_MARKS = (b"\x1aE\xdf\xa3", b"RIFF", b"OggS")


def _is_transport_stream(data: bytes) -> bool:
    marks = data[: _TS_PACKETS * _TS_PACKET : _TS_PACKET]
    return len(data) >= 2 * _TS_PACKET and set(marks) == {0x47}


def is_text(data: bytes) -> bool:
    """Whether a file is one that people write: a note, source code, a list of keys.

    Media has bytes that no text has: zeros, controls, what is no UTF-8. A few bytes may be
    anything.
    """
    beginning = data[:_LOOKED_AT_BYTES]
    if len(beginning) < _LEAST_TEXT_BYTES:
        return False
    try:  # a letter that is cut at the end is none yet
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return all(char in "\t\n\r\f" or unicodedata.category(char) != "Cc" for char in text)
