"""The page of error codes, drawn from every place in the code that makes an error."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ih_mcp import errors
from ih_mcp.wire import endings
from ih_mcp.wire.error_catalog import ROWS

_PACKAGE = Path(errors.__file__).parent
_OTHER_END = _PACKAGE / "standin"  # what it refuses is said with the service's ids
_CLASSES = {
    name: found.default_code
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, errors.IhMcpError)
}
_PLACEHOLDER = re.compile(r"\{[^}]*\}|…{2,}")
_SERVICE_ID = re.compile(r"ih\d{4}$")
_INTRO = """# Error codes

Every failure says what happened and what helps, and carries a `code` that programs can rely on. **retry** says whether the same call may
succeed later without a change. `…` stands for a name, a number or what another program said.

"""


@dataclass(frozen=True, slots=True)
class _Case:
    """One place in the code that makes an error."""

    code: str
    text: str
    help: str
    retry: str


def errors_page() -> str:
    """Our own codes, the ends of a session, then the ids of the service."""
    cases: defaultdict[str, list[_Case]] = defaultdict(list)
    for path in sorted(_PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if _OTHER_END not in path.parents and any(f"{name}(" in source for name in _CLASSES):
            for case in _cases(ast.parse(source)):
                if case not in cases[case.code] and not _SERVICE_ID.match(case.code):
                    cases[case.code].append(case)
    head = "| code | what happened | what helps | retry |\n|---|---|---|---|\n"
    lines = [_line(case) for code in sorted(cases) for case in cases[code]]
    return f"{_INTRO}## Of ih-mcp\n\n{head}{''.join(lines)}\n{_endings()}\n{_service()}"


def _line(case: _Case) -> str:
    return f"| `{case.code}` | {_cell(case.text)} | {_cell(case.help)} | {case.retry} |\n"


def _cell(text: str) -> str:
    text = _PLACEHOLDER.sub("…", text)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").strip()


def _cases(tree: ast.Module) -> Iterator[_Case]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _name(node.func)) in _CLASSES and node.args:
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            given = named.get("code")
            for code in _codes(given, constants) if given else [_CLASSES[name]]:
                text, helps = (
                    _text(found, constants) for found in (node.args[0], named.get("help"))
                )
                yield _Case(code, text, helps, _retry(named.get("retry")))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _codes(node: ast.expr, constants: dict[str, ast.expr]) -> list[str]:
    """The codes an expression may give; none where it hands on what another place made."""
    match node:
        case ast.Constant(value=str(code)):
            return [code] if code else []
        case ast.IfExp(body=first, orelse=second):
            return _codes(first, constants) + _codes(second, constants)
        case ast.Name(id=name) if name in constants:
            return _codes(constants[name], constants)
    return []


def _text(node: ast.expr | None, constants: dict[str, ast.expr]) -> str:
    """What an expression gives, with a sign where that is known at run time only."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            pass
        case ast.BinOp(left=left, right=right, op=ast.Add()):
            parts = [left, right]
        case ast.Name(id=name) if name in constants:
            parts = [constants[name]]
        case ast.Call(func=ast.Attribute(value=inner, attr="format")):
            parts = [inner]
        case None:
            parts = []
        case _:
            return "…"
    return "".join(_text(part, constants) for part in parts)


def _retry(node: ast.expr | None) -> str:
    match node:
        case None:
            return "no"
        case ast.Constant(value=bool(value)):
            return "yes" if value else "no"
    return "it depends"


def _endings() -> str:
    head = """## How an API session ends

The `reason` in a stream's status; where the stream fails with it, also its `code`. **goes on** says whether ih-mcp tries to continue in
another session before the stream fails.

| reason | in order | what happened | what helps | goes on |
|---|---|---|---|---|
"""
    meanings = _meanings(ast.parse(Path(endings.__file__).read_text(encoding="utf-8")))
    rows = [
        f"| `{reason.value}` | {_yes(row.in_order)} | {_cell(row.what or meanings[reason.value])} "
        f"| {_cell(row.help)} | {_yes(row.retry is not None)} |\n"
        for reason, row in endings.ENDINGS.items()
    ]
    return head + "".join(rows)


def _meanings(tree: ast.Module) -> dict[str, str]:
    """The docstring below each constant of a class, by the constant's value."""
    return {
        ast.literal_eval(constant.value): ast.literal_eval(text.value)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for constant, text in pairwise(node.body)
        if isinstance(constant, ast.Assign) and isinstance(text, ast.Expr)
    }


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _service() -> str:
    head = """## Of the service

The service's own ids, as `code` or in the facts of `service_refused`. An id that is not here is read by its first digit.

| id | meaning | what helps | retry |
|---|---|---|---|
"""
    rows = [
        f"| [`{row.code}`]({row.link}) | {_cell(row.meaning)} | {_cell(row.advice)} "
        f"| {row.retry.value.replace('_', ' ')} |\n"
        for row in ROWS
    ]
    return head + "".join(rows)
