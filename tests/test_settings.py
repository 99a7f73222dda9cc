from __future__ import annotations

import os
from pathlib import Path

import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.settings import Settings, read_settings

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("IH_MCP_", "INTERHUMAN_", "CLAUDE_PROJECT")):
            monkeypatch.delenv(name)


def test_without_anything_set_the_service_is_meant_and_no_key_is_there() -> None:
    settings = read_settings()
    assert settings.base_url == "https://api.interhuman.ai"
    assert settings.api_key is None
    assert settings.folders == ()


@pytest.mark.parametrize(
    "value", ["", "  ", "${INTERHUMAN_API_KEY}", "$INTERHUMAN_API_KEY", "{{api_key}}", "${input:k}"]
)
def test_a_placeholder_that_was_never_filled_in_counts_as_unset(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERHUMAN_API_KEY", value)
    monkeypatch.setenv("IH_MCP_ENDPOINT", value)
    settings = read_settings()
    assert settings.api_key is None
    assert settings.endpoint == "production"


def test_a_key_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERHUMAN_API_KEY", "ih_live_topsecret")
    monkeypatch.setenv("IH_MCP_MAX_STREAMS", "many")
    with pytest.raises(ConfigurationError) as wrong:
        read_settings()
    assert "topsecret" not in f"{wrong.value} {wrong.value.help} {wrong.value.facts}"
    monkeypatch.delenv("IH_MCP_MAX_STREAMS")
    assert "topsecret" not in repr(read_settings())


@pytest.mark.parametrize(
    ("endpoint", "base_url"),
    [
        ("staging", "https://staging-api.interhuman.ai"),
        ("local", None),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://proxy.example/ih", "https://proxy.example/ih"),
    ],
)
def test_an_endpoint_is_a_name_or_a_url(endpoint: str, base_url: str | None) -> None:
    assert read_settings(endpoint=endpoint).base_url == base_url


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("prod", "none of production, staging, local"),
        ("file:///etc/passwd", "none of production, staging, local"),
        ("https://example.com:99999", "none of production, staging, local"),
        ("http://example.com", "must be https beyond this machine"),
        ("https://user:pass@example.com", "must not hold credentials"),
    ],
)
def test_a_wrong_endpoint_is_an_error_with_the_name_of_its_variable(
    endpoint: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IH_MCP_ENDPOINT", endpoint)
    with pytest.raises(ConfigurationError, match=f"^IH_MCP_ENDPOINT: (is )?{words}"):
        read_settings()


def test_folders_are_split_like_path_and_the_project_folder_stands_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLAUDE_PROJECT_DIR", "/project")
    assert read_settings().folders == (Path("/project"),)
    monkeypatch.setenv("IH_MCP_MEDIA_DIRS", os.pathsep.join(["/a", "~/b", ""]))
    assert read_settings().folders == (Path("/a"), Path("~/b").expanduser())


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().api = "v2"


def test_the_readme_lists_every_setting_with_its_description() -> None:
    listed = {
        line.split("|")[1].strip(" `"): line
        for line in README.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| `IN", "| `IH_MCP"))
    }
    known = {str(f.validation_alias): f.description for f in Settings.model_fields.values()}
    assert set(listed) == set(known)
    for name, description in known.items():
        assert str(description) in listed[name], name
