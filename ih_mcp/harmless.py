"""Texts of others, fit to be shown: one line that looks like what it is."""

from __future__ import annotations

import re
import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats, surrogates, breaks
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and many emoji need them
_IN_LINES = re.compile(r"[^\n\t]+")


def harmless(text: str) -> str:
    """Write as escapes what nobody sees, what steers a terminal, and what no XML may hold.

    What a caller or the service wrote is quoted in errors, logs, terminals and pictures; it must
    stay one line, and look like itself.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(char)[1:-1] if _is_harmful(char) else char for char in text)


def harmless_lines(text: str) -> str:
    """The same, of a text whose line breaks and tabs stay."""
    return _IN_LINES.sub(lambda found: harmless(found[0]), text)


def _is_harmful(char: str) -> bool:
    code = ord(char)
    is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_noncharacter or (unicodedata.category(char) in _UNSEEN and char not in _JOINERS)
