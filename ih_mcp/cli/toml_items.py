"""Where the names and values of a TOML text stand in it.

The text is one that Python's own reader has read, so nothing of it is checked here again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Path = tuple[str, ...]
"""Names from the outermost table in."""

_STRING = (
    r'"""[^"\\]*(?:(?:\\.|"{1,2}(?!"))[^"\\]*)*"""(?:"{0,2})'
    r"|'''[^']*(?:'{1,2}(?!')[^']*)*'''(?:'{0,2})"
    r'|"[^"\\]*(?:\\.[^"\\]*)*"'
    r"|'[^']*'"
)
_TOKEN = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}}=,\n]", re.DOTALL)
_NAME = re.compile(rf"{_STRING}|[A-Za-z0-9_-]+", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class TomlItem:
    """A header, or a name with its value."""

    path: Path
    table: Path
    """What it stands in: the table of its header or of its braces."""
    start: int
    """Of its line; in braces, of its name."""
    end: int
    """Behind its line break; in braces, behind its value."""
    value: tuple[int, int] | None = None
    """From where to where its value stands; a header has none."""
    header: TomlItem | None = None
    braces: TomlItem | None = None
    """What it stands in, if that is in braces."""


@dataclass(slots=True)
class _TomlSpan:
    """A line or a member, while it is looked at."""

    start: int
    equals: int | None = None
    limit: int | None = None
    """Where a comment begins, or the line or the member ends."""


def find_items(text: str, path: Sequence[str]) -> list[TomlItem]:
    """The headers and names in their order; of tables in braces only what leads to `path`."""
    items: list[TomlItem] = []
    header: TomlItem | None = None
    for span, end in _lines(text):
        if span.equals is None:
            if text[span.start : span.limit].lstrip().startswith("["):
                names = _names(text[span.start : span.limit])
                header = TomlItem(names, names[:-1], span.start, end)
                items.append(header)
            continue
        item = _item(text, span, end, header.path if header else (), header=header)
        items.append(item)
        items += _members(text, item, tuple(path))
    return items


def name_end(text: str, item: TomlItem, depth: int) -> int:
    """Where the name ends that stands so deep in the path of an item."""
    names = list(_NAME.finditer(text, item.start, item.end))
    return names[depth - len(item.table) - 1].end()


def _lines(text: str) -> Iterator[tuple[_TomlSpan, int]]:
    """Each line, which ends where no bracket is open, and the place behind its line break."""
    span, depth = _TomlSpan(0), 0
    for token in _TOKEN.finditer(text):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth:
            continue
        if first == "=" and span.equals is None:
            span.equals = token.start()
        elif first == "#":
            span.limit = token.start()
        elif first == "\n":
            span.limit = token.start() if span.limit is None else span.limit
            yield span, token.end()
            span = _TomlSpan(token.end())
    span.limit = len(text) if span.limit is None else span.limit
    yield span, len(text)


def _members(text: str, item: TomlItem, path: Path) -> Iterator[TomlItem]:
    """What stands in the braces of an item on the way to `path`, and in their braces."""
    start, end = item.value or (0, 0)
    if text[start] != "{" or item.path != path[: len(item.path)]:
        return
    span, depth = _TomlSpan(start + 1), 0
    for token in _TOKEN.finditer(text, start, end):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        if first == "=" and depth == 1 and span.equals is None:
            span.equals = token.start()
        elif (first == "," and depth == 1) or depth == 0:
            if span.equals is not None:
                blanks = len(text[span.start : token.start()])
                span.start += blanks - len(text[span.start : token.start()].lstrip())
                span.limit = token.start()
                member = _item(text, span, None, item.path, braces=item)
                yield member
                yield from _members(text, member, path)
            span = _TomlSpan(token.end())


def _item(
    text: str,
    span: _TomlSpan,
    end: int | None,
    table: Path,
    *,
    header: TomlItem | None = None,
    braces: TomlItem | None = None,
) -> TomlItem:
    assert span.equals is not None
    behind = text[span.equals + 1 : span.limit]
    start = span.equals + 1 + len(behind) - len(behind.lstrip())
    value = (start, start + len(behind.strip()))
    names = _names(text[span.start : span.equals])
    return TomlItem(
        (*table, *names),
        table,
        span.start,
        value[1] if end is None else end,
        value,
        header,
        braces,
    )


def _names(text: str) -> Path:
    return tuple(map(_read_name, _NAME.findall(text)))


def _read_name(written: str) -> str:
    """A name without its quotes."""
    if written[0] not in "\"'":
        return written
    name: str = tomllib.loads(f"x = {written}")["x"]
    return name
