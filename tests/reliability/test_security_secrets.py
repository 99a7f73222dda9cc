"""S22, S37, S40, S45: what the environment, a stray character or the service's own values could do.

S45 settings under the names of other programs; S22 credentials that no header can hold; S40 values
of the service that become part of a path or of our status; S37 a data folder of somebody else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ih_mcp.settings import Settings, read_settings
from tests.road.host import environment

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own settings, and an empty working folder."""
    for name in list(os.environ):
        if name.startswith(("IH_MCP_", "INTERHUMAN_", "CLAUDE_PROJECT")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


# --- S45: settings of other programs -------------------------------------------------------------

VALUES = {  # what each field may be, other than its default
    **dict.fromkeys(["api_key", "key_id", "key_secret", "access_token", "analyst"], "value"),
    **dict.fromkeys(["scenario", "media_dirs", "data_dir", "mirror_dir", "ffmpeg"], "/value"),
    **dict.fromkeys(["api", "disable", "capture_host", "capture_input"], "value"),
    "auth": "subprotocol",
    "endpoint": "staging",
    "log_level": "debug",
    "reconnect": "false",
    "resend": "true",
    "one_frame": "true",
    "journal_strict": "true",
    "capture_port": "8081",
    "capture_origin": "https://value.example",
}
NUMBER = str(2**29 + 1)


def value_of(field: str) -> str:
    return VALUES.get(field) or ("17" if field == "max_streams" else NUMBER)


def foreign_names(field: str) -> set[str]:
    """Names that are not the documented one, though somebody could take them for it."""
    documented = str(Settings.model_fields[field].validation_alias)
    bare = {field, field.upper(), field.title(), documented.split("_", 1)[1], documented.lower()}
    return bare - {documented}


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.usefixtures("no_settings")
def test_s45_a_setting_is_read_from_its_documented_name_alone(
    field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documented = str(Settings.model_fields[field].validation_alias)
    assert documented.startswith(("IH_MCP_", "INTERHUMAN_"))
    unset = read_settings()
    for name in foreign_names(field):
        monkeypatch.setenv(name, value_of(field))
    lines = [f"{name}={value_of(field)}" for name in [*foreign_names(field), documented]]
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    assert read_settings() == unset
    monkeypatch.setenv(documented, value_of(field))
    read = read_settings()
    changed = {
        name for name in Settings.model_fields if getattr(read, name) != getattr(unset, name)
    }
    assert changed == {field}


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.usefixtures("no_settings")
def test_s45_code_overrides_a_setting_by_its_field(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = read_settings()
    given = read_settings(**{field: value_of(field)})
    assert getattr(given, field) != getattr(unset, field)
    monkeypatch.setenv(str(Settings.model_fields[field].validation_alias), "no value of any")
    assert read_settings(**{field: value_of(field)}) == given


def test_s45_variables_of_other_programs_change_nothing(dialogue: Path, tmp_path: Path) -> None:
    """As a host with many servers sets them; the last two are read by the web server's library."""
    env = environment(tmp_path / "data", IH_MCP_API="v2")
    env |= {
        "API_KEY": "sk-of-another",
        "ENDPOINT": "https://another.example",
        "AUTH": "basic",
        "DATA_DIR": str(tmp_path / "another"),
        "MAX_STREAMS": "none",
        "API": "9",
        "WEB_CONCURRENCY": "auto",
        "FORWARDED_ALLOW_IPS": "*",
    }
    command = [sys.executable, "-m", "ih_mcp", "stream", str(dialogue), "--pace", "fast"]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "session.ended"
    assert not (tmp_path / "another").exists()
