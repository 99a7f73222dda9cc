"""Which mutants only move a bound that somebody chose: any other near it would do as well."""

from __future__ import annotations

import ast
import re

from .mutants import Mutant

REASON = "harmless: a chosen bound, by less than a factor of two"
DIGIT = "harmless: one digit more of a number that is told"
MET = "harmless: a chosen bound, a clock or a rounding, met exactly"
EQUALLY_LONG = "equivalent: an assertion, that two sequences are equally long"
_NAME = r"\w*(?:max|min|most|least|longest|seconds|bytes|chars|segments|lines|share|wait)\w*"
_BOUND = re.compile(rf"^{_NAME}(?:, {_NAME})*(?:: \w+)? = ", re.IGNORECASE)
_GIVEN = re.compile(r"#.*\b(?:docs|sdk|skill|RFC|API)\b")
"""A bound that others publish is no choice."""
_LEAST_BYTES = 1_000
"""A smaller number of bytes is the size of something in a format."""
_FACTOR = 2
_LEAST_COUNT = 10
"""One more or less of fewer matters."""
_TOUCHED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_ROUNDED = re.compile(r"\bround\((?:[^()]|\([^()]*\))*, $")
_CLOCK = re.compile(r"\b_?now\b|\b(?:current_time|monotonic)\(\)|\bEPSILON_SECONDS\b")
_CONSTANT = re.compile(r"\b_?[A-Z][A-Z0-9_]+\b")


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


def is_digit(mutant: Mutant, source: str) -> bool:
    """Whether a mutant only rounds a number to one digit more."""
    if not mutant.before.isdigit():
        return False
    before = source.encode()[: mutant.start].decode()
    return bool(_ROUNDED.search(before))


def is_length_check(mutant: Mutant, source: str) -> bool:
    """Whether a mutant only takes `strict` from a `zip` outside of any `try`.

    Like an `assert` it states what cannot be otherwise; what checks input is caught somewhere.
    """
    if mutant.before != "True":
        return False
    tree = ast.parse(source)
    caught = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.Try)
        for node in ast.walk(block)
    }
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "zip"
        and id(node) not in caught
        and any(_place(word.value, source) == mutant.start for word in node.keywords)
        for node in ast.walk(tree)
    )


def _place(node: ast.expr, source: str) -> int:
    """Where a node begins in the file's UTF-8 bytes."""
    lines = source.splitlines(keepends=True)[: node.lineno - 1]
    return sum(len(line.encode()) for line in lines) + node.col_offset


def is_met_exactly(mutant: Mutant, source: str) -> bool:
    """Whether a comparison only changes where both sides are equal, and that is of no account.

    So it is for a bound that this file chose, see `is_chosen_bound`, for the readings of a clock,
    which are never equal, and where a rounding is spared.
    """
    try:
        before, after = (
            ast.parse(f"({text})", mode="eval").body for text in (mutant.before, mutant.after)
        )
    except SyntaxError:
        return False
    match before, after:
        case ast.Compare(left, [was], [right]), ast.Compare(_, [now], _):
            if _TOUCHED.get(type(was)) is not type(now):
                return False
            return any(_is_touched(side, source) for side in (left, right))
        case _:
            return False


def _is_touched(side: ast.expr, source: str) -> bool:
    text = ast.unparse(side)
    if any(isinstance(node, ast.Compare | ast.comprehension) for node in ast.walk(side)):
        return False
    return bool(_CLOCK.search(text)) or any(
        _is_chosen(name, source) for name in _CONSTANT.findall(text)
    )


def _is_chosen(name: str, source: str) -> bool:
    """Whether a bound is defined in the source, by no other, and large beside 1 where it counts."""
    defined = re.search(rf"^(?:.*, )?{name}\b.* = .*", source, re.MULTILINE)
    if not defined or not _BOUND.match(defined[0]) or _GIVEN.search(defined[0]):
        return False
    numbers = _numbers(source, source.count("\n", 0, defined.start()) + 1)
    return bool(numbers) and all(
        "SECONDS" in name or number % 1 or number >= _LEAST_COUNT for number in numbers
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
