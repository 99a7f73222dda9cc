"""`python -m tests.frameworks FOLDER`: run each framework in an environment of its own.

The server runs in ours. What arrived is compared with the journal, and docs/frameworks.json keeps
the versions and the result; docs/generate.py draws the table of docs/hosts.md from it. A framework
whose own client drops blocks is shown as such; the command fails where a result changes, or where a
framework fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "docs" / "frameworks.json"
VIDEO = REPOSITORY / "examples" / "media" / "dialogue.mp4"
VIDEO_SECONDS = 24
"""How much of it is analysed, at least, where a stream is left to run."""
FRAMEWORKS = {  # the package, and what else its MCP client needs
    "openai-agents": ["openai-agents"],
    "fastmcp": ["fastmcp"],
    "pydantic-ai-slim": ["pydantic-ai-slim[mcp]"],
    "langchain-mcp-adapters": ["langchain-mcp-adapters"],
    "google-adk": ["google-adk", "mcp<2"],
    "smolagents": ["smolagents[mcp]", "mcp<2"],
    "llama-index-tools-mcp": ["llama-index-tools-mcp"],
    "crewai-tools": ["crewai-tools[mcp]"],
}
_VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"


def run(name: str, requirements: Sequence[str], folder: Path) -> dict[str, str]:
    """The versions of a framework and its MCP library, and what became of the main job."""
    python = folder / name / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    versions = subprocess.run(
        [python, "-c", _VERSIONS, name, "mcp"], capture_output=True, text=True, check=True
    )
    version, mcp = versions.stdout.split()
    return {"version": version, "mcp": mcp, "result": _judge(name, python)}


def _judge(name: str, python: Path) -> str:
    """Whether what arrived is what the journal has, in a few words."""
    with tempfile.TemporaryDirectory() as data:
        env = {
            **os.environ,
            "SERVER_PYTHON": sys.executable,
            "IH_MCP_MEDIA_DIRS": str(VIDEO.parent),
            "IH_MCP_DATA_DIR": data,
        }
        drive: list[str | Path] = [python, "-W", "ignore", Path(__file__).with_name("drive.py")]
        done = subprocess.run(
            [*drive, name.replace("-", "_"), VIDEO],
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            return f"fails: {lines[-1] if lines else done.returncode}"
        arrived = json.loads(done.stdout.splitlines()[-1])
        kept, listed = (
            _command(env, *words) for words in (["messages", arrived["stream"]], ["list", "--json"])
        )
    (row,) = map(json.loads, listed)
    return describe(arrived["messages"], kept, analysed_s=row["usage"]["analysed_s"])


def _command(env: Mapping[str, str], *words: str) -> list[str]:
    """The lines that a command of ih-mcp prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ih_mcp", *words],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def describe(arrived: Sequence[str], kept: Sequence[str], *, analysed_s: float) -> str:
    """What became of the main job, in words: what a framework handed on, beside the journal."""
    if not kept or analysed_s < VIDEO_SECONDS:
        return "streams end at once: it starts a server for each call, and ends it"
    if arrived == kept:
        return f"all {len(kept)} messages, byte for byte"
    if [json.loads(text) for text in arrived] == [json.loads(text) for text in kept]:
        return f"all {len(kept)} messages; the framework reads their JSON"
    if not arrived:
        return "the status alone: it hands on the first block of an answer"
    return f"fails: {len(arrived)} of {len(kept)} messages"


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    before = json.loads(RESULTS.read_text(encoding="utf-8"))
    found = {name: run(name, needs, folder) for name, needs in FRAMEWORKS.items()}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, row in found.items():
        sys.stdout.write(f"{name} {row['version']} (mcp {row['mcp']}): {row['result']}\n")
    return any(
        is_worse(row["result"], before.get(name, row)["result"]) for name, row in found.items()
    )


def is_worse(result: str, before: str) -> bool:
    """Whether a framework fails, or hands on something else than it did when it was recorded."""
    return result.startswith("fails") or result != before


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
