"""How a host is told of the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ih_mcp.app.hosts import HOSTS, KEY, Host, Launch, Place, json_text


@pytest.mark.parametrize("host", HOSTS.values(), ids=lambda host: host.name)
def test_a_key_that_was_not_given_is_named_where_the_host_knows_how(host: Host) -> None:
    assert host.entry(Launch(command=["x", "y"], env={}))["command"] == "x"
    named = {"env": {KEY: host.reference}} if host.reference else {}
    for command, env, found in (
        (["x", "y"], {}, named),
        (["x", "--local"], {}, {}),
        (["x", "y"], {KEY: "given"}, {"env": {KEY: "given"}}),
        (["x", "y"], {"A": "b"}, {"env": {**named.get("env", {}), "A": "b"}}),
    ):
        entry = host.entry(Launch(command=command, env=env))
        assert entry["args"] == command[1:]
        assert {name: entry[name] for name in ("env",) if name in entry} == found


@pytest.mark.parametrize(
    ("platform", "name", "folder"),
    [
        ("darwin", "", "Library/Application Support"),
        ("win32", "APPDATA", "AppData/Roaming"),
        ("linux", "XDG_CONFIG_HOME", ".config"),
    ],
)
def test_programs_keep_their_settings_where_the_system_says_else_at_home(
    platform: str, name: str, folder: str
) -> None:
    home, project, named = Path("/home/a"), Path("/project"), Path("/elsewhere")
    for environment in ({}, {name: ""}):
        place = Place(home, project, platform, environment)
        assert place.config() == home / folder
        files = [host.where(place) for host in HOSTS.values()]
        assert all(file.is_relative_to(home) or file.is_relative_to(project) for file in files)
    told = Place(home, project, platform, {name: str(named)}).config()
    assert told == (named if name else home / folder)


def test_what_is_written_for_a_host_is_written_as_people_do() -> None:
    assert (
        json_text({"name": "é", "args": ["a"]})
        == """\
{
  "name": "é",
  "args": [
    "a"
  ]
}
"""
    )
