"""Key frames of H.264 that no decoder can begin with at once.

An encoder can renew pictures bit by bit (intra refresh) instead of by whole key frames. Then a
message in the stream (recovery point) says after how many pictures they are whole. ffmpeg marks
these as key frames, and decoders leave out what comes before they are whole. Names as in ITU-T
H.264.
"""

from __future__ import annotations

_SEI, _SLICES = 6, frozenset({1, 5})
_RECOVERY_POINT = 6
_LENGTH_BYTES = 4  # as ffmpeg writes them


def recovers_late(picture: bytes) -> bool:
    """Whether pictures are whole only some pictures after this one.

    Args:
        picture: In MP4 as ffmpeg writes it; its beginning is enough.
    """
    at = 0
    while at + _LENGTH_BYTES < len(picture):
        size = int.from_bytes(picture[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        kind = picture[at] & 0x1F
        if kind in _SLICES:
            return False
        if kind == _SEI and _names_recovery(
            picture[at + 1 : at + size].replace(b"\0\0\3", b"\0\0")
        ):
            return True
        at += size
    return False


def _names_recovery(messages: bytes) -> bool:
    """Whether one of these is a recovery point that is not reached at once."""
    at = 0
    while at + 2 < len(messages):
        kind, at = _number(messages, at)
        size, at = _number(messages, at)
        if kind == _RECOVERY_POINT and at < len(messages):
            return not messages[at] & 0x80  # recovery_frame_cnt, of which one set bit means 0
        at += size
    return False


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number in bytes of which all but the last are 255, and where it ends."""
    value = 0
    while at < len(data) and data[at] == 0xFF:
        value, at = value + 0xFF, at + 1
    return value + (data[at] if at < len(data) else 0), at + 1
