"""Takes short texts out of what arrived; nearly every message is one.

The library takes frames of all kinds, and three times as long for these.
"""

from __future__ import annotations

from collections.abc import Sequence

_WHOLE_TEXT = 0x81  # RFC 6455, 5.2: the first byte of a text in one frame, without extensions
_IN_TWO_BYTES = 126  # the second byte where the length follows in two; below it is the length


def take_texts(waiting: bytearray, most_bytes: int) -> tuple[Sequence[bytes | bytearray], int]:
    """Take out the whole texts below 64 KiB that `waiting` begins with.

    Args:
        most_bytes: Once so many are taken, no further text is.

    Returns:
        The texts, and how many bytes must wait before more can be read: those of a text of which
        only the beginning is there, else 1.
    """
    texts = list[bytearray]()
    end, size = 0, len(waiting)
    needed = 1
    while end < most_bytes and end < size and waiting[end] == _WHOLE_TEXT:
        start, length = end + 2, waiting[end + 1] if end + 1 < size else 0
        if length == _IN_TWO_BYTES:
            start += 2
            length = int.from_bytes(waiting[end + 2 : start], "big")
        elif length > _IN_TWO_BYTES:
            break
        if start + length > size:
            needed = start + length - end
            break
        end = start + length
        texts.append(waiting[start:end])
    del waiting[:end]
    return texts, needed
