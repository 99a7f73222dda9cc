"""`python -m tests.node FOLDER`: install the programs of package.json there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from . import node, npm


def install(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "package.json", folder)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([node(), npm(), "install", *quiet], cwd=folder, check=True)
    # the one script that is needed: it puts the program of this platform in its place
    claude = folder / "node_modules" / "@anthropic-ai" / "claude-code" / "install.cjs"
    subprocess.run([node(), claude], cwd=folder, check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]).absolute())
