"""What the field's own checkers say of the server: conformance on both wires, and the Inspector."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.node import CONFORMANCE, CONFORMANCE_HANDSHAKE, INSPECTOR, needs_node, run
from tests.road.host import REPOSITORY, environment

pytestmark = [needs_node, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
_TOTAL = re.compile(r"Total: (\d+) passed, (\d+) failed")
_NULLABLE = re.compile(r'`type` is an array \(\["(array|boolean|integer|number|string)","null"\]\)')
"""What optional arguments need in strict mode; as `anyOf` it would cost a model more tokens."""
_ONE = re.compile(r"Passed: (\d+)/(\d+), 0 failed")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server over HTTP, which is all the conformance checker speaks."""
    data_dir = tmp_path_factory.mktemp("door")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.door", data_dir],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


def passed(done: subprocess.CompletedProcess[str]) -> int:
    """How many checks passed; none may fail that is not expected to."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    found = _TOTAL.search(done.stdout)
    assert found, done.stdout[-1000:]
    return int(found[1])


def test_the_handshake_wire_conforms_but_for_fixtures(door: str, tmp_path: Path) -> None:
    done = run(
        CONFORMANCE_HANDSHAKE, "server", "--url", door,
        "--expected-failures", HERE / "expected-handshake.yaml",
        env=environment(tmp_path), cwd=tmp_path, seconds=300,
    )  # fmt: skip
    assert passed(done) >= 13


def test_the_2026_wire_conforms_but_for_fixtures(door: str, tmp_path: Path) -> None:
    done = run(
        CONFORMANCE, "server", "--url", door, "--requirements", "2026-07-28",
        "--expected-failures", HERE / "expected-2026-07-28.yaml",
        env=environment(tmp_path), cwd=tmp_path, seconds=500,
    )  # fmt: skip
    assert passed(done) >= 116


@pytest.mark.parametrize("scenario", ["enumeration", "manifest", "directory"])
def test_the_skills_extension_conforms(scenario: str, door: str, tmp_path: Path) -> None:
    done = run(
        CONFORMANCE, "server", "--url", door, "--scenario", f"sep-2640-skills-{scenario}",
        env=environment(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    found = _ONE.search(done.stdout)
    assert found, done.stdout[-2000:]
    assert found[1] == found[2]


def inspect(env: Mapping[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The Inspector's command line on the server over stdio."""
    ours = {name: value for name, value in env.items() if name.startswith(("IH_", "PYTHONPATH"))}
    named = [word for name, value in ours.items() for word in ("-e", f"{name}={value}")]
    return run(
        INSPECTOR, "--cli", sys.executable, "-m", "ih_mcp", *named, *arguments, env=env, cwd=cwd
    )


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_finds_every_schema_portable(era: str, tmp_path: Path) -> None:
    env = environment(tmp_path, HOME=str(tmp_path))
    done = inspect(env, tmp_path, "--protocol-era", era, "--method", "tools/list", "--strict")
    assert done.returncode == 0, done.stderr
    found = re.search(r"\b(\d+) errors?, (\d+) warnings?\b", done.stderr)
    assert found, done.stderr[-1000:]
    issues = re.findall(r"^ *Issue: (.*)$", done.stderr, re.MULTILINE)
    assert (found[1], found[2]) == ("0", str(len(issues)))
    assert all(_NULLABLE.match(issue) for issue in issues), issues
    assert len(json.loads(done.stdout)["tools"]) >= 11


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_calls_a_tool_and_sees_a_refusal(era: str, tmp_path: Path) -> None:
    env = environment(tmp_path, HOME=str(tmp_path))
    call = ("--protocol-era", era, "--method", "tools/call", "--tool-name")
    done = inspect(env, tmp_path, *call, "list_streams")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["content"][0]["text"].startswith('{"ih_mcp":')
    refused = inspect(env, tmp_path, *call, "poll_events", "--tool-arg", "stream_id=st_x")
    assert refused.returncode == 5
    assert "There is no stream st_x" in refused.stdout


def test_the_inspector_verifies_every_skill(tmp_path: Path) -> None:
    env = environment(tmp_path, HOME=str(tmp_path))
    listing = ("--protocol-era", "modern", "--method", "skills/list")
    done = inspect(env, tmp_path, *listing, "--verify", "--require-digests")
    assert done.returncode == 0, done.stderr
    assert "Verified 5 skills" in done.stderr
    assert "no conformance errors" in done.stderr
