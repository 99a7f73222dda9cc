"""How much a row of `bench_load` measures, and what it found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    is_quick: bool = False

    def times(self, *, quick: int, full: int) -> int:
        """So many rounds, seconds, events or streams."""
        return quick if self.is_quick else full


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    what: str
    figure: str
    floor: str
    ratio: float | None = None
    bound: str
    ok: bool

    def line(self) -> str:
        ratio = f"{self.ratio:7.2f}" if self.ratio is not None else " " * 7
        mark = "ok" if self.ok else "RED"
        return (
            f"{self.name:<4} {self.what:<46} {self.figure:>18} {self.floor:>18} {ratio}  "
            f"{self.bound:<24} {mark}"
        )


HEAD = f"{'row':<4} {'what':<46} {'figure':>18} {'floor':>18}   ratio  bound"


def show(rows: Sequence[Row], report: Path | None) -> bool:
    """Print them, and add them to a report; gives whether all kept their bounds."""
    for row in rows:
        print(row.line(), flush=True)
        if report:
            line = {"row": row.name, "test": "bench_load", "seed": "-"} | asdict(row)
            with report.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    return all(row.ok for row in rows)
