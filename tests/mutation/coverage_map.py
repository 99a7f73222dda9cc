"""Which tests run which lines of the package, measured once and kept in `.mutation/`.

A file that changed since is looked up by its name alone: the tests that mirror it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path

import pytest
from coverage import CoverageData

MEASURED = (
    "tests/wire", "tests/journal", "tests/streams", "tests/net", "tests/media", "tests/mcp_server",
    "tests/app", "tests/capture", "tests/timeline", "tests/reliability", "tests/road",
    "tests/http_server", "tests/test_cli.py", "tests/test_files.py", "tests/test_errors.py",
    "tests/test_settings.py", "tests/test_progress.py",
)  # fmt: skip
"""What runs the package, in the process of the tests or in those they start."""
_LEFT_OUT = ("tests/reliability/test_load.py", "tests/media/test_field.py")  # minutes of processes
_QUICK_SECONDS = 0.1
_SETTINGS = """\
[run]
source = ih_mcp
data_file = {}
parallel = true
context = ${{PYTEST_CURRENT_TEST-}}
patch = _exit
"""
"""A process of a test reads them when it starts, and is then measured as a part of that test."""


@dataclass(frozen=True)
class CoverageMap:
    """Tests by the lines they run, and their seconds."""

    hashes: Mapping[str, str]
    """Of each file as it was measured."""
    lines: Mapping[str, Mapping[str, Sequence[int]]]
    """By file and line, the places of its tests in `seconds`."""
    seconds: Sequence[tuple[str, float]]
    """Each test and how long it took."""

    def knows(self, path: str, source: str) -> bool:
        """Whether a file is as it was measured."""
        return self.hashes.get(path) == _hash(source)

    def tests_of(
        self, path: str, line: int | None, source: str, *, most_seconds: float
    ) -> list[str]:
        """The tests that run a line, up to so many seconds of them.

        First quick ones, for half of that time, then the others. Of both, first those that mirror
        the file, then one of each other file in turn, since the tests of a file are alike; the
        quickest first. Without a line, those that run any of the file.
        """
        if not self.knows(path, source):
            return []
        found, total = list[str](), 0.0
        name = f"test_{Path(path).stem}.py"
        by_line = self.lines[path]
        places = chain(*by_line.values()) if line is None else by_line.get(str(line), ())
        tests = [self.seconds[place] for place in set(places)]
        turns = Counter[str]()
        ranked = []
        for test, seconds in sorted(tests, key=itemgetter(1)):
            file = test.partition("::")[0]
            is_slow = seconds > _QUICK_SECONDS
            ranked.append((is_slow, name not in file, turns[file], seconds, test))
            turns[file] += 1
        for is_slow, *_, seconds, test in sorted(ranked):
            if not found or total + seconds <= (most_seconds if is_slow else most_seconds / 2):
                found.append(test)
                total += seconds
        return found


class _Seconds:
    """A plugin of pytest that notes how long each test takes; those that failed are left out."""

    def __init__(self) -> None:
        self.passed: dict[str, float] = {}
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed[report.nodeid] = self.passed.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        for test in self._failed:
            del self.passed[test]


def measure(root: Path, folder: Path) -> CoverageMap:
    """Run the tests once with coverage, and keep what they run."""
    folder.mkdir(exist_ok=True)
    seconds, data = _Seconds(), folder / "coverage"
    options = ["-q", "-n", "2", "--dist", "worksteal", "--timeout", "120", "--cov=ih_mcp"]
    options += ["--cov-context=test", "--cov-report=", f"--cov-config={folder / 'coveragerc'}"]
    options += [f"--ignore={path}" for path in _LEFT_OUT]
    options += ["-p", "tests.mutation.process_contexts"]
    (folder / "coveragerc").write_text(_SETTINGS.format(data), encoding="utf-8")
    pytest.main([*options, *MEASURED], plugins=[seconds])
    return store(root, folder, [data], seconds.passed)


def store(
    root: Path, folder: Path, data: Sequence[Path], seconds: Mapping[str, float]
) -> CoverageMap:
    """Keep what coverage found in its files, for `load`."""
    lines: dict[str, dict[str, list[int]]] = {}
    places = {test: place for place, test in enumerate(seconds)}
    for file in data:
        found = CoverageData(str(file))
        found.read()
        for measured in found.measured_files():
            path = str(Path(measured).relative_to(root))
            by_line = lines.setdefault(path, {})
            for line, contexts in found.contexts_by_lineno(measured).items():
                tests = {_test(context) for context in contexts}
                found_places = sorted(places[test] for test in tests if test in places)
                by_line.setdefault(str(line), []).extend(found_places)
    hashes = {path: _hash((root / path).read_text(encoding="utf-8")) for path in lines}
    known = CoverageMap(hashes, lines, list(seconds.items()))
    (folder / "map.json").write_text(json.dumps(asdict(known)), encoding="utf-8")
    return known


def _test(context: str) -> str:
    """The name of a test in what coverage noted: `NAME|run`, or of its processes `NAME (call)`."""
    is_process = context.endswith(("(setup)", "(call)", "(teardown)"))
    return context.rpartition(" " if is_process else "|")[0]


def load(folder: Path) -> CoverageMap:
    """What `measure` kept; empty where it never ran."""
    file = folder / "map.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return CoverageMap(**known) if known else CoverageMap({}, {}, [])


def _hash(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
