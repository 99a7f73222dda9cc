"""The example analyst, installed by pip into an environment of its own; nothing is fetched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx2
import pytest

from tests.conftest import REPOSITORY

from . import needs_packages

pytestmark = needs_packages
PLUGIN = REPOSITORY / "examples" / "analyst-plugin"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Of a new environment that sees pip, hatchling and what the tests see."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    shared = [sysconfig.get_path("purelib"), str(REPOSITORY)]
    (Path(own) / "shared.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    return python


def test_pip_installs_the_example_and_the_stand_in_uses_it(python: Path, tmp_path: Path) -> None:
    source = tmp_path / "analyst-plugin"
    source.mkdir()
    for path in (PLUGIN / "pyproject.toml", *PLUGIN.glob("loudness_analyst/*.py")):
        target = source / path.relative_to(PLUGIN)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([python, "-m", "pip", "install", *options, str(source)], check=True)
    command = [str(python), "-m", "ih_mcp", "standin", "--analyst", "loudness"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = httpx2.get(process.stdout.readline().strip(), timeout=30).json()
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert told["analyst"]["name"] == "loudness"
    assert told["analyst"]["sends_data_away"] is False
    assert "Its analyst is loudness 0.1.0 of an installed package" in said
    assert sys.prefix not in str(python)
