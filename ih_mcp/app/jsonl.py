"""Messages as lines of text: on standard output, in a mirror file, in a resource.

A message that contains a line break (or begins with the byte 0x1E) is marked: a line of
0x1E and the message's length in bytes comes first, then exactly that many bytes, then a line
break. Nothing of the message is changed.
"""

from __future__ import annotations

_RECORD_SEPARATOR = b"\x1e"


def frame_message(body: str | bytes) -> bytes:
    """The bytes of a message in a list of lines."""
    data = body.encode() if isinstance(body, str) else body
    if b"\n" in data or b"\r" in data or data.startswith(_RECORD_SEPARATOR):
        return b"%s%d\n%s\n" % (_RECORD_SEPARATOR, len(data), data)
    return data + b"\n"
