from __future__ import annotations

import os
import sys
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
        ("ws://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("wss://proxy.example/ih/", "https://proxy.example/ih"),
        ("WS://localhost:8080", "http://localhost:8080"),
        ("HTTPS://proxy.example/v1/ih", "https://proxy.example/v1/ih"),
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
        ("ws://example.com", "must be https beyond this machine"),
        ("wsx://example.com", "none of production, staging, local"),
        ("ws:127.0.0.1", "none of production, staging, local"),
        ("ws://127.0.0.1:8080/v1/stream/analyze", "names one path of the API; give only"),
        ("wss://example.com/ih/v2/upload/analyze/", "names one path of the API; give only"),
        ("https://example.com/?model=inter-2", "names one path of the API; give only"),
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


# --- no home folder, no working folder ------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with any user id: HOME is not set, and nobody knows the user."""
    pwd = pytest.importorskip("pwd")

    def unknown(_: object) -> None:
        raise KeyError

    for name in ("HOME", "XDG_STATE_HOME", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IH_MCP_DATA_DIR", None),
        ("IH_MCP_DATA_DIR", "~/ih"),
        ("IH_MCP_MEDIA_DIRS", "/a:~/Videos"),
        ("IH_MCP_MIRROR_DIR", "~"),
    ],
)
def test_without_a_home_folder_an_error_says_what_to_set(
    variable: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IH_MCP_DATA_DIR", "/data")
    assert read_settings().data_dir == Path("/data")
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match="set HOME or IH_MCP_DATA_DIR") as wrong:
        read_settings()
    assert wrong.value.what.startswith(f"{variable}: there is no home folder for ~")


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is of POSIX")
def test_a_home_folder_that_is_relative_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "home")
    monkeypatch.setenv("IH_MCP_DATA_DIR", "~/ih")
    with pytest.raises(ConfigurationError, match="set HOME or IH_MCP_DATA_DIR"):
        read_settings()


def test_the_home_folder_of_nobody_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IH_MCP_MEDIA_DIRS", "~no-such-user/videos")
    with pytest.raises(ConfigurationError, match=r"^IH_MCP_MEDIA_DIRS: .* for ~no-such-user;"):
        read_settings()


def test_a_relative_folder_needs_a_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("IH_MCP_DATA_DIR", "data")
    assert read_settings().data_dir == gone / "data"
    gone.rmdir()
    with pytest.raises(ConfigurationError, match=r"^IH_MCP_DATA_DIR: is relative to a working"):
        read_settings()


ODD_VALUES = [
    "~",
    "~\ud800/x",
    "\ud800",
    "http://[::1",
    "http://h:0x1",
    "9" * 5000,
    "nan",
    "\0",
    "é",
]


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.usefixtures("homeless")
def test_whatever_a_variable_holds_it_is_taken_or_named(field: str) -> None:
    """A validator or a default that raises anything else ends in a traceback."""
    variable = str(Settings.model_fields[field].validation_alias)
    for value in ODD_VALUES:
        try:
            read_settings(**{"data_dir": "/data", field: value})
        except ConfigurationError as wrong:
            assert wrong.what.startswith(f"{variable}: "), value  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "name", ["MAX_MINUTES_PER_STREAM", "MAX_MINUTES_PER_DAY", "ASK_OVER_MINUTES"]
)
@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "1e308", "ten"])
def test_a_limit_of_minutes_is_a_number_that_can_be(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"IH_MCP_{name}", value)
    with pytest.raises(ConfigurationError, match=f"IH_MCP_{name}: Input should be"):
        read_settings()
    monkeypatch.setenv(f"IH_MCP_{name}", "0")
    assert getattr(read_settings(), name.lower()) == 0
    monkeypatch.setenv(f"IH_MCP_{name}", "")
    assert getattr(read_settings(), name.lower()) is None
