"""Some members of a large JSON object, without reading the rest.

`json.loads` of 32 MiB keeps the interpreter, and so the event loop, for most of a second, in
whichever thread it runs. This goes from one string or bracket to the next in Python, which lets
other threads have their turns, and reads only the members that are wanted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

MAX_MEMBER_CHARS = 64 * 2**10
"""A longer member is left out. chosen: job ids, states and errors have some hundred."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)
_NESTING = {"{": 1, "[": 1, "}": -1, "]": -1}


def read_members(text: str, wanted: Collection[str]) -> dict[str, object]:
    """The members of the JSON object `text` whose names are wanted; the last of a name wins.

    All other members are passed over, and not checked. Run it in a thread where `text` is large.

    Raises:
        ValueError: `text` is no object, is cut off, or a wanted member is no JSON.
    """
    found: dict[str, object] = {}
    depth, value_start = 0, 0
    name = ""
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        mark = text[start]
        depth += _NESTING.get(mark, 0)
        if depth == 1 and not value_start:
            if mark == '"':
                is_short = end - start <= MAX_MEMBER_CHARS
                name = json.loads(text[start:end]) if is_short else ""
            elif mark == ":":
                value_start = end
        elif value_start and ((depth == 1 and mark == ",") or depth == 0):
            if name and name in wanted and start - value_start <= MAX_MEMBER_CHARS:
                found[name] = json.loads(text[value_start:start])
            value_start = 0
        if depth == 0:
            outside = text[end:].strip()
            if mark == "}" and text.lstrip().startswith("{") and not outside:
                return found
            break
    raise ValueError("this is not one whole JSON object")
