from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from coverage import CoverageData

from .__main__ import choose, draw, find_outdated, judge, suites
from .bounds import is_chosen_bound, is_digit, is_length_check, is_met_exactly
from .coverage_map import CoverageMap, load, store
from .mutants import mutants
from .runner import CONTEXT, PLUGINS, first_failure

NOTHING = CoverageMap({}, {}, [])

SOURCE = '''\
"""A page."""
import os

LIMIT: int = 3

@dataclass(frozen=True)
class Nothing:
    BIG = 1e18

def check(size: int, *, strict: bool = True) -> bool:
    """Say "ö" and 5."""
    _LOG.info("size %d", size + 1)
    report(size)
    if not strict and size >= LIMIT:
        return False
    return size + 1 > 0

class Asked(Protocol[T]):
    def check(self, size: int = 7) -> bool: ...
'''

TOY_TESTS = """\
import os, pytest, threading
from ih_mcp.wire.toy import ENDS, HANGS, LIMIT

def test_limit():
    assert LIMIT == 3

@pytest.mark.timeout(0.1 if HANGS else 60)
def test_hangs():
    threading.Event().wait(60 if HANGS else 0)

def test_ends():
    if ENDS:
        os._exit(1)  # as `tests/hung.py` does
"""


@pytest.fixture(autouse=True, scope="module")
def _tests_that_import_little() -> None:
    """The process whose forks run tests has imported what these few need, and not all of ours."""
    CONTEXT.set_forkserver_preload(PLUGINS)


def test_each_mutant_changes_one_thing_and_still_parses() -> None:
    found = mutants("a.py", SOURCE)
    assert [(mutant.line, mutant.before, mutant.after) for mutant in found] == [
        (4, "3", "4"),
        (10, "True", "False"),
        (13, "report(size)", "pass"),
        (14, "not strict and size >= LIMIT", "(not strict or size >= LIMIT)"),
        (14, "not strict", "(strict)"),
        (14, "size >= LIMIT", "(size > LIMIT)"),
        (15, "False", "True"),
        (16, "size + 1 > 0", "(size + 1 >= 0)"),
        (16, "size + 1", "(size - 1)"),
        (16, "1", "2"),
        (16, "0", "1"),
    ]
    assert [mutant.line for mutant in found if mutant.is_import] == [4, 10]
    changed = [mutant.apply(SOURCE) for mutant in found]
    assert all(ast.parse(text) for text in changed)
    assert len({SOURCE, *changed}) == len(found) + 1


def test_a_mutant_that_a_test_notices_is_killed_and_the_copy_is_put_back(tmp_path: Path) -> None:
    module, test = tmp_path / "ih_mcp/wire/toy.py", tmp_path / "tests/wire/test_toy.py"
    for path in (module, test):
        path.parent.mkdir(parents=True)
    for package in (module.parent, module.parent.parent):
        (package / "__init__.py").touch()
    source = "LIMIT = 3\nNEVER_READ = 7\nHANGS = False\nENDS = False\n"
    module.write_text(source, encoding="utf-8")
    test.write_text(TOY_TESTS, encoding="utf-8")
    found = mutants("ih_mcp/wire/toy.py", source)
    name = "tests/wire/test_toy.py::test_"
    assert [(each.state, each.told) for each in (judge(m, tmp_path, NOTHING) for m in found)] == [
        ("killed", f"{name}limit"), ("SURVIVED", ""), ("time", f"{name}hangs"),
        ("time", f"{name}ends"),
    ]  # fmt: skip
    digest = hashlib.sha256(source.encode()).hexdigest()
    unread = CoverageMap({found[1].path: digest}, {found[1].path: {}}, [])
    assert judge(found[1], tmp_path, unread).state == "NO TEST"
    assert judge(found[1], tmp_path, unread, reason="harmless").state == "known"
    assert module.read_text(encoding="utf-8") == source


@pytest.mark.timeout(60)
def test_tests_for_which_the_time_is_over_are_said_to_be_late(tmp_path: Path) -> None:
    source = "import threading\ndef test_waits():\n    threading.Event().wait()\n"
    (tmp_path / "test_toy.py").write_text(source, encoding="utf-8")
    failure = first_failure(["test_toy.py"], tmp_path, seconds=0)
    assert failure is not None
    assert failure.is_time


@pytest.mark.timeout(60)
def test_a_test_that_is_not_there_any_more_kills_nothing(tmp_path: Path) -> None:
    source = "def test_runs(): pass\ndef test_fails(): assert False\n"
    (tmp_path / "test_toy.py").write_text(source, encoding="utf-8")
    gone = ["test_toy.py::test_gone", "test_gone.py::test_runs"]
    assert first_failure(gone[1:], tmp_path, seconds=60) is None
    assert first_failure([*gone, "test_toy.py::test_runs"], tmp_path, seconds=60) is None
    failure = first_failure([*gone, "test_toy.py::test_fails"], tmp_path, seconds=60)
    assert failure is not None
    assert failure.test == "test_toy.py::test_fails"


@pytest.mark.timeout(60)
def test_an_example_that_fails_is_not_made_smaller(tmp_path: Path) -> None:
    source = """\
from hypothesis import given, strategies as st
@given(st.lists(st.integers()))
def test_fails(numbers):
    if sum(numbers) > 100:
        open("failed", "a").write("x")
    assert sum(numbers) <= 100
"""
    (tmp_path / "test_toy.py").write_text(source, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("import hypothesis\n", encoding="utf-8")
    failure = first_failure(["test_toy.py"], tmp_path, seconds=60)
    assert failure is not None
    assert not failure.is_time
    assert 1 <= len((tmp_path / "failed").read_text()) <= 3  # made smaller, it fails 50 times


def test_the_map_knows_what_tests_run_in_their_processes(tmp_path: Path) -> None:
    module, noted = tmp_path / "ih_mcp/wire/toy.py", CoverageData(str(tmp_path / "noted"))
    module.parent.mkdir(parents=True)
    module.write_text("a\nb\nc\n", encoding="utf-8")
    for context, line in [("t.py::own[a (b|c)]|run", 1), ("t.py::start[x|y] (setup)", 2), ("", 3)]:
        noted.set_context(context)
        noted.add_lines({str(module): [line]})
    noted.write()
    store(
        tmp_path, tmp_path, [tmp_path / "noted"], {"t.py::own[a (b|c)]": 1, "t.py::start[x|y]": 2}
    )
    known, source = load(tmp_path), module.read_text(encoding="utf-8")
    assert [
        known.tests_of("ih_mcp/wire/toy.py", line, source, most_seconds=9) for line in (1, 2, 3)
    ] == [["t.py::own[a (b|c)]"], ["t.py::start[x|y]"], []]


def test_the_tests_of_a_line_are_quick_ones_its_mirror_then_one_of_each_file_in_turn() -> None:
    every = [("b.py::1", 1.0), ("b.py::2", 2.0), ("c.py::3", 3.0), ("test_toy.py::4", 4.0)]
    every += [("b.py::5", 0.1), ("b.py::6", 0.1), ("test_toy.py::7", 0.1)]
    known = CoverageMap(
        {"toy.py": hashlib.sha256(b"x").hexdigest()}, {"toy.py": {"1": range(7)}}, every
    )
    ordered = ["test_toy.py::7", "b.py::5", "b.py::6"]
    ordered += ["test_toy.py::4", "c.py::3", "b.py::1", "b.py::2"]
    for most_seconds, count in ((10.4, 7), (8.0, 5), (1.0, 3), (0.3, 1), (0.0, 1)):
        assert known.tests_of("toy.py", 1, "x", most_seconds=most_seconds) == ordered[:count]
    assert known.tests_of("toy.py", None, "x", most_seconds=10.4) == ordered
    assert known.tests_of("toy.py", 1, "changed", most_seconds=10.0) == []


def test_the_draw_is_repeated_by_its_seed() -> None:
    assert draw(["capture"], 20, 7) == draw(["capture"], 20, 7) != draw(["capture"], 20, 8)


def test_a_change_of_one_file_redraws_nothing_of_the_others() -> None:
    ours = mutants("ih_mcp/wire/a.py", SOURCE)
    theirs = mutants("ih_mcp/wire/b.py", SOURCE)
    before = choose(ours + theirs, 11, 7)
    after = choose(ours + theirs[:3], 11, 7)
    assert [each for each in before if each in ours] == [each for each in after if each in ours][
        : sum(each in ours for each in before)
    ]


@pytest.mark.parametrize(
    ("line", "before", "is_bound"),
    [
        ("_WAIT_SECONDS = 5.0", "5.0", True),
        ("wait_seconds: float = 5.0", "5.0", True),
        ("MAX_BYTES = 64 * 2**20", "64", True),
        ("MAX_BYTES = 64 * 2**20", "20", True),
        ("MAX_BYTES = 64 * 2**20", "2", False),  # no bound any more
        ("MAX_BYTES = 64 * 2**20", "64 * 2**20", False),
        ("MAX_ITEMS, _MOST_BYTES = 7, 1 << 20", "7", True),
        ("_MOST_SECONDS = 0", "0", False),
        ("_HEADER_BYTES = 8", "8", False),  # of a format
        ("RENEW_SECONDS = 30.0  # sdk 1.3.4: so long before it expires", "30.0", False),
        ("MAX_SECONDS = HOP * 3", "3", False),
        ("_TS_PACKET = 188", "188", False),
    ],
)
def test_a_chosen_bound_is_a_named_number_that_moves_a_little(
    line: str, before: str, is_bound: bool
) -> None:
    (mutant,) = [each for each in mutants("a.py", line) if each.before == before]
    assert is_chosen_bound(mutant, line) is is_bound


@pytest.mark.parametrize(
    ("text", "is_harmless"),
    [
        ("size > _MAX_BYTES", True),
        ("size + 1 >= _MAX_BYTES", True),
        ("sum(size > _MAX_BYTES for size in sizes) > 1", False),
        ("waits < _MOST_WAITS", False),  # one of seven counts
        ("waited < _WAIT_SECONDS", True),
        ("size > MAX_GIVEN_BYTES", False),  # as others publish it
        ("size > MAX_OF_ANOTHER_FILE", False),
        ("size > other", False),
        ("now >= until", True),
        ("found.valid_until > self._now()", True),
        ("anyio.current_time() < self.until", True),
        ("start\n >= end - EPSILON_SECONDS", True),
    ],
)
def test_a_bound_that_is_met_exactly_is_of_no_account(text: str, is_harmless: bool) -> None:
    source = f"""_MAX_BYTES = 1 << 20
_LEAST_WAITS, _MOST_WAITS = 30, 7  # chosen
_WAIT_SECONDS = 0.5
MAX_GIVEN_BYTES = 9_000  # docs: limits
if ({text}):
    pass
"""
    (found,) = [each for each in mutants("a.py", source) if each.before == text]
    assert is_met_exactly(found, source) is is_harmless


def test_a_digit_more_of_what_is_told_is_of_no_account() -> None:
    source = "told = round(max(a, 4), 3), round(5), (6, 7)\n"
    found = [each.before for each in mutants("a.py", source) if is_digit(each, source)]
    assert found == ["3"]


@pytest.mark.parametrize(
    ("source", "is_check"),
    [
        ("zip(a, b, strict=True)", True),
        ("[*map(list, zip(*a, strict=True))]", True),
        ("zip(a, b, strict=False)", False),
        ("zipped(a, strict=True)", False),
        ("zip(a, f(True), strict=c)", False),
        ("try:\n    zip(a, b, strict=True)\nexcept ValueError:\n    pass", False),
    ],
)
def test_that_sequences_are_equally_long_is_asserted_where_no_error_of_it_is_caught(
    source: str, is_check: bool
) -> None:
    found = [each for each in mutants("a.py", source) if each.before in {"True", "False"}]
    assert any(is_length_check(each, source) for each in found) is is_check


def test_the_tests_that_mirror_a_file_come_first() -> None:
    first, *_, last = suites("ih_mcp/wire/codec.py")
    assert first == ["tests/wire/test_codec.py"]
    assert last == ["tests/wire"]


def test_a_reason_for_a_line_that_is_gone_is_outdated(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE, encoding="utf-8")
    known = [
        ("a.py", "LIMIT: int = 3", "3", "4"),
        ("a.py", "LIMIT: int = 5", "5", "6"),
        ("gone.py", "LIMIT: int = 3", "3", "4"),
    ]
    assert find_outdated(known, tmp_path) == [
        ("a.py", "LIMIT: int = 5"),
        ("gone.py", "LIMIT: int = 3"),
    ]
