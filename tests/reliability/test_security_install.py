"""S32, S43: what `ih-mcp install` writes and shows, and what is started then.

A project's file, and what lies beside it, may have been written by an attacker.
"""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

from ih_mcp import __version__
from ih_mcp.app.hosts import HOSTS, NAME, Format, Host, Launch
from ih_mcp.cli import host_file, main
from tests.forked import forked
from tests.packages.test_install import file_of, home
from tests.road.host import REPOSITORY

__all__ = ["home"]  # a fixture

KEY = "ih_live_a_key_of_this_user"
SECRETS = {
    "plain": {"env": {"SLACK_TOKEN": "secret-1"}},
    "argument": {"command": "x", "args": ["--api-key", "secret-2", "--token=secret-3"]},
    "camel": {"env": {"apiKey": "secret-4", "GITHUB_PAT": "secret-5"}},
    "header": {"headers": {"x-api-key": "secret-6", "Authorization": "Bearer secret-7"}},
    "address": {"url": "postgres://user:secret-8@host/db"},
    "hash": {"env": {"PASSWORD_HASH": "$2b$secret-9"}},
}
posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def begun(host: Host, home: Path, text: str = "{}\n") -> Path:
    """The host's file with something in it."""
    path = file_of(host, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@posix
def test_s32_a_backup_is_not_written_through_a_link(home: Path) -> None:
    path = begun(HOSTS["claude-code"], home, '{"mcpServers": {"evil": {"command": "evil"}}}')
    victim = home / ".cursor" / "mcp.json"
    victim.parent.mkdir()
    path.with_name(".mcp.json.bak1").symlink_to(victim)
    assert main(["install", "claude-code"]) == 0
    assert not victim.exists()
    assert "evil" in path.with_name(".mcp.json.bak2").read_text()


@posix
def test_s32_a_projects_file_that_leads_elsewhere_is_not_followed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = home / "settings.json"
    victim.write_text("{}")
    project = home / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (project / ".mcp.json").symlink_to(victim)
    for command in ("install", "uninstall"):
        assert main([command, "claude-code"]) == 2
        assert "a link leads out of this folder" in capsys.readouterr().err
    assert victim.read_text() == "{}"
    assert sorted(item.name for item in home.iterdir()) == ["project", "settings.json"]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_s32_no_value_of_another_server_is_shown(
    host: Host, dense: bool, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({host.key: SECRETS}, indent=None if dense else 2)
    if host.format is Format.TOML:
        text = f'[{host.key}.other]\nargs = ["--key", "secret-1"]\n'
        text += f'[{host.key}.{NAME}.env]\nOTHER = "secret-2"\n'
    begun(host, home, text)
    main(["install", host.name, "--key", KEY, "--dry-run"])
    main(["install", host.name, "--key", KEY])
    main(["install", host.name, "--key", KEY + "_anew"])
    main(["uninstall", host.name])
    shown = "".join(capfd.readouterr())
    assert "secret-" not in shown
    assert KEY not in shown
    assert f'"{NAME}"' in shown
    assert "written" in shown


def test_s32_a_key_in_the_entry_that_begins_like_a_name_is_not_shown(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = begun(HOSTS["cursor"], home)
    for key in ("$2b$10$abcdefgh", "${not}closed$", "$lower_case_key"):
        assert main(["install", "cursor", "--key", key]) == 0
        assert key not in capfd.readouterr().out
        assert mode(path) == 0o600


@posix
def test_s32_a_file_with_a_key_and_its_copies_are_private(home: Path) -> None:
    path = begun(HOSTS["cursor"], home)
    path.chmod(0o644)
    assert main(["install", "cursor"]) == 0
    assert (mode(path), mode(path.with_name("mcp.json.bak1"))) == (0o644, 0o644)
    assert main(["install", "cursor", "--key", KEY]) == 0
    assert (mode(path), mode(path.with_name("mcp.json.bak2"))) == (0o600, 0o600)
    path.chmod(0o644)  # as it may be from before
    assert main(["install", "cursor", "--local"]) == 0
    assert (mode(path), mode(path.with_name("mcp.json.bak3"))) == (0o600, 0o600)
    path.chmod(0o644)
    assert main(["uninstall", "cursor"]) == 0
    assert KEY in path.with_name("mcp.json.bak4").read_text()
    assert mode(path.with_name("mcp.json.bak4")) == 0o600


@posix
def test_s32_mode_owner_and_hard_links_stay(home: Path) -> None:
    path = begun(HOSTS["cursor"], home)
    other = home / "dotfiles.json"
    other.hardlink_to(path)
    path.chmod(0o640)
    assert main(["install", "cursor"]) == 0
    assert other.samefile(path)
    assert NAME in other.read_text()
    assert main(["uninstall", "cursor"]) == 0
    assert other.samefile(path)
    assert other.read_text() == "{}\n"
    other.unlink()
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
    before = path.stat()
    assert main(["install", "cursor"]) == 0
    after = path.stat()
    assert before.st_ino != after.st_ino, "it was replaced in one step"
    assert (before.st_uid, before.st_gid, mode(path)) == (after.st_uid, after.st_gid, 0o640)


def test_s32_what_another_program_writes_meanwhile_is_not_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(HOSTS["cursor"], home)
    made = host_file._written_beside

    def meanwhile(beside: Path, data: bytes) -> Path:
        path.write_text('{"theirs": 1}')
        return made(beside, data)

    monkeypatch.setattr(host_file, "_written_beside", meanwhile)
    for start in (None, "{}"):  # a file that appears, and one that changes
        path.unlink(missing_ok=True)
        if start:
            path.write_text(start)
        assert main(["install", "cursor"]) == 2
        assert "another program changed it at the same time" in capsys.readouterr().err
        assert path.read_text() == '{"theirs": 1}'
    assert {item.name for item in path.parent.iterdir()} == {"mcp.json", "mcp.json.bak1"}


def test_s32_installing_four_times_at_once_leaves_a_whole_file(home: Path) -> None:
    path = begun(HOSTS["cursor"], home)
    codes: dict[str, int] = {}

    def install(name: str) -> None:
        command = [*forked(), "install", "cursor", "--name", name]
        codes[name] = subprocess.run(command, capture_output=True, check=False).returncode

    threads = [threading.Thread(target=install, args=[f"server-{n}"]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = json.loads(path.read_text())["mcpServers"]
    assert set(codes.values()) <= {0, 2}
    assert set(found) <= {name for name, code in codes.items() if code == 0}
    assert found


@posix
@pytest.mark.parametrize("answer", ["y", "n", None])
def test_s32_a_read_only_file_is_asked_about(answer: str | None, home: Path) -> None:
    path = begun(HOSTS["cursor"], home)
    path.chmod(0o444)
    ours, theirs = pty.openpty()
    command = [*forked(), "install", "cursor"]
    if answer:
        os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        command,
        stdin=theirs if answer else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    if answer == "y":
        assert done.returncode == 0
        assert NAME in path.read_text()
    else:
        assert done.returncode == 2
        assert "it is read-only" in done.stderr
        assert path.read_text() == "{}\n"
    assert ("Write it all the same?" in done.stdout) is bool(answer)
    assert mode(path) == 0o444


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_s32_what_is_no_file_is_neither_read_nor_replaced(
    kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = begun(HOSTS["cursor"], home)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert main(["install", "cursor"]) == 2
    assert "mcp.json was not touched" in capsys.readouterr().err
    assert not path.is_file()


def test_s32_a_key_is_read_from_standard_input_and_one_in_the_arguments_is_warned_of(
    home: Path,
) -> None:
    command = [*forked(), "install", "cursor", "--key"]

    def install(key: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, key], input=given, capture_output=True, text=True, check=False
        )

    done = install("-", f" {KEY}\r\n")
    assert done.returncode == 0
    assert "`--key -`" not in done.stderr
    entry = json.loads((home / ".cursor" / "mcp.json").read_text())["mcpServers"][NAME]
    assert entry["env"]["INTERHUMAN_API_KEY"] == KEY
    assert "`--key -` reads it from standard input" in install(KEY).stderr
    for odd in ("", "ih_live_ümlaut", "ih_live_a b"):
        refused = install("-", odd)
        assert refused.returncode == 2
        assert "Nothing was written" in refused.stderr
        assert "ümlaut" not in refused.stderr


def test_s32_a_name_or_folder_that_utf8_cannot_hold_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--name", "a\udc80"], ["--media-dir", "b\udc80"]):
        for more in ([], ["--print"]):
            assert main(["install", "cursor", *words, *more]) == 2
            assert "half a character" in capsys.readouterr().err
    assert list(home.iterdir()) == []


# --- S43: what is started is what was meant ------------------------------------------------------

HANDED_OUT = [
    *(
        path
        for path in (
            "README.md",
            ".claude-plugin/mcp.json",
            "gemini-extension.json",
            "mcpb/pyproject.toml",
        )
    ),
    *(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")),
    *(str(page.relative_to(REPOSITORY)) for page in (REPOSITORY / "skills").rglob("*.md")),
]
UNPINNED = re.compile(
    r"""(?:uvx|uv tool install|pipx run|pip install)["', \[]+ih-mcp(?![\w=\[-])"""
)


@pytest.mark.parametrize("path", HANDED_OUT)
def test_s43_nothing_that_is_handed_out_starts_the_newest_of_the_day(path: str) -> None:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    assert not UNPINNED.findall(text)
    for version in re.findall(r"ih-mcp==([\w.]+)", text):
        assert version == __version__


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_s43_every_host_starts_a_pinned_version(host: Host) -> None:
    pinned = f"ih-mcp=={__version__}"
    assert host.entry(Launch())["args"] == [pinned]
    if host.by_command:
        assert host.by_command.endswith(f"uvx {pinned}")


def test_s43_an_installation_from_elsewhere_is_started_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert main(["install", "cursor"]) == 0  # this one comes from a clone
    entry = json.loads((home / ".cursor" / "mcp.json").read_text())["mcpServers"][NAME]
    assert (entry["command"], entry["args"]) == (sys.executable, ["-m", "ih_mcp"])
    assert main(["install", "cursor", "--no-this"]) == 0
    entry = json.loads((home / ".cursor" / "mcp.json").read_text())["mcpServers"][NAME]
    assert (entry["command"], entry["args"]) == ("uvx", [f"ih-mcp=={__version__}"])


def test_s43_workflows_are_pinned_and_hold_no_credential() -> None:
    for path in (REPOSITORY / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert "permissions" in workflow
        assert "secrets." not in text
        used = re.findall(r"uses: (\S+)", text)
        assert used
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)
    release = yaml.safe_load((REPOSITORY / ".github/workflows/release.yml").read_text())
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"] == "release"


def test_s43_the_bundle_pins_what_it_runs_with() -> None:
    bundle = tomllib.loads((REPOSITORY / "mcpb/pyproject.toml").read_text())
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = re.findall(r"^([\w.-]+==[^\s\\]+(?: ; [^\\]*?)?) \\$", lock, re.MULTILINE)
    assert len(locked) > 30
    assert bundle["tool"]["uv"]["constraint-dependencies"] == locked
