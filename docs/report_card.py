"""Draw the report card of docs/reliability.md: `python docs/report_card.py [RUN.jsonl ...]`.

A run writes one JSON object a line (`IH_MCP_REPORT`, `bench.bench_load --report`). What is in one
of them replaces what was known of the same row; docs/reliability.json keeps all of it, so that the
table can be drawn again and a test can compare.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER / "reliability.md"
KNOWN = FOLDER / "reliability.json"
BEGIN, END = "<!-- the report card: docs/report_card.py -->", "<!-- the end of the report card -->"
ELSEWHERE = {  # rows whose tests write no report of their own
    "S8": "tests/leaks.py (over every run of all tests), tests/test_leaks.py",
    "S10": "tests/media/test_hostile.py",
}
EXPLAINED = {
    "L5": "A waiting poll answers 150 ms after the first message, so that a burst comes in one answer "
    "and costs a model one call instead of ten. That pause is left out of the ratio. What is left, by "
    "medians on a machine shared with other work (load 15 on two cores): 0.5 ms until the message is read, "
    "0.9 until it is committed, 0.2 until the poll knows, 0.9 by which the timer is late, 0.9 to make the "
    "answer and 0.2 to write it.",
    "L10": "p99 of the delay, on a machine shared with other work (load above 8 on two cores); the "
    "medians are below 2 ms and nothing was lost or moved.",
    "L7": "On a machine shared with other work, which holds a loop with nothing to do too (the floor: 4 to "
    "155 ms). So the loop's own share of the processor between two turns counts, where nobody else is in it. "
    "Since the run of this row all streams together send for 2 ms in one turn: it took 20 to 26 ms before "
    "and 9 to 18 ms since, by turns on the same machine.",
    "L8": "From a file each push reads the whole file first, into fresh memory: the system takes 0.4 ms of "
    "the processor to hand out 1 MiB of it, and the floor uses the same 64 KiB again and again. Also at most "
    "128 KiB wait in the kernel, so that a ping does not wait behind video; without that bound, which the "
    "floor does not have, the processor sends 1 MiB segments from memory at 0.78 instead of 0.46 of the "
    "floor. From memory the bound holds, if closely, and 100 MiB/s hold in all rows.",
    "L9": "A pushed file is read whole before the push is accepted, as told above, and nothing is held "
    "beside it. The bound is that of a file that is read as it is sent. That would need a private copy on "
    "the disk, and video is never stored; the copy would also be as large in the kernel's cache, which "
    "counts as memory of a container.",
}

Row = dict[str, Any]


def gather(lines: Iterable[str]) -> dict[str, Row]:
    """One entry a row: figures, outcomes by test file, seed, floor, ratio, bound."""
    rows: dict[str, Row] = {}
    for line in lines:
        said = json.loads(line)
        row = rows.setdefault(said["row"], {"figures": [], "tests": {}, "seed": said["seed"]})
        if said.get("name"):  # a row of the load bench
            row.setdefault("load", []).append(
                {key: said[key] for key in ("what", "figure", "floor", "ratio", "bound", "ok")}
            )
            continue
        if said.get("outcome"):
            outcomes = row["tests"].setdefault(said["test"], {})
            outcomes[said["outcome"]] = outcomes.get(said["outcome"], 0) + 1
        if said["figure"] and said["figure"] not in row["figures"]:
            row["figures"].append(said["figure"])
    measured = datetime.now(UTC).date().isoformat()
    return {name: {**row, "measured": measured} for name, row in rows.items()}


def is_red(row: Mapping[str, Any]) -> bool:
    """Whether a bound was missed, a test failed, or one is known to fail."""
    outcomes = {outcome for found in row["tests"].values() for outcome in found}
    return bool(outcomes & {"failed", "xfailed"}) or not all(
        line["ok"] for line in row.get("load", [])
    )


def draw(known: Mapping[str, Row]) -> str:
    """The table and what is to be said of its red rows."""
    lines = [
        "| row | figure | floor | ratio | bound | seed | test | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in sorted(known, key=_order):
        row = known[name]
        mark = "red" if is_red(row) else "ok"
        for load in row.get("load", []):
            ratio = f"{load['ratio']:.2f}" if load["ratio"] is not None else ""
            lines.append(
                f"| {name} | {load['what']}: {load['figure']} | {load['floor']} | {ratio} | "
                f"{load['bound']} | | bench_load | {'ok' if load['ok'] else 'red'} |"
            )
        if row["tests"] or row["figures"]:
            tests = ", ".join(
                f"{test} ({', '.join(f'{count} {outcome}' for outcome, count in sorted(found.items()))})"
                for test, found in sorted(row["tests"].items())
            )
            figures = "; ".join(row["figures"]).replace("|", "\\|")
            lines.append(f"| {name} | {figures} | | | | {row['seed']} | {tests} | {mark} |")
    lines += [f"| {name} | | | | | | {test} | ok |" for name, test in ELSEWHERE.items()]
    red = [name for name in sorted(known, key=_order) if is_red(known[name])]
    lines += ["", *(f"- **{name}** is red. {EXPLAINED[name]}" for name in red)]
    return "\n".join(lines)


def _order(name: str) -> tuple[bool, str, int]:
    found = re.fullmatch(r"([A-Z])(\d+)", name)
    return (not found, found[1], int(found[2])) if found else (True, name, 0)


def page(known: Mapping[str, Row]) -> str:
    """The page with its table drawn anew."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{draw(known)}\n\n{END}{tail}"


def main(runs: list[str]) -> None:
    known = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    for run in runs:
        known |= gather(Path(run).read_text(encoding="utf-8").splitlines())
    missing = [name for name, row in known.items() if is_red(row) and name not in EXPLAINED]
    if missing:
        sys.stderr.write(f"red, and not explained in {__file__}: {', '.join(missing)}\n")
    KNOWN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if not missing:
        PAGE.write_text(page(known), encoding="utf-8")
    sys.exit(bool(missing))


if __name__ == "__main__":
    main(sys.argv[1:])
