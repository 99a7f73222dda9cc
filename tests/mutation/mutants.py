"""Small mistakes that could be made in a source file. Pure: text in, changed text out.

A mutant changes one expression or leaves out one call. Left alone is what no test should notice:
docstrings, annotations, imports, log lines, and protocols, which are never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_LOGGERS = {"log", "logger", "logging"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    path: str
    line: int
    """Counts from 1."""
    before: str
    after: str
    start: int
    """Where `before` begins in the file's UTF-8 bytes."""
    statement: str
    """The first line of the source that holds it."""
    is_import: bool = False
    """Whether it runs when the module is imported, and not when a function is called."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it although lines drift."""
        return self.path, self.statement, self.before, self.after

    def apply(self, source: str) -> str:
        raw = source.encode()
        end = self.start + len(self.before.encode())
        return (raw[: self.start] + self.after.encode() + raw[end:]).decode()

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.path}:{self.line}: {before} -> {after}"


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a file, in its order."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    called = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for line in _lines_of_body(node)
    }
    found = []
    for node, after in _changes(tree):
        start = starts[node.lineno - 1] + node.col_offset
        before = ast.get_source_segment(source, node) or ""
        first = lines[node.lineno - 1].strip()
        is_import = node.lineno not in called
        found.append(Mutant(path, node.lineno, before, after, start, first, is_import))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.after))


def _lines_of_body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> range:
    first = node.body if isinstance(node, ast.Lambda) else node.body[0]
    return range(first.lineno, (node.end_lineno or node.lineno) + 1)


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
            continue
        if _is_logging(node) or _is_protocol(node):
            continue
        if isinstance(node, ast.expr | ast.stmt):
            yield from ((node, after) for after in _of(node))
        for child in _walked(node):
            yield from _changes(child)


def _walked(node: ast.AST) -> list[ast.AST]:
    """What of a node may change: not its annotations, nor the flags of a dataclass."""
    if isinstance(node, ast.AnnAssign):
        return [ast.Tuple([node.value], ast.Load())] if node.value else []
    if isinstance(node, ast.ClassDef):
        return [ast.Module([*node.body], [])]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return [ast.Tuple(defaults, ast.Load()), ast.Module([*node.body], [])]
    return [node]


def _of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in _COMPARISONS:
            changed: ast.expr = ast.Compare(left, [_COMPARISONS[type(operator)]()], [right])
            yield f"({ast.unparse(changed)})"
        case ast.BoolOp(ast.And() | ast.Or() as operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATIONS:
            yield f"({ast.unparse(ast.BinOp(left, _OPERATIONS[type(operator)](), right))})"
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() | float() as value) if value + 1 != value:
            yield str(value + 1)
        case ast.Expr(ast.Call() | ast.Await()):
            yield "pass"
        case _:
            pass


def _is_protocol(node: ast.AST) -> bool:
    match node:
        case ast.ClassDef(bases=[*_, ast.Name("Protocol") | ast.Subscript(ast.Name("Protocol"))]):
            return True
        case _:
            return False


def _is_logging(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name(name)))):
            return name.strip("_").lower() in _LOGGERS
        case _:
            return False
