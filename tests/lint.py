"""What the plain-words rule asks of names and docstrings, checked: `python -m tests.lint`.

Names are the field's words, one class has one name, and prose is plain English. Each finding is
one line with its place; `make lint` fails where there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
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
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        source = path.read_text(encoding="utf-8")
        found += _module(name, source)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")].append((name, node.lineno))
    for name, places in classes.items():
        if len(places) > 1 and name not in SHARED_NAMES:
            found += [Finding(*place, f"class {name} has the name of another") for place in places]
    return sorted(found, key=str)


def _module(name: str, source: str) -> Iterator[Finding]:
    lines = source.count("\n")
    if lines > MAX_LINES and name not in TABLES:
        yield Finding(name, 1, f"{lines} lines; {MAX_LINES} are the most")
    yield from _name(name, 1, Path(name).stem)
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _name(name, node.lineno, node.name)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield from _prose(name, node.lineno, node.value.value)


def _name(path: str, line: int, name: str) -> Iterator[Finding]:
    parts = re.findall(r"[A-Z]?[a-z]+", name)
    for part in parts:
        if part.lower() in NAMES:
            yield Finding(path, line, f"the name {name} has the word {part.lower()!r}")


def _prose(path: str, line: int, text: object) -> Iterator[Finding]:
    if not isinstance(text, str):
        return
    prose = re.sub(r"`[^`]*`", "", text)  # names of keys are not prose
    for phrase in PROSE:
        if match := re.search(phrase, prose, re.IGNORECASE):
            yield Finding(path, line, f"the docstring has {match[0]!r}")


def main() -> int:
    """Print each finding; gives 1 where there is one."""
    found = check()
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
