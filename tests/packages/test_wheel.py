"""The wheel, installed where nothing else is, starts and finds everything it needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ih_mcp import __version__
from tests.road.host import REPOSITORY, environment

from . import needs_packages

pytestmark = [
    pytest.mark.timeout(600),
    needs_packages,
]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `ih-mcp` of a clean environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, REPOSITORY], check=True)
    (wheel,) = folder.glob("*.whl")
    assert __version__ in wheel.name
    subprocess.run([sys.executable, "-m", "venv", folder / "v"], check=True)
    scripts = folder / "v" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([scripts / "python", "-m", "pip", "-q", "install", wheel], check=True)
    return scripts / "ih-mcp"


def test_the_source_distribution_has_what_its_tests_read(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (made,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(made, tmp_path, filter="data")
    (source,) = tmp_path.glob("ih_mcp-*/")
    tests = ["tests/packages/test_packages.py", "tests/packages/test_install.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env=environment(tmp_path / "data", PYTHONPATH=str(source)),
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(source)  # a copy of the tests is no leak of what they plant
    assert done.returncode == 0, done.stdout


def test_the_set_up_is_well(command: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [command, "check", "--local"],
        env=environment(tmp_path / "data", IH_MCP_MEDIA_DIRS=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all is well" in done.stdout


def test_a_recording_is_streamed(command: Path, tmp_path: Path, dialogue: Path) -> None:
    done = subprocess.run(
        [command, "stream", dialogue, "--local", "--analyst", "placeholder"],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "session.ended"
