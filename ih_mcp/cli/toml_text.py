"""TOML, edited as text: what is not changed stays as it is, byte for byte.

A table can be written under a header, by dotted names, in braces, and a bit of it here and there.
So each name is found in the text together with what it stands in, and gets its new neighbours in
the same way. The library that keeps comments does not do that: it moves tables of others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ih_mcp.app.hosts import toml_path, toml_table, toml_value

from .toml_items import Path, TomlItem, find_items, name_end


def parse(text: str) -> object:
    """The data in a text.

    Raises:
        ValueError: It is not TOML.
    """
    return tomllib.loads(text)


def put(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with a table at `path`; of one that is there only what differs is changed."""
    outer, name = path
    servers = tomllib.loads(text).get(outer, {})
    if name in servers:
        for where, new in _differences(servers[name], value, (outer, name)):
            text = _with_value(text, where, new)
        return text
    if _braces(find_items(text, path), (outer,)):
        return _with_new(text, (outer, name), value)
    return _with_table(text, path, value)


def remove(text: str, path: Sequence[str]) -> str:
    """The text without what is written at `path`; comments stay, but for those within it."""
    where = tuple(path)
    items = find_items(text, where)
    while member := next(filter(_is_outermost(where), items), None):
        text = _without_member(text, items, member)
        items = find_items(text, where)
    for start, end in reversed([*_line_runs(items, where)]):
        text = text[:start] + text[end:]
    return text


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], path: Path
) -> Iterator[tuple[Path, object]]:
    for name, value in new.items():
        known = old.get(name)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            yield from _differences(known, value, (*path, name))
        elif name not in old or repr(known) != repr(value):  # nan is like nan, and 1 unlike true
            yield (*path, name), value


def _with_value(text: str, where: Path, value: object) -> str:
    """The text with this value at a place of a table that is there."""
    items = find_items(text, where)
    there = [item for item in items if item.path == where and item.value]
    if there and not isinstance(value, Mapping):
        start, end = there[0].value or (0, 0)
        return text[:start] + toml_value(value) + text[end:]
    return _with_new(remove(text, where), where, value)


def _with_new(text: str, where: Path, value: object) -> str:
    """The text with one more value in a table, beside those that it has."""
    table, name = where[:-1], where[-1]
    items = find_items(text, where)
    member = f"{toml_path([name])} = {toml_value(value)}"
    if braces := _braces(items, table):
        return _with_member(text, items, braces, member)
    headers = [item for item in _within(items, table) if item.value is None]
    if header := next((item for item in headers if item.path == table), None):
        last = [header, *(item for item in items if item.header is header)][-1]
        return _with_line(text, last, where, value, member)
    dotted = [item for item in _within(items, table) if len(item.table) < len(table)]
    if dotted:
        return _with_dotted(text, dotted[-1], len(table), member)
    if headers:  # of the tables in this one
        start = headers[0].start
        new = toml_table(table, {name: value}) + "\n"
        return text[:start] + new.replace("\n", _newline(text)) + text[start:]
    return _with_table(text, table, {name: value})


def _with_dotted(text: str, last: TomlItem, depth: int, member: str) -> str:
    """The text with a member behind the last one, named from where that one is named."""
    named = text[last.start : name_end(text, last, depth)].lstrip()
    if last.braces:
        return text[: last.end] + f", {named}.{member}" + text[last.end :]
    return _insert_line(text, last, f"{named}.{member}")


def _with_table(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with a table at its end."""
    newline = _newline(text)
    between = "" if not text else newline if text.endswith("\n") else newline * 2
    return text + between + toml_table(path, value).replace("\n", newline)


def _with_line(text: str, last: TomlItem, where: Path, value: object, line: str) -> str:
    """The text with a line, or with a table of its own, behind the last line of a table."""
    if not isinstance(value, Mapping):
        return _insert_line(text, last, line)
    return _insert_line(
        text, last, "\n" + toml_table(where, value).removesuffix("\n"), indent=False
    )


def _insert_line(text: str, item: TomlItem, line: str, *, indent: bool = True) -> str:
    """The text with a line behind another, which is the last one where it has no line break."""
    newline = _newline(text)
    own = text[item.start : item.end]
    blanks = own[: len(own) - len(own.lstrip(" \t"))] if indent else ""
    written = (blanks + line).replace("\n", newline)
    written = written + newline if own.endswith("\n") else newline + written
    return text[: item.end] + written + text[item.end :]


def _with_member(text: str, items: Sequence[TomlItem], braces: TomlItem, member: str) -> str:
    members = [item for item in items if item.braces is braces]
    start, end = braces.value or (0, 0)
    if not members:
        return text[:start] + f"{{ {member} }}" + text[end:]
    last = members[-1].end
    return text[:last] + f", {member}" + text[last:]


def _without_member(text: str, items: Sequence[TomlItem], member: TomlItem) -> str:
    braces = member.braces
    assert braces
    others = [item for item in items if item.braces is braces and item is not member]
    after = [item.start for item in others if item.start > member.start]
    before = [item.end for item in others if item.start < member.start]
    if after:
        return text[: member.start] + text[after[0] :]
    if before:
        return text[: before[-1]] + text[member.end :]
    start, end = braces.value or (0, 0)
    return text[:start] + "{}" + text[end:]


def _line_runs(items: Sequence[TomlItem], where: Path) -> Iterator[tuple[int, int]]:
    """From where to where our lines stand, with what is between two lines of our own tables."""
    lines = [item for item in items if not item.braces]
    run: tuple[int, int] | None = None
    is_joined = False
    for item in lines:
        is_ours = item.path[: len(where)] == where
        if run and not (is_ours and is_joined):
            yield run
            run = None
        if is_ours:
            run = (run[0] if run else item.start, item.end)
            is_joined = item.value is None or item.table[: len(where)] == where
    if run:
        yield run


def _is_outermost(where: Path) -> Callable[[TomlItem], bool]:
    """Whether an item is what is at a path, or below it, in braces that are not."""
    return lambda item: bool(
        item.path[: len(where)] == where and item.braces and len(item.braces.path) < len(where)
    )


def _within(items: Sequence[TomlItem], path: Path) -> list[TomlItem]:
    """What is at a path or below it, from the outermost in."""
    return [item for item in items if item.path[: len(path)] == path]


def _braces(items: Sequence[TomlItem], table: Path) -> TomlItem | None:
    """What a table in braces is the value of."""
    return next((item for item in items if item.path == table and item.value), None)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
