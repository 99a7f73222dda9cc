"""Change the package by chance and see which tests fail: `python -m tests.mutation`.

COUNT mutants are drawn with SEED over all files of the packages named. Which tests run which line
is measured with `--map`, and kept; a mutant runs those of its line, the quickest first, and more of
them where those let it pass without a reason. Where none is known, the tests that mirror the file
run; with `--wide` also those that start processes. What survives is printed, with the reason in
`known.json`; the exit code is 1 where more than `--may-survive` (by default 0) have none, or a
reason is for a line that is gone. "NO TEST" is what survives and is run by no test. "time" is what
neither survived nor was killed: the time was over first, in the test that is named.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from .bounds import (
    DIGIT,
    EQUALLY_LONG,
    MET,
    REASON,
    is_chosen_bound,
    is_digit,
    is_length_check,
    is_met_exactly,
)
from .coverage_map import CoverageMap, load, measure
from .mutants import Mutant, mutants
from .runner import first_failure

ROOT = Path(__file__).parents[2]
PACKAGES = ("wire", "journal", "streams", "net", "media", "mcp_server", "app")
WIDE = ("tests/road", "tests/reliability", "tests/capture", "tests/test_cli.py")
_SECONDS = 240
_MOST_SECONDS = 25.0  # of the tests of a line, as they were measured
_MORE_SECONDS = 100.0  # where those let it pass, and nothing says why it may
FOLDER = ROOT / ".mutation"
KNOWN = Path(__file__).with_name("known.json")
STATES = ("killed", "time", "known", "SURVIVED", "NO TEST")
_UNEXPLAINED = ("SURVIVED", "NO TEST")

_TIMES = itertools.count(2**30 * 10**9, 2 * 10**9)
"""Times of change in nanoseconds, each once."""


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    state: str
    """One of `STATES`."""
    told: str = ""
    """The test that killed it, or ran when the time was over; the reason why it may survive."""


def find_outdated(known: Iterable[tuple[str, str, str, str]], root: Path) -> list[tuple[str, str]]:
    """The file and statement of each reason whose line is not there any more."""
    return [
        (path, statement)
        for path, statement, *_ in known
        if not (root / path).exists()
        or statement not in map(str.strip, (root / path).read_text("utf-8").splitlines())
    ]


def draw(packages: list[str], count: int, seed: int) -> list[Mutant]:
    """Mutants by chance, as many of each file as it has places."""
    return choose(
        [
            mutant
            for package in packages
            for path in sorted((ROOT / "ih_mcp" / package).rglob("*.py"))
            for mutant in mutants(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        ],
        count,
        seed,
    )


def choose(every: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of them by chance; a change of one file redraws little of the others."""

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256("\0".join((str(seed), *mutant.key)).encode()).digest()

    return sorted(every, key=place)[:count]


def suites(path: str, root: Path = ROOT) -> list[list[str]]:
    """The tests that mirror a file, then those of its package, where there are any."""
    package, name = Path(path).parts[1], Path(path).stem
    found = [[f"tests/{package}/test_{name}.py"], [f"tests/{package}"]]
    return [suite for suite in found if all((root / test).exists() for test in suite)]


def copy_of_the_tree(folder: Path) -> Path:
    """The tracked files, beside what the tests may use beside the repository."""
    tree = folder / "tree"
    listed = subprocess.run(
        ["/usr/bin/env", "git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    if (beside := ROOT.parent / "shared").is_dir():
        (folder / "shared").symlink_to(beside)
    return tree


def judge(
    mutant: Mutant, tree: Path, known: CoverageMap, *, reason: str = "", wide: bool = False
) -> Outcome:
    """Change the copy, run the tests, and change it back.

    Args:
        reason: Why it may survive; without any, more tests are run before it has.
    """
    file = tree / mutant.path
    source, found = file.read_text(encoding="utf-8"), file.stat()
    line = None if mutant.is_import else mutant.line  # else the first test that imports it
    find = partial(known.tests_of, mutant.path, line, source)
    of_line, mirrors = find(most_seconds=_MOST_SECONDS), suites(mutant.path, tree)
    chosen = [of_line, *mirrors[:1]] if of_line else mirrors  # what came after the map, too
    if more := [test for test in find(most_seconds=_MORE_SECONDS) if test not in of_line]:
        chosen += [] if reason else [more]
    file.write_text(mutant.apply(source), encoding="utf-8")
    os.utime(file, ns=(0, next(_TIMES)))  # a time of its own: compiled files are kept by it
    try:
        for suite in [*chosen, *([list(WIDE)] if wide else [])]:
            if failure := first_failure(suite, tree, _SECONDS):
                return Outcome(mutant, "time" if failure.is_time else "killed", failure.test)
        if reason:
            return Outcome(mutant, "known", reason)
        runs = bool(of_line) or not known.knows(mutant.path, source)
        return Outcome(mutant, "SURVIVED" if runs else "NO TEST")
    finally:
        file.write_text(source, encoding="utf-8")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def reason_by_kind(mutant: Mutant) -> str:
    """Why a kind of mutants may survive; empty where this one is of no such kind."""
    source = (ROOT / mutant.path).read_text(encoding="utf-8")
    if is_chosen_bound(mutant, source):
        return REASON
    if is_digit(mutant, source):
        return DIGIT
    if is_length_check(mutant, source):
        return EQUALLY_LONG
    return MET if is_met_exactly(mutant, source) else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="mutants side by side")
    parser.add_argument("--map", action="store_true", help="measure which tests run which line")
    parser.add_argument("--wide", action="store_true", help="also tests that start processes")
    parser.add_argument("--may-survive", type=int, default=0, help="so many fail nothing")
    parser.add_argument("packages", nargs="*", default=[])
    options = parser.parse_args()
    coverage = measure(ROOT, FOLDER) if options.map else load(FOLDER)
    packages = options.packages or [p for p in PACKAGES if (ROOT / "ih_mcp" / p).is_dir()]
    print(f"seed {options.seed}, {options.count} mutants of {', '.join(packages)}", flush=True)
    chosen = draw(packages, options.count, options.seed)
    known = {tuple(row["mutant"]): row["reason"] for row in json.loads(KNOWN.read_text("utf-8"))}
    outdated = find_outdated(known, ROOT)
    trees: SimpleQueue[Path] = SimpleQueue()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for number in range(options.jobs):
            (Path(folder) / str(number)).mkdir()
            trees.put(copy_of_the_tree(Path(folder) / str(number)))

        def work(mutant: Mutant) -> Outcome:
            tree, reason = trees.get(), known.get(mutant.key) or reason_by_kind(mutant)
            try:
                return judge(mutant, tree, coverage, reason=reason, wide=options.wide)
            finally:
                trees.put(tree)

        for outcome in pool.map(work, chosen):
            counts[Path(outcome.mutant.path).parts[1], outcome.state] += 1
            print(f"{outcome.state:<9} {outcome.mutant}  {outcome.told}", flush=True)
    print(f"\n{'package':<12}" + "".join(f"{state.lower():>10}" for state in STATES))
    for package in packages:
        print(f"{package:<12}" + "".join(f"{counts[package, state]:>10}" for state in STATES))
    unexplained = sum(counts[package, state] for package in packages for state in _UNEXPLAINED)
    for path, statement in outdated:
        print(f"OUTDATED  a reason for a line that {path} no longer has: {statement}")
    return int(unexplained > options.may_survive or bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
