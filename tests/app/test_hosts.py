"""How a host is told of the server."""

from __future__ import annotations

import pytest

from ih_mcp.app.hosts import HOSTS, KEY, Host, Launch


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
