"""The long forms of all tests by chance, one after the other: `python -m bench.nightly`.

Each part runs to its end whatever became of the others; one table at the end tells how each went,
and the exit code is 1 where one failed. A part that cannot run here says why, and is skipped. What
was measured is in `.nightly.jsonl`, from which docs/report_card.py draws the report card. `--quick`
runs the same parts with small budgets.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import SKIPPED

REPORT = Path(".nightly.jsonl")
PYTEST = ("-m", "pytest", "-n", "2", "--dist", "loadfile", "--hypothesis-seed=random")
MUTANTS = ("-m", "tests.mutation")


@dataclass(frozen=True)
class Part:
    """One command of the night."""

    name: str
    arguments: tuple[str, ...]
    """Of Python."""
    quick: tuple[str, ...] = ()
    """Instead, where it is to be short; the same where none are given."""


@dataclass(frozen=True)
class Outcome:
    part: Part
    code: int
    seconds: float


PARTS = (
    Part("reliability", (*PYTEST, "tests/reliability")),
    Part(
        "load of a team",
        ("-m", "bench.team_load"),
        quick=("-m", "bench.team_load", "--quick"),
    ),
    Part("products and examples", (*PYTEST, "-m", "one_for_each or hypothesis", "tests")),
    Part("frames and leaks", (*PYTEST, "tests/conformance/test_frames.py", "tests/test_leaks.py")),
    Part(
        "fuzzing",
        ("-m", "tests.fuzz", "--seconds", "600"),
        quick=("-m", "tests.fuzz", "--seconds", "5"),
    ),
    Part(
        "soak",
        ("-m", "bench.bench_load", "--soak", "10", "--report", str(REPORT)),
        quick=("-m", "bench.bench_load", "--soak", "0.2", "--report", str(REPORT)),
    ),
    # Survivors have their reasons in tests/mutation/known.json, so a new one fails.
    *(
        Part(
            f"mutants {seed}",
            (*MUTANTS, *more, "--seed", seed, "--count", "200"),
            quick=(*MUTANTS, "--seed", seed, "--count", "4", "wire"),
        )
        for seed, more in (("101", ["--map"]), ("102", []), ("103", []))
    ),
    # Those of a seed by chance are news: they are to be read, and fail only where they are many.
    Part(
        "mutants by chance",
        (*MUTANTS, "--count", "100", "--may-survive", "10"),
        quick=(*MUTANTS, "--count", "4", "--may-survive", "2", "wire"),
    ),
    Part("dependencies", ("-m", "bench.audit")),
    Part("report card", ("docs/report_card.py", str(REPORT))),
)


def run(part: Part, *, is_quick: bool) -> Outcome:
    env = os.environ | {"IH_MCP_REPORT": str(REPORT.absolute())}
    if not is_quick:
        env["IH_MCP_LONG_TESTS"] = "1"
    arguments = part.quick if is_quick and part.quick else part.arguments
    print(f"\n--- {part.name}: python {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    code = subprocess.run([sys.executable, *arguments], env=env, check=False).returncode
    return Outcome(part, code, time.monotonic() - began)


_ENDED = {0: "ok", SKIPPED: "skipped, as said above"}


def table(outcomes: list[Outcome]) -> str:
    """One line a part, the failed ones with their exit code."""
    lines = [f"{'part':<22}{'minutes':>8}  outcome"]
    for outcome in outcomes:
        ended = _ENDED.get(outcome.code, f"FAILED (exit code {outcome.code})")
        lines.append(f"{outcome.part.name:<22}{outcome.seconds / 60:>8.1f}  {ended}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small budgets: some minutes in all")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(part.name for part in PARTS)}")
    options = parser.parse_args()
    REPORT.unlink(missing_ok=True)
    chosen = [part for part in PARTS if not options.parts or part.name in options.parts]
    outcomes = [run(part, is_quick=options.quick) for part in chosen]
    print(f"\n{table(outcomes)}")
    return int(any(outcome.code not in _ENDED for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
