"""The exports of an installed wheel, read back by the programs they are for, each really installed.

ELAN itself is no package of any index, so an EAF is read by two other readers of it here, and
`tests/timeline/test_exports.py` checks it by ELAN's published schema.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ih_mcp.timeline.exports import EXPORT_KINDS
from tests.road.host import REPOSITORY, environment
from tests.timeline.test_exports import odd_readings, readings, written

from . import needs_packages, uv

pytestmark = [pytest.mark.timeout(900), needs_packages]
HERE = Path(__file__).parent
READERS = ["pandas", "pyarrow", "duckdb", "pytz", "pympi-ling", "speach", "praatio", "pysubs2"]


def make_environment(folder: Path, *packages: object) -> Path:
    """A clean environment with these packages; gives its folder of scripts."""
    uv("venv", "--python", sys.executable, folder)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    uv("pip", "install", "--python", scripts / "python", *packages)
    return scripts


def ask(python: Path, *words: object, **variables: str) -> str:
    """What a reader prints, without any module of ours in reach."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "-P", *map(str, words)]
    done = subprocess.run(command, env=env | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return str(done.stdout)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, dialogue: Path) -> Path:
    """A folder with the exports of one stream, `x.csv` to `x.boris`, by an installed ih-mcp."""
    folder = tmp_path_factory.mktemp("exported")
    uv("build", "--wheel", "--out-dir", folder, REPOSITORY)
    (wheel,) = folder.glob("*.whl")
    command = make_environment(folder / "v", f"ih-mcp[local,export] @ {wheel.as_uri()}") / "ih-mcp"
    env = environment(folder / "data")
    words = ["stream", str(dialogue), "--local", "--analyst", "placeholder", "--pace", "fast"]
    subprocess.run([command, *words], env=env, check=True, stdout=subprocess.DEVNULL)
    for kind in EXPORT_KINDS:
        name = folder / ("x.TextGrid" if kind == "textgrid" else f"x.{kind}")
        subprocess.run([command, "export", "--as", kind, "-o", name], env=env, check=True)
    return folder


@pytest.fixture(scope="module")
def found(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each reader finds in them."""
    scripts = make_environment(tmp_path_factory.mktemp("readers") / "v", *READERS)
    return json.loads(ask(scripts / "python", HERE / "exports_reads.py", exported))


@pytest.fixture(scope="module")
def phases(exported: Path) -> list[list[object]]:
    """The signals' phases as they stand in the CSV."""
    with (exported / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "signal"]
    assert len(rows) >= 3
    return sorted(
        [row["name"], float(row["start_seconds"]), float(row["end_seconds"]), row["probability"]]
        for row in rows
    )


@pytest.mark.parametrize("reader", ["duckdb csv", "duckdb parquet", "pandas csv", "pandas parquet"])
def test_a_table_has_the_same_phases_in_every_reader(
    reader: str, found: Any, phases: list[list[object]]
) -> None:
    assert found[reader] == phases


def test_every_message_is_a_line_that_duckdb_reads(exported: Path, found: Any) -> None:
    lines = (exported / "x.jsonl").read_text(encoding="utf-8").splitlines()
    assert found["duckdb jsonl"] == [[len(lines) - 1]]  # the first one is the status


@pytest.mark.parametrize(("reader", "unit"), [("pympi", 1000), ("speach", 1000), ("praatio", 1)])
def test_tiers_have_the_same_phases_in_every_reader(
    reader: str, unit: int, found: Any, phases: list[list[object]]
) -> None:
    signals = {str(name) for name, *_ in phases}
    read = sorted(
        [name.partition(" (")[0], start / unit, end / unit, text]
        for name, annotations in found[reader].items()
        if name.partition(" (")[0] in signals
        for start, end, text in annotations
        if not name.endswith(": rationale")
    )
    assert read == phases


def test_every_row_is_a_cue(exported: Path, found: Any) -> None:
    with (exported / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = sum(1 for _ in csv.DictReader(file))
    assert found["pysubs2"] == {"vtt": rows, "srt": rows + 1}  # that has one to say whose they are


@pytest.fixture(scope="module")
def boris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scripts = make_environment(tmp_path_factory.mktemp("boris") / "v", "boris-behav-obs")
    return scripts / "python"


def opened_by_boris(boris: Path, project: Path, tmp_path: Path) -> Any:
    out = tmp_path / "found.json"
    folders = {name: str(tmp_path) for name in ("HOME", "XDG_RUNTIME_DIR")}
    ask(boris, HERE / "boris_reads.py", project, out, QT_QPA_PLATFORM="offscreen", **folders)
    told = json.loads(out.read_text(encoding="utf-8"))
    assert {told[name] for name in ("error", "message", "integrity", "why")} == {""}
    assert told["shown"] in (None, told["codes"])  # its window, where libmpv lets it open
    return told


def test_boris_opens_the_project_and_finds_each_phase(
    boris: Path, exported: Path, phases: list[list[object]], tmp_path: Path
) -> None:
    told = opened_by_boris(boris, exported / "x.boris", tmp_path)
    read = sorted(
        [behaviour.partition(" (")[0], float(start), float(stop), word]
        for _, behaviour, word, start, stop, _ in told["rows"]
        if behaviour.partition(" (")[0] in {name for name, *_ in phases}
    )
    assert read == phases


def test_boris_opens_a_project_with_odd_texts(boris: Path, tmp_path: Path) -> None:
    project = tmp_path / "x.boris"
    project.write_bytes(written("boris", readings(), odd_readings()))
    told = opened_by_boris(boris, project, tmp_path)
    assert len({observation for observation, *_ in told["rows"]}) == 2
    assert len(told["rows"]) == len(readings().rows) + len(odd_readings().rows)
