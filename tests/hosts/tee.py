"""`python tee.py FOLDER COMMAND...`: run a server, and write down each line of it and its host.

`heard.jsonl` has what the host sends, `said.jsonl` what the server answers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import IO


def main(folder: Path, command: list[str]) -> int:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        said = (server.stdout, sys.stdout.buffer, folder / "said.jsonl")
        Thread(target=_copy, args=said, daemon=True).start()
        _copy(sys.stdin.buffer, server.stdin, folder / "heard.jsonl")
        server.stdin.close()
    return server.returncode


def _copy(lines: IO[bytes], to: IO[bytes], file: Path) -> None:
    with file.open("ab", buffering=0) as kept:
        for line in lines:
            kept.write(line)
            to.write(line)
            to.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
