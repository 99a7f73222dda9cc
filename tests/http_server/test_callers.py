"""The callers file: what may stand in it, and how an entry is made."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from ih_mcp.cli import main
from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server.callers import Caller, TenantRow, hash_key, make_key, read_callers
from ih_mcp.http_server.tenants import tenant_settings
from ih_mcp.settings import read_settings

GOOD = f'[[tenants.acme.callers]]\nname = "ann"\nkey_sha256 = "{hash_key("k")}"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tenants = 1", "tenants"),
        ("[tenants.Acme]\n" + GOOD, "names a tenant 'Acme'"),
        ("[tenants.'../x']\n" + GOOD, "names a tenant '../x'"),
        (GOOD + 'scopes = ["root"]\n', "the scope 'root'"),
        (GOOD + GOOD, "twice"),
        (GOOD.replace(hash_key("k"), "plain key"), "key_sha256"),
        (GOOD + "colour = 1\n", "colour"),
        ("[tenants.acme]\nmax_streams = 0\n", "max_streams"),
        ("[tenants.acme]\nmax_minutes_per_month = -1\n", "max_minutes_per_month"),
        ("[tenants.acme]\nmax_minutes_per_day = inf\n", "max_minutes_per_day"),
        ("[tenants.acme]\nmax_kept_bytes = 5\n", "max_kept_bytes"),
        ("[tenants.acme]\n", "has no caller"),
        ("", "has no caller"),
        ("[[", "is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="callers file") as refused:
        read_callers(path)
    assert problem in refused.value.what
    assert (
        "ih-mcp caller add" in refused.value.help
        or "key of its own" in refused.value.help
        or ("Scopes:" in refused.value.help)
    )


def test_a_tenant_s_limits_hold_instead_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    limits = {
        "max_streams": 8,
        "max_minutes_per_stream": 1.5,
        "max_minutes_per_day": 0,
        "max_minutes_per_month": 300,
        "max_bytes_per_day": 1_000,
        "max_kept_bytes": 2**20,
        "max_files_bytes": 2**21,
    }
    rows = "\n".join(f"{name} = {limit}" for name, limit in limits.items())
    path.write_text(f"[tenants.acme]\n{rows}\n{GOOD}")
    settings = read_settings(data_dir=tmp_path, max_bytes_per_day=5, max_minutes_per_day=7)
    changed = tenant_settings(settings, "acme", read_callers(path).tenants["acme"])
    expected = dict(limits)
    expected["max_live_streams"] = expected.pop("max_streams")
    expected["journal_max_bytes"] = expected.pop("max_kept_bytes")
    assert {name: getattr(changed, name) for name in expected} == expected
    other = tenant_settings(settings, "beta", TenantRow())
    assert (other.max_bytes_per_day, other.max_minutes_per_day) == (5, 7)


def test_keys_differ_and_only_their_hash_finds_a_caller(tmp_path: Path) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(GOOD)
    callers = read_callers(path)
    found = callers.find("k")
    assert found == Caller("acme", "ann", frozenset({"ih:use"}))
    assert callers.find("K") is None
    assert callers.find("") is None
    assert callers.find("\udc80") is None
    assert make_key() != make_key()


def test_an_added_caller_has_the_key_that_was_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "callers.toml"
    path.write_text("# our team\n" + GOOD)
    assert main(["caller", "add", "beta", "ci", "--scope", "ih:token", "--callers", str(path)]) == 0
    key = capsys.readouterr().out.strip()
    text = path.read_text()
    assert key not in text
    assert text.startswith("# our team\n" + GOOD)
    found = read_callers(path).find(key)
    assert found == Caller("beta", "ci", frozenset({"ih:token"}))


@pytest.mark.parametrize("arguments", [["Beta", "ci"], ["beta", "c\x1bi"], ["beta", ""]])
def test_a_wrong_caller_changes_nothing(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "callers.toml"
    path.write_text(GOOD)
    assert main(["caller", "add", *arguments, "--callers", str(path)]) == 2
    assert path.read_text() == GOOD
    assert capsys.readouterr().out == ""


def test_a_file_that_this_user_may_not_read_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose user is another one than who made the file."""

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied") as told:
        read_callers(tmp_path / "callers.toml")
    assert "chmod a+r" in told.value.help


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")
def test_who_may_read_the_file_stays_when_a_caller_is_added(tmp_path: Path) -> None:
    """The user of a container is another one, and reads it on SIGHUP."""
    path = tmp_path / "callers.toml"
    for name, mode in (("ann", 0o600), ("bob", 0o644), ("eve", 0o640)):
        if path.exists():
            path.chmod(mode)
        assert main(["caller", "add", "acme", name, "--callers", str(path)]) == 0
        assert stat.S_IMODE(path.stat().st_mode) == mode
