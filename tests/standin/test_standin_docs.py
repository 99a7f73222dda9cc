"""What `docs/standin.md` tells is what the code has."""

from __future__ import annotations

import json
import re

from ih_mcp.standin.credential_store import TEST_KEYS
from ih_mcp.standin.faults import script
from ih_mcp.standin.faults.script import Script
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "standin.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]


def test_the_points_of_a_script_and_what_acts_there_are_those_of_the_code() -> None:
    told = {row[0].strip("`"): row[2:] for row in ROWS if len(row) == 5 and row[0][:1] == "`"}
    known = {
        str(at): [
            " ".join(f"`{script._NAMES[act]}`" for act in acts),
            *("yes" if is_told else "no" for is_told in where),
        ]
        for at, (acts, *where) in script._POINTS.items()
    }
    assert told == known


def test_every_act_and_every_key_for_tests_is_told_with_what_it_meets() -> None:
    told = {row[0].strip("`"): row[1] for row in ROWS if len(row) == 2 and row[0][:1] == "`"}
    assert set(told) == {*script._NAMES.values(), *TEST_KEYS}
    for key, known in TEST_KEYS.items():
        assert not isinstance(known, str) or told[key] == f"`{known}`"
    for name, *_ in script._CHANGE:
        assert f"`{name}`" in told["change"]


def test_the_script_it_shows_is_one() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert len(Script.parse(json.loads(shown)).steps) == 7
