"""Escapes the characters of foreign texts that a terminal, a log or a picture must not get."""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats, surrogates, breaks
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and many emoji need them
_IN_LINES = re.compile(r"[^\n\t]+")


def escape_unprintable(text: str) -> str:
    """Escape invisible characters, those that steer a terminal, and those that XML forbids.

    Errors, logs, terminals and pictures quote what a caller or the service wrote. The quoted text
    must stay one line and look like what it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(char)[1:-1] if _is_unprintable(char) else char for char in text)


def escape_unprintable_lines(text: str) -> str:
    """Escape like `escape_unprintable`, but keep line breaks and tabs."""
    return _IN_LINES.sub(lambda found: escape_unprintable(found[0]), text)


def _is_unprintable(char: str) -> bool:
    code = ord(char)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_noncharacter or (unicodedata.category(char) in _UNSEEN and char not in _JOINERS)
