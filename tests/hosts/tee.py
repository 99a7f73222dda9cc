"""`python tee.py FILE COMMAND...`: run a server, and write down each line that its host sends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(file: Path, command: list[str]) -> int:
    with (
        file.open("ab", buffering=0) as kept,
        subprocess.Popen(command, stdin=subprocess.PIPE) as server,
    ):
        assert server.stdin
        for line in sys.stdin.buffer:
            kept.write(line)
            server.stdin.write(line)
            server.stdin.flush()
        server.stdin.close()
    return server.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
