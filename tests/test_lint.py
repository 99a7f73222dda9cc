from __future__ import annotations

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
        ("a.py", "class A: ...\nclass A: ...\n", "class A has the name of another"),
        ("a.py", "x = 1\n" * 501, "501 lines; 500 are the most"),
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
        "told = 1\n",
        "class Timeline:\n    pass\n",
    ],
)
def test_what_is_plain_is_no_finding(source: str, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(source, encoding="utf-8")
    assert check(tmp_path) == []
