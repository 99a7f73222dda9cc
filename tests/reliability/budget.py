"""How much is tried: a little in every run, much in `make nightly`; and what was found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")

IS_LONG = bool(os.environ.get("IH_MCP_LONG_TESTS"))
SEED = int(os.environ.get("IH_MCP_SEED") or (Random().randrange(2**31) if IS_LONG else 1))  # noqa: S311 - no secret
"""Of this run: by chance at night, the same in every run by day; `IH_MCP_SEED` repeats one.
Printed with every test that uses it and fails."""


def often(short: T, *, nightly: T) -> T:
    """How often, or what, is tried in this run."""
    return nightly if IS_LONG else short


def dice(*what: object) -> Random:
    """Random numbers of one try; prints how to repeat them, which pytest shows on failure."""
    print(f"IH_MCP_SEED={SEED} for {what}")  # noqa: T201 - for whoever reads the failure
    return Random(f"{SEED} {what}")  # noqa: S311 - no secret


def report(row: str, test: str, figure: str, *, outcome: str = "") -> None:
    """Write a figure or outcome down for the report card, where `IH_MCP_REPORT` names a file."""
    if target := os.environ.get("IH_MCP_REPORT"):
        line = {"row": row, "test": test, "figure": figure, "seed": SEED, "outcome": outcome}
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
