"""`python -m tests.fuzz NAME... --seconds N`: fuzz targets, all where none is named.

Atheris leads the bytes by the code they reach; each target has a process of its own, for
libFuzzer ends the one it runs in. What breaks a target is left in the corpus folder as
`crash-...`; `--again FILE` runs that one, without Atheris too.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from tests.reliability.budget import report

NAMES = ("journal", "cursor", "container", "line", "relay", "gap")
_MISSING = "fuzzing is skipped: Atheris is not installed (pip install atheris; Linux only)"


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Does not return."""
    import atheris  # noqa: PLC0415 - where it is installed

    with atheris.instrument_imports(include=["ih_mcp"]):
        from .targets import TARGETS  # noqa: PLC0415 - instrumented
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    atheris.Setup([name, *arguments, f"-artifact_prefix={corpus}/", str(corpus)], TARGETS[name].run)
    atheris.Fuzz()


def run(name: str, seconds: int, corpus: Path) -> bool:
    """Fuzz one target in a process of its own; whether it held."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--here", "--seconds", str(seconds)]
    done = subprocess.run(
        [*command, "--corpus", str(corpus)], stderr=subprocess.PIPE, text=True, check=False
    )
    tried = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    figure = f"{name}: {int(tried[1]) if tried else 0:,} inputs in {seconds} s"
    outcome = "held" if done.returncode == 0 else f"BROKEN, see {corpus}"
    print(f"{figure}, {outcome}", flush=True)  # noqa: T201 - what was asked for
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)  # noqa: T201
    report("fuzz", "tests/fuzz", figure, outcome="" if done.returncode == 0 else "failed")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"), help="a folder, kept")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run one input")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    known = parser.parse_args()
    if unknown := {*known.names} - {*NAMES}:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    names = known.names or NAMES
    if known.again:
        from .targets import TARGETS  # noqa: PLC0415 - not instrumented here

        TARGETS[names[0]].run(known.again.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(_MISSING)  # noqa: T201
        return 0
    if known.here:
        fuzz(names[0], known.seconds, known.corpus)
    held = [run(name, known.seconds, known.corpus / name) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
