"""What is handed out: one version in all places, and each file as its readers want it."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from docs.generate import BUNDLE, bundle
from ih_mcp import __version__
from ih_mcp.settings import Settings
from tests.road.host import REPOSITORY

from . import needs_packages, run_tool

NAME = "io.github.ih-mcp/ih-mcp"
PLUGIN_SERVER = ".claude-plugin/mcp.json"


def document(path: str) -> Any:
    return json.loads((REPOSITORY / path).read_text(encoding="utf-8"))


def written(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def versions() -> dict[str, str]:
    server = document("server.json")
    dockerfile = written("Dockerfile")
    bundle = tomllib.loads(written("mcpb/pyproject.toml"))["project"]
    gemini = document("gemini-extension.json")
    found = {
        "server.json": server["version"],
        "server.json, pypi": server["packages"][0]["version"],
        "server.json, oci": server["packages"][1]["identifier"].partition(":")[2],
        "mcpb/manifest.json": document("mcpb/manifest.json")["version"],
        "mcpb/pyproject.toml": bundle["version"],
        "mcpb/pyproject.toml, dependency": bundle["dependencies"][0].partition("==")[2],
        ".claude-plugin/plugin.json": document(".claude-plugin/plugin.json")["version"],
        "gemini-extension.json": gemini["version"],
        "Dockerfile": re.findall(r'image\.version="(.*?)"', dockerfile)[0],
        "Dockerfile, how to run": re.findall(r"ghcr\.io/ih-mcp/ih-mcp:(\S+)", dockerfile)[0],
    }
    for path, held in ((PLUGIN_SERVER, document(PLUGIN_SERVER)), ("gemini-extension.json", gemini)):
        (server,) = held["mcpServers"].values()
        found[f"{path}, args"] = server["args"][0].partition("==")[2]
    return found


@pytest.mark.parametrize("place", versions())
def test_every_place_has_the_version_of_the_package(place: str) -> None:
    assert versions()[place] == __version__


def test_the_registry_finds_the_name_where_it_looks() -> None:
    server = document("server.json")
    assert server["name"] == NAME
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", NAME)
    assert f"<!-- mcp-name: {NAME} -->" in written("README.md")
    assert f'LABEL io.modelcontextprotocol.server.name="{NAME}"' in written("Dockerfile")
    assert len(server["description"]) <= 100
    assert len(server["title"]) <= 100
    assert server["packages"][0]["identifier"] == "ih-mcp"
    for package in server["packages"]:
        assert package["transport"] == {"type": "stdio"}


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Variable(_Closed):
    """`KeyValueInput` of the schema 2025-12-11, in what is used of it."""

    name: str
    description: str
    is_required: bool = Field(alias="isRequired")
    is_secret: bool = Field(alias="isSecret")
    format: Literal["string", "number", "boolean", "filepath"]
    default: str = ""


class Package(_Closed):
    registry_type: Literal["pypi", "oci"] = Field(alias="registryType")
    identifier: str
    version: str = Field(__version__, pattern=r"^\d+\.\d+\.\d+$")
    runtime_hint: Literal["uvx", "docker"] = Field(alias="runtimeHint")
    runtime_arguments: list[dict[str, Any]] = Field([], alias="runtimeArguments")
    transport: dict[Literal["type"], Literal["stdio"]]
    environment_variables: list[Variable] = Field(alias="environmentVariables")


class ServerJson(_Closed):
    schema_: Literal[
        "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    ] = Field(alias="$schema")
    name: str = Field(min_length=3, max_length=200, pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$")
    title: str = Field(min_length=1, max_length=100)
    description: str = Field(min_length=1, max_length=100)
    version: str = Field(max_length=255)
    repository: dict[Literal["url", "source"], str]
    packages: list[Package]


def test_the_registry_entry_has_the_fields_of_its_schema() -> None:
    read = ServerJson.model_validate(document("server.json"))
    assert read.repository.keys() == {"url", "source"}
    assert {package.registry_type for package in read.packages} == {"pypi", "oci"}


SPOILT: Mapping[str, Callable[[Any], object]] = {
    "description": lambda entry: entry.update(description="x" * 101),
    "format": lambda entry: entry["packages"][0]["environmentVariables"][0].update(format="key"),
    "transport": lambda entry: entry["packages"][1].update(transport={"type": "sse"}),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """By a linter that brings the registry's published schemas, byte for byte."""
    return run_tool("skillsaw==0.22.0", "skillsaw", "lint", folder)


@needs_packages
def test_registry_plugin_and_skills_are_valid_by_their_published_schemas() -> None:
    done = lint(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mcp-registry" in done.stdout, "it saw the entry"


@needs_packages
@pytest.mark.parametrize("what", SPOILT)
def test_a_registry_entry_that_is_not_valid_is_found(what: str, tmp_path: Path) -> None:
    entry = document("server.json")
    SPOILT[what](entry)
    (tmp_path / "server.json").write_text(json.dumps(entry), encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stderr
    assert "does not conform" in done.stdout


@needs_packages
def test_the_registry_entry_is_valid_by_the_schema_where_it_is_published() -> None:
    entry = document("server.json")
    try:
        with urlopen(entry["$schema"], timeout=10) as answer:  # noqa: S310 - an https address
            schema = json.load(answer)
    except OSError as exc:
        pytest.skip(f"the published schema cannot be read here: {exc}")
    assert schema["$id"] == entry["$schema"]
    jsonschema.validate(entry, schema)


def test_the_versions_of_python_that_are_named_are_those_that_are_tested() -> None:
    project = tomllib.loads(written("pyproject.toml"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    jobs = yaml.safe_load(written(".github/workflows/tests.yml"))["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == named
    assert jobs["elsewhere"]["strategy"]["matrix"]["python"] == [named[0], named[-1]]
    assert project["requires-python"] == f">={named[0]}"


def test_a_container_that_the_registry_starts_keeps_what_arrived() -> None:
    """As every command that a page shows does."""
    _, image = document("server.json")["packages"]
    given = " ".join(f"{word['name']} {word['value']}" for word in image["runtimeArguments"])
    assert given == "--volume ih-mcp:/data --volume {folder}:/media:ro"
    pages = ["Dockerfile", *(str(page) for page in REPOSITORY.glob("*.md"))]
    pages += [
        str(page) for folder in ("docs", "skills") for page in (REPOSITORY / folder).rglob("*.md")
    ]
    shown = [line for page in pages for line in written(page).splitlines() if "docker run" in line]
    assert len(shown) >= 2
    for line in shown:
        assert '-v ih-mcp:/data -v "$PWD:/media:ro"' in line


def variables() -> set[str]:
    """Each environment variable that some file hands on to the server."""
    named = set()
    for package in document("server.json")["packages"]:
        named |= {row["name"] for row in package["environmentVariables"]}
    named |= set(document("mcpb/manifest.json")["server"]["mcp_config"]["env"])
    for path in (PLUGIN_SERVER, "gemini-extension.json"):
        for server in document(path)["mcpServers"].values():
            named |= set(server["env"])
    return named


def test_every_variable_that_is_handed_on_is_a_setting() -> None:
    assert variables() <= {str(f.validation_alias) for f in Settings.model_fields.values()}


def test_a_key_is_secret_wherever_it_is_asked_for() -> None:
    for package in document("server.json")["packages"]:
        asked = {row["name"]: row["isSecret"] for row in package["environmentVariables"]}
        assert asked["INTERHUMAN_API_KEY"] is True
    assert document("mcpb/manifest.json")["user_config"]["api_key"]["sensitive"] is True
    assert document(".claude-plugin/plugin.json")["userConfig"]["api_key"]["sensitive"] is True


@pytest.mark.parametrize(
    ("path", "asks"),
    [("mcpb/manifest.json", "mcpb/manifest.json"), (PLUGIN_SERVER, ".claude-plugin/plugin.json")],
)
def test_what_is_filled_in_is_asked_for(path: str, asks: str) -> None:
    asking = document(asks)
    asked = set(asking.get("user_config", asking.get("userConfig")))
    assert set(re.findall(r"\$\{user_config\.(\w+)\}", written(path))) == asked


def test_the_bundle_lists_the_tools_there_are() -> None:
    assert BUNDLE.read_text(encoding="utf-8") == bundle(), "run python docs/generate.py"


def test_what_files_point_to_is_there() -> None:
    manifest = document("mcpb/manifest.json")
    assert (REPOSITORY / "mcpb" / manifest["server"]["entry_point"]).is_file()
    assert (REPOSITORY / document(".claude-plugin/plugin.json")["mcpServers"]).is_file()
    assert (REPOSITORY / document("gemini-extension.json")["contextFileName"]).is_file()
    (plugin,) = document(".claude-plugin/marketplace.json")["plugins"]
    assert plugin["name"] == document(".claude-plugin/plugin.json")["name"]
    assert (REPOSITORY / plugin["source"]).resolve() == REPOSITORY


def test_who_opens_a_clone_in_an_agent_is_asked_to_start_nothing() -> None:
    assert not (REPOSITORY / ".mcp.json").exists(), "Claude Code offers it as the project's own"
    assert not (REPOSITORY / ".cursor").exists()
    assert not (REPOSITORY / ".vscode").exists()


def test_the_image_runs_without_rights_and_without_a_shell() -> None:
    lines = written("Dockerfile").splitlines()
    assert lines[-1] == 'ENTRYPOINT ["ih-mcp"]'
    assert "USER 10001" in lines
    copied = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    for path in (path for paths in copied for path in paths):
        assert (REPOSITORY / path).exists(), path


def test_the_folder_of_the_bundle_holds_nothing_else() -> None:
    names = {path.name for path in Path(REPOSITORY / "mcpb").iterdir()}
    assert names - {"__pycache__"} == {"manifest.json", "pyproject.toml", "server.py"}
