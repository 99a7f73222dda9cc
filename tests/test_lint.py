from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lint import check, main


def test_names_and_prose_are_plain() -> None:
    assert main() == 0


@pytest.mark.parametrize(
    ("name", "source", "what"),
    [
        ("a.py", "class House:\n    pass\n", "the name House has the word 'house'"),
        ("a.py", "def open_gate() -> None: ...\n", "the name open_gate has the word 'gate'"),
        ("bell.py", "", "the name bell has the word 'bell'"),
        ("a.py", "async def _told() -> None: ...\n", "the name _told has the word 'told'"),
        ("a.py", '"""What is so."""\n', "the docstring has 'is so'"),
        ("a.py", 'def f():\n    """Let go of it."""\n', "the docstring has 'Let go'"),
        ("a.py", "x = 1  # as it was told\n", "the comment has 'told'"),
        ("a.py", "class A: ...\nclass A: ...\n", "class A has the name of another"),
        ("a.py", "x = 1\n" * 501, "501 lines; 500 are the most"),
        ("a.py", "told = 1\n", "the name told has the word 'told'"),
        ("a.py", "self.linger = 1\n", "the name linger has the word 'linger'"),
        ("a.py", "def f(*, gate: int) -> None: ...\n", "the name gate has the word 'gate'"),
        (
            "a.py",
            "def read(): ...\nasync def _take(): ...\n" * 4,
            "a name that does not say what; 8 functions have one, 6 may",
        ),
    ],
)
def test_each_kind_of_fault_is_found(name: str, source: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(source, encoding="utf-8")
    assert what in {finding.what for finding in check(tmp_path)}


@pytest.mark.parametrize(
    "source",
    [
        '"""The list `mend` stays a key."""\n',
        "class Household:\n    pass\n",
        "words, older, peer = told()\n",
        "def read(): ...\n" * 6,
        "class Timeline:\n    pass\n",
    ],
)
def test_what_is_plain_is_no_finding(source: str, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(source, encoding="utf-8")
    assert check(tmp_path) == []


def test_no_test_skips_where_it_is_awaited() -> None:
    """That ends the runner which the fixtures of other tests are kept in."""
    assert list(_skips_in_coroutines(Path(__file__).parent)) == []


def _skips_in_coroutines(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "pytest.skip(" not in source and "pytest.importorskip(" not in source:
            continue
        for function in ast.walk(ast.parse(source)):
            if isinstance(function, ast.AsyncFunctionDef):
                calls = [ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)]
                if {"pytest.skip", "pytest.importorskip"}.intersection(calls):
                    yield f"{path.relative_to(folder)}: {function.name}"
