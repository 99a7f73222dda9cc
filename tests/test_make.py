"""The commands for those who work on the project."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bench import SKIPPED
from bench.nightly import PARTS, Outcome, Part, run, table

from .road.host import REPOSITORY

MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def test_help_lists_every_command() -> None:
    if not (make := shutil.which("make")):
        pytest.skip("no make here")
    done = subprocess.run(
        [make, "--no-print-directory", "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert [line.split()[1] for line in done.stdout.splitlines()] == sorted(targets)


@pytest.mark.skipif(os.name != "posix", reason="a script as the Python of a folder")
@pytest.mark.parametrize("command", ["demo", "team"])
def test_what_is_shown_to_people_says_nothing_of_the_recipe(command: str, tmp_path: Path) -> None:
    if not (make := shutil.which("make")):
        pytest.skip("no make here")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\ncase "$1" in *.py) echo "ran $1" ;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(
        [make, "--no-print-directory", command, f"VENV={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    script = {"demo": "examples/demo.py", "team": "examples/team_demo.py"}[command]
    assert (done.stdout, done.stderr, done.returncode) == (f"ran {script}\n", "", 0)


def test_a_commit_runs_what_lint_runs() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    recipe = MAKEFILE.partition("\nlint:")[2].split("\n\n")[0].splitlines()[1:]
    assert entries == [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe]


def test_a_failing_part_of_the_night_is_in_the_table_and_stops_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    parts = (Part("breaks", ("-c", "raise SystemExit(3)")), Part("works", ("-c", "print('hi')")))
    outcomes = [run(part, is_quick=True) for part in parts]
    assert [outcome.code for outcome in outcomes] == [3, 0]
    assert "hi" in capfd.readouterr().out
    shown = (*parts, Part("cannot run here", ()))
    codes = (3, 0, SKIPPED)
    drawn = table([Outcome(part, code, 90.0) for part, code in zip(shown, codes, strict=True)])
    assert drawn.splitlines()[1:] == [
        "breaks                     1.5  FAILED (exit code 3)",
        "works                      1.5  ok",
        "cannot run here            1.5  skipped, as said above",
    ]


def test_the_names_of_parts_fit_into_the_table_of_the_night() -> None:
    lines = table([Outcome(part, 0, 0.0) for part in PARTS]).splitlines()
    assert len({len(line) - len("ok") for line in lines[1:]}) == 1


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_part_of_the_night_can_start(part: Part) -> None:
    words = part.arguments
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1])
    else:
        assert (REPOSITORY / words[0]).is_file()
    for word in words:
        if word.startswith("tests/"):
            assert (REPOSITORY / word).exists()
