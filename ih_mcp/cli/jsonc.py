"""JSON with comments, edited as text: what is not changed stays as it is, byte for byte.

Comments and trailing commas are written over with blanks, so that Python's own reader reads the
rest, and each place in it is the same place in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined] # typeshed does not name it
from operator import itemgetter
from typing import Any

_Edit = tuple[int, int, str]
"""What stands between two places, and what stands there then."""
_BLANKS = " \t\r\n"
_STRING_OR_COMMENT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_LINE_BREAK = re.compile(r"\r?\n|\r|")
_VALUE_AND_COMMA = re.compile(
    r'("[^"\\]*(?:\\.[^"\\]*)*"|[^ \t\r\n,\[{"]+)([ \t\r\n]*,(?=[ \t\r\n]*[\]}]))?', re.DOTALL
)


def parse(text: str) -> object:
    """The data in a text; an empty text is an empty object.

    Raises:
        ValueError: It is not JSON with comments, or a name stands twice in one object.
        RecursionError: It is nested too deeply.
    """
    strict = _strict(text)
    return json.loads(strict, object_pairs_hook=_once) if strict.strip(_BLANKS) else {}


def put(text: str, path: Sequence[str], value: object) -> str:
    """The text with `value` at `path`; of an object that is there only what differs is changed."""
    if not _strict(text).strip(_BLANKS):
        newline = "\r\n" if "\r\n" in text else "\n"
        start = text if text.endswith(("\n", "\r")) or not text else text + newline
        new = json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
        return start + new.replace("\n", newline)
    return _Document(text).put(path, value)


def append(text: str, path: Sequence[str], value: object) -> str:
    """The text with one more item in the list at `path`."""
    document = _Document(text)
    return document.edited(document.insert(document.find(path), None, value))


def remove(text: str, path: Sequence[str | int]) -> str:
    """The text without the member or item at `path`."""
    return _Document(text).remove(path)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{json.dumps(twice)} stands twice in one object")
    return found


def _nested(path: Sequence[str], value: object) -> object:
    for name in reversed(path):
        value = {name: value}
    return value


def _without_comments(text: str) -> str:
    """The same text with blanks where comments are."""
    return _STRING_OR_COMMENT.sub(
        lambda found: found[0] if found[0][0] == '"' else re.sub(r"[^\r\n]", " ", found[0]), text
    )


def _strict(text: str) -> str:
    """The same text with blanks where comments and trailing commas are."""
    return _VALUE_AND_COMMA.sub(
        lambda found: found[1] + (found[2] or "").replace(",", " "), _without_comments(text)
    )


@dataclass(frozen=True, slots=True)
class _Item:
    """A member of an object, or an item of a list."""

    name: str | None
    start: int
    value: int
    end: int
    comma: int | None
    """Where the comma behind it is."""


@dataclass(frozen=True, slots=True)
class _Container:
    """An object or a list."""

    start: int
    close: int
    """Where its closing bracket is."""
    items: Sequence[_Item]


class _Document:
    """A text, and where its parts are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.bare = _without_comments(text)
        self.strict = _strict(text)
        self.root = self.container(self.skip(0))
        self.newline = "\r\n" if "\r\n" in text else "\n"
        lines = [item for item in self.root.items if self.begins_line(item.start)]
        self.unit = self.indent(lines[0].start) if lines else "  "
        self.compact = bool(self.root.items) and not re.search(
            r"[\r\n]", text[self.root.start : self.root.close]
        )

    def skip(self, position: int) -> int:
        """The next place that is no blank."""
        while self.bare[position : position + 1] in (*_BLANKS,):
            position += 1
        return position

    def container(self, start: int) -> _Container:
        """The object or list that begins at `start`."""
        items = []
        position = self.skip(start + 1)
        while self.bare[position] not in "]}":
            item = self.item(position, named=self.bare[start] == "{")
            items.append(item)
            position = self.skip(item.end if item.comma is None else item.comma + 1)
        return _Container(start, position, items)

    def item(self, start: int, *, named: bool) -> _Item:
        name, value = None, start
        if named:
            name, end = scanstring(self.strict, start + 1)
            value = self.skip(self.skip(end) + 1)
        _, end = json.JSONDecoder().raw_decode(self.strict, value)
        after = self.skip(end)
        return _Item(name, start, value, end, after if self.bare[after] == "," else None)

    def find(self, path: Sequence[str | int]) -> _Container:
        """The object or list at `path`."""
        found = self.root
        for step in path:
            found = self.container(_member(found, step).value)
        return found

    def put(self, path: Sequence[str], value: object) -> str:
        return self.edited(self.merge(self.root, _nested(path, value)))

    def merge(self, container: _Container, values: object) -> Iterator[_Edit]:
        """What makes an object hold `values`; what is not named in them stays."""
        assert isinstance(values, Mapping)
        known = {item.name: item for item in container.items}
        new = {name: value for name, value in values.items() if name not in known}
        for name, value in values.items():
            if item := known.get(name):
                yield from self.replace(item, value)
        if new:
            yield from self.insert_all(container, new)

    def replace(self, item: _Item, value: object) -> Iterator[_Edit]:
        old, _ = json.JSONDecoder().raw_decode(self.strict, item.value)
        if isinstance(old, dict) and isinstance(value, Mapping):
            yield from self.merge(self.container(item.value), value)
        elif json.dumps(old) != json.dumps(value):
            inline = self.compact or not self.begins_line(item.start)
            yield item.value, item.end, self.rendered(value, item.start, inline=inline)

    def insert(self, container: _Container, name: str | None, value: object) -> Iterator[_Edit]:
        yield from self.insert_all(container, {name: value})

    def insert_all(
        self, container: _Container, values: Mapping[str | None, object]
    ) -> Iterator[_Edit]:
        """Put members behind the last one, written as that one is."""
        last = container.items[-1] if container.items else None
        if self.compact or (last and not self.begins_line(last.start)):
            yield self.inline(container, last, values)
            return
        indent = self.indent(last.start) if last else self.indent(container.start) + self.unit
        start = self.newline + indent
        members = ("," + start).join(
            self.member(name, value, indent, inline=False) for name, value in values.items()
        )
        place = self.behind_comments(container.close)
        if last is None:
            end = self.closing(container, place)
            yield place, place, start + members + end
        elif last.comma is None:
            yield last.end, last.end, ","
            yield place, place, start + members
        else:
            yield place, place, start + members + ","

    def closing(self, container: _Container, place: int) -> str:
        """The line break before the closing bracket of what was empty, where there is none."""
        if re.search(r"[\r\n]", self.text[place : container.close]):
            return ""
        return self.newline + self.indent(container.start)

    def inline(
        self, container: _Container, last: _Item | None, values: Mapping[str | None, object]
    ) -> _Edit:
        members = ", ".join(
            self.member(name, value, "", inline=True) for name, value in values.items()
        )
        if last is None:
            return container.start + 1, container.start + 1, members
        if last.comma is None:
            return last.end, last.end, ", " + members
        return last.comma + 1, last.comma + 1, f" {members},"

    def member(self, name: str | None, value: object, indent: str, *, inline: bool) -> str:
        written = self.written(value, indent, inline=inline)
        return written if name is None else f"{json.dumps(name, ensure_ascii=False)}: {written}"

    def rendered(self, value: object, start: int, *, inline: bool) -> str:
        return self.written(value, self.indent(start), inline=inline)

    def written(self, value: object, indent: str, *, inline: bool) -> str:
        written = json.dumps(value, ensure_ascii=False, indent=None if inline else self.unit)
        return written.replace("\n", self.newline + indent)

    def remove(self, path: Sequence[str | int]) -> str:
        container = self.find(path[:-1])
        item = _member(container, path[-1])
        if len(container.items) == 1 and not self.has_comments(container, item):
            return self.edited([(container.start + 1, container.close, "")])
        place = container.items.index(item)
        comma = item.comma
        if comma is None and place:
            comma = container.items[place - 1].comma
        start = self.behind_comments(item.start)
        rest = self.text[item.end :]
        if comma is not None and comma >= item.end:
            rest = self.text[item.end : comma] + self.text[comma + 1 :]
        if rest.lstrip(" \t")[:1] not in {"\r", "\n"}:
            start = self.behind_line_comment(start)
        edits = [(start, item.end, "")]
        if comma is not None:
            edits.append((comma, comma + 1, ""))
        return self.edited(edits)

    def has_comments(self, container: _Container, item: _Item) -> bool:
        """Whether something stays in a container whose only item goes."""
        around = self.text[container.start + 1 : item.start] + self.text[item.end : container.close]
        return bool(around.replace(",", "").strip(_BLANKS))

    def behind_line_comment(self, position: int) -> int:
        """The place itself, or behind the line break of a line's comment that it stands in."""
        for found in _STRING_OR_COMMENT.finditer(self.text):
            if found[0].startswith("//") and found.start() < position <= found.end():
                line_break = _LINE_BREAK.match(self.text, found.end())
                return line_break.end() if line_break else position
        return position

    def edited(self, edits: Iterable[_Edit]) -> str:
        """The text after some edits; those at one place stay in their order."""
        parts = []
        done = 0
        for start, end, new in sorted(edits, key=itemgetter(0)):
            parts += [self.text[done:start], new]
            done = end
        return "".join([*parts, self.text[done:]])

    def behind_comments(self, position: int) -> int:
        """Where the text before `position` ends, its comments too."""
        return len(self.text[:position].rstrip(_BLANKS))

    def indent(self, position: int) -> str:
        """The blanks that its line begins with."""
        line = re.split(r"[\r\n]", self.text[:position])[-1]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def begins_line(self, position: int) -> bool:
        before = self.text[:position].rstrip(" \t")
        return before[-1:] in {"\r", "\n"}


def _member(container: _Container, step: str | int) -> _Item:
    if isinstance(step, int):
        return container.items[step]
    return next(item for item in container.items if item.name == step)
