"""What the plain-words rule asks of names and prose, checked: `python -m tests.lint`.

Names are the field's words, one class has one name, and prose is plain English. Each finding is
one line with its place; `make lint` fails where there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ih_mcp"
MAX_LINES = 500
TABLES = {
    "wire/error_catalog.py",  # rows of refusals
    "standin/cues/table.py",  # rows of signals
}
"""Modules that are mostly rows, which may be longer."""
NAMES = (
    "house", "seat", "teller", "telling", "told", "visit", "gate", "bell", "words", "older", "peer",
    "mend", "keeping", "allowance", "patience", "trouble", "vault", "linger", "thirds",
)  # fmt: skip
"""Words that a name may not have: each says nothing to a reader of the field."""
PLAIN_VALUES = frozenset({"words", "older", "peer"})
"""Those of them that a variable may have: there are words of a sentence, and peers of a socket."""
BARE_VERBS, MAX_BARE = ("take", "read"), 6
"""Names that say nothing without what is taken or read, as `read_body` does. So many functions may
have one all the same: a protocol gives it to them, as a file has `read(size)`."""
PROSE = (
    r"\btold\b", r"\bis so\b", r"\blets? go\b", r"\blet go\b", r"\bmends?\b", r"\bwhose end\b",
    r"\bnobody waits\b", r"\bin vain\b", r"\btaken in\b", r"\bwhat was said\b",
)  # fmt: skip
"""Phrases that plain English has no need of."""
SHARED_NAMES: frozenset[str] = frozenset()
"""Class names that two classes may have."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"ih_mcp/{self.path}:{self.line}: {self.what}"


def check(package: Path = PACKAGE) -> list[Finding]:
    """Every finding, by path."""
    found: list[Finding] = []
    classes: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    bare: list[tuple[str, int]] = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        source = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(source)))
        found += _module(name, source, nodes)
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")].append((name, node.lineno))
            if isinstance(node, _FUNCTION) and node.name.lstrip("_") in BARE_VERBS:
                bare.append((name, node.lineno))
    for name, places in classes.items():
        if len(places) > 1 and name not in SHARED_NAMES:
            found += [Finding(*place, f"class {name} has the name of another") for place in places]
    if len(bare) > MAX_BARE:
        what = f"a name that does not say what; {len(bare)} functions have one, {MAX_BARE} may"
        found += [Finding(*place, what) for place in bare]
    return sorted(found, key=str)


_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def _module(name: str, source: str, nodes: Iterable[ast.AST]) -> Iterator[Finding]:
    lines = source.count("\n")
    if lines > MAX_LINES and name not in TABLES:
        yield Finding(name, 1, f"{lines} lines; {MAX_LINES} are the most")
    yield from _name(name, 1, Path(name).stem)
    for node in nodes:
        if isinstance(node, ast.ClassDef | _FUNCTION):
            yield from _name(name, node.lineno, node.name)
        if variable := _variable_of(node):
            yield from _name(name, variable[0], variable[1], allowed=PLAIN_VALUES)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield from _prose(name, node.lineno, node.value.value)
    for number, line in enumerate(source.splitlines(), 1):
        if found := _COMMENT.search(line):
            yield from _prose(name, number, found[1], kind="comment")


_COMMENT = re.compile(r"(?:^|  )\s*# (.*)")


def _variable_of(node: ast.AST) -> tuple[int, str] | None:
    """Where a variable, an attribute or an argument gets its name, and that name."""
    match node:
        case ast.Name(lineno=line, id=name, ctx=ast.Store()):
            return line, name
        case (
            ast.Attribute(lineno=line, attr=name, ctx=ast.Store()) | ast.arg(lineno=line, arg=name)
        ):
            return line, name
        case _:
            return None


def _name(path: str, line: int, name: str, *, allowed: Collection[str] = ()) -> Iterator[Finding]:
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    for part in parts:
        if part.lower() in NAMES and part.lower() not in allowed:
            yield Finding(path, line, f"the name {name} has the word {part.lower()!r}")


def _prose(path: str, line: int, text: object, *, kind: str = "docstring") -> Iterator[Finding]:
    if not isinstance(text, str):
        return
    prose = re.sub(r"`[^`]*`", "", text)  # names of keys are not prose
    for phrase in PROSE:
        if match := re.search(phrase, prose, re.IGNORECASE):
            yield Finding(path, line, f"the {kind} has {match[0]!r}")


def main() -> int:
    """Print each finding; gives 1 where there is one."""
    found = check()
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
