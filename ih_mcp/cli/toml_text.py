"""TOML, edited as text: what is not changed stays as it is, byte for byte.

The library that keeps comments sees our own tables alone where they stand together: it moves
tables of others that do not.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.container import OutOfOrderTableProxy

from ih_mcp.app.hosts import toml_table

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BEHIND = re.compile(r"(?<=\n)(?:[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z))*\Z")
"""Blank lines and comments at the end: they may belong to what comes next."""
_Edit = Callable[[MutableMapping[str, Any], str], None]


def parse(text: str) -> object:
    """The data in a text.

    Raises:
        ValueError: It is not TOML.
    """
    return tomllib.loads(text)


def put(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with a table at `path`; of one that is there only what differs is changed.

    Raises:
        ValueError: It is written in a way that cannot be changed without moving other tables.
    """
    outer, name = path
    if name in tomllib.loads(text).get(outer, {}):
        return _edited(text, path, lambda servers, name: _merge(servers[name], value))
    newline = "\r\n" if "\r\n" in text else "\n"
    between = "" if not text else newline if text.endswith("\n") else newline * 2
    new = text + between + toml_table(path, value).replace("\n", newline)
    try:
        tomllib.loads(new)
    except tomllib.TOMLDecodeError:  # the tables around it stand on one line, in braces
        return _edited(text, path, lambda servers, name: _add(servers, name, value))
    return new


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the table at `path`.

    Raises:
        ValueError: It is written in a way that cannot be changed without moving other tables.
    """
    for start, end in _blocks(text, path):
        return text[:start] + text[end:]
    return _edited(text, path, lambda servers, name: servers.__delitem__(name))


def _edited(text: str, path: Sequence[str], edit: _Edit) -> str:
    """The text after an edit of the tables around ours, by a library that keeps comments."""
    outer, name = path
    start, end = next(_blocks(text, path), (0, len(text)))
    block, newline = text[start:end], "\n"
    if block.count("\n") == block.count("\r\n") > 0:  # the library writes one kind of line break
        block, newline = block.replace("\r\n", "\n"), "\r\n"
    document = tomlkit.parse(block)
    servers = document[outer]
    assert isinstance(servers, MutableMapping)
    if isinstance(servers, OutOfOrderTableProxy):
        raise ValueError(f"{name} is written in several places of it")  # noqa: TRY004 - the text
    edit(servers, name)
    return text[:start] + tomlkit.dumps(document).replace("\n", newline) + text[end:]


def _blocks(text: str, path: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where our tables stand, if they stand together; without blank lines and comments behind."""
    outer, name = path
    document = tomllib.loads(text)
    entry = document.get(outer, {}).get(name)
    headers = [(start, _is_ours(line, path)) for start, line in _headers(text)]
    for number, (start, ours) in enumerate(headers):
        after = (other for other, also in headers[number + 1 :] if not also)
        end = start + len(_BEHIND.sub("", text[start : next(after, len(text))]))
        if ours and _reads(text[start:end]) == {outer: {name: entry}}:
            yield start, end


def _headers(text: str) -> Iterator[tuple[int, str]]:
    for line in _LINE.finditer(text):
        if line[0].lstrip().startswith("["):
            yield line.start(), line[0]


def _is_ours(line: str, path: Sequence[str]) -> bool:
    """Whether a line is the header of our table, or of one in it."""
    found = _reads(line)
    for step in path:
        if not isinstance(found, dict) or len(found) != 1 or step not in found:
            return False
        found = found[step]
    return True


def _reads(text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _add(servers: MutableMapping[str, Any], name: str, value: Mapping[str, Any]) -> None:
    entry = tomlkit.inline_table()
    entry.update(value)
    servers[name] = entry


def _merge(table: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), MutableMapping):
            _merge(table[name], value)
        elif name not in table or table[name] != value:
            table[name] = value
