"""Any folder of files through check, v0, v1 and v2, judged by PyAV: `make field DIR=FOLDER`.

One line a file: `right`, `refused` with the text, `wrong` with what, or `unsure` where the judge
cannot read the file either. Ends with 1 where one is wrong. Each file has a process and a time of
its own, so that an odd one cannot stop the others.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

SECONDS = 180
VERSIONS = ("v0", "v1", "v2")
PYTHON = [sys.executable]
_ODD_ENDS = {-signal.SIGSEGV: "crashed", -signal.SIGABRT: "crashed", -signal.SIGKILL: "was killed"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="files, or folders of any depth")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each file")
    parser.add_argument("--jobs", type=int, default=1, help="files at a time")
    parser.add_argument("--no-cli", action="store_true", help="the splitter alone")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        from .field_judge import judged  # noqa: PLC0415 - PyAV, in the process of one file

        print(json.dumps(judged(options.paths[0].resolve())))
        return
    counted = Counter[str]()
    judge = partial(verdict, seconds=options.seconds, with_cli=not options.no_cli)
    with ThreadPoolExecutor(options.jobs) as pool:
        files = [*files_of(options.paths)]
        for path, (word, text) in zip(files, pool.map(judge, files), strict=True):
            counted[word] += 1
            print(f"{word:8}{path}  {text}".rstrip(), flush=True)
    print(", ".join(f"{count} {word}" for word, count in sorted(counted.items())) or "no files")
    sys.exit(1 if counted["wrong"] or not counted else 0)


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Regular files, but for hidden ones; sorted within each folder."""
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (one for one in inside if one.is_file() and not one.name.startswith("."))


def verdict(path: Path, *, seconds: float = SECONDS, with_cli: bool = True) -> tuple[str, str]:
    """What became of one file: a word and what is to be said about it."""
    word, text = _asked(path, seconds)
    if with_cli and word != "wrong":
        # A stream takes what is too short by the table where the session declares no least length.
        is_refused = word == "refused" and "v1: too_short" not in text
        complaint = _command_line(path, seconds, is_refused=is_refused)
        if complaint:
            return "wrong", complaint
    return word, text


def _asked(path: Path, seconds: float) -> tuple[str, str]:
    status, out, errors = _run([*PYTHON, "-m", "bench.field", "--one", str(path)], seconds)
    if status is None:
        return "unsure", f"the judge took longer than {seconds:g} s"
    if status in _ODD_ENDS:
        return "unsure", f"the judge {_ODD_ENDS[status]}"
    try:
        word, text = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError):
        return "wrong", f"not a foreseen error: {errors.strip().splitlines()[-1:]}"
    return word, text


def _command_line(path: Path, seconds: float, *, is_refused: bool) -> str:
    """What is wrong with how `check` and `stream` take it; nothing where nothing is."""
    for words in (("check",), ("stream", "--local", "--pace", "fast", "--analyst", "placeholder")):
        command = [*PYTHON, "-m", "ih_mcp", words[0], *words[1:], str(path)]
        status, _, errors = _run(command, seconds)
        if status is None:
            return f"ih-mcp {words[0]} took longer than {seconds:g} s"
        if "Traceback" in errors or status not in {0, 1, 2}:
            return f"ih-mcp {words[0]}: status {status}, {errors.strip().splitlines()[-1:]}"
        if is_refused and words[0] == "stream" and status == 0:
            return "ih-mcp stream succeeds with a file that the splitter refuses"
    return ""


def _run(command: Sequence[str], seconds: float) -> tuple[int | None, str, str]:
    """Status, standard output and error; no status where it was ended after `seconds`."""
    places = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, "", ""
        return process.returncode, out, errors


if __name__ == "__main__":
    main()
