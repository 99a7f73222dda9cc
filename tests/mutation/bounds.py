"""Which mutants only move a bound that somebody chose: any other near it would do as well."""

from __future__ import annotations

import ast
import re

from .mutants import Mutant

REASON = "harmless: a chosen bound, by less than a factor of two"
_NAME = r"\w*(?:max|min|most|least|longest|seconds|bytes|chars|segments|lines|share|wait)\w*"
_BOUND = re.compile(rf"^{_NAME}(?:, {_NAME})*(?:: \w+)? = ", re.IGNORECASE)
_GIVEN = re.compile(r"#.*\b(?:docs|sdk|skill|RFC|API)\b")
"""A bound that others publish is no choice."""
_LEAST_BYTES = 1_000
"""A smaller number of bytes is the size of something in a format."""
_FACTOR = 2


def is_chosen_bound(mutant: Mutant, source: str) -> bool:
    """Whether a mutant changes a named number of a module or class, and by little.

    One whose line names a source, which begins or ends at 0, or which is not written in numbers
    alone, does not count.
    """
    if (
        not mutant.is_import
        or _GIVEN.search(mutant.statement)
        or not _BOUND.match(mutant.statement)
    ):
        return False
    before, after = (_numbers(text, mutant.line) for text in (source, mutant.apply(source)))
    name = mutant.statement.partition("=")[0].lower()
    if "bytes" in name and max(before, default=0) < _LEAST_BYTES:
        return False
    return 0 < len(before) == len(after) and all(
        old == new or 0 < max(old, new) <= _FACTOR * min(old, new)
        for old, new in zip(before, after, strict=True)
    )


def _numbers(source: str, line: int) -> list[float]:
    """The numbers that are assigned in a line; none where they are not written as such."""
    try:
        (statement,) = ast.parse(source.splitlines()[line - 1].strip()).body
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        value = statement.value
        found = value.elts if isinstance(value, ast.Tuple) else [value]
        return [_value(node) for node in found]
    except (ValueError, SyntaxError):
        return []


def _value(node: ast.expr | None) -> float:
    match node:
        case ast.Constant(bool()):
            raise ValueError
        case ast.Constant(int() | float() as value):
            return value
        case ast.BinOp(left, ast.Mult(), right):
            return _value(left) * _value(right)
        case ast.BinOp(left, ast.Pow(), right):
            return float(_value(left) ** _value(right))
        case ast.BinOp(left, ast.LShift(), right):
            return _value(left) * 2 ** _value(right)
        case _:
            raise ValueError
