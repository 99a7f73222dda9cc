"""What a host's configuration says with this server in it, and without it; text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ih_mcp.app.hosts import Format, Host, Launch

from . import jsonc, toml_text
from .host_file import refusal

_EDITORS: Mapping[Format, ModuleType] = {Format.JSON: jsonc, Format.TOML: toml_text}


def changed(old: str, host: Host, launch: Launch, name: str, *, file: str) -> str:
    """The text of the host's file with this server in it; the same text where it is in it.

    Raises:
        ConfigurationError: The old text is not understood, or holds something else in this place.
    """
    document = parsed(old, host, file)
    before = entry_of(document, host, name, file) or {}
    merged = _merged(before, host.entry(launch), launch, file)
    if merged == before:
        return old
    missing = [row for row in _missing_inputs(document, host, file) if _asks(merged, row)]
    new = with_entry(old, merged, host, name, missing, file=file)
    expected = {**document, host.key: {**document.get(host.key, {}), name: merged}}
    if missing:
        expected["inputs"] = [*document.get("inputs", []), *missing]
    _verify(new, expected, host, name, file)
    return new


def without(old: str, host: Host, name: str, *, file: str) -> str:
    """The text of the host's file without this server.

    Raises:
        ConfigurationError: The old text is not understood.
    """
    document = parsed(old, host, file)
    try:
        new: str = _EDITORS[host.format].remove(old, [host.key, name])
    except ValueError as exc:
        raise refusal(file, str(exc)) from None
    servers = {key: value for key, value in document[host.key].items() if key != name}
    expected = {**document, host.key: servers}
    if host.format is Format.TOML and not servers and host.key not in parsed(new, host, file):
        del expected[host.key]
    _verify(new, expected, host, name, file)
    return _without_inputs(new, host)


def _without_inputs(text: str, host: Host) -> str:
    """The text without what only our entry asked for."""
    for row in host.inputs:
        document = parsed(text, host, "it")
        rows = document.get("inputs", [])
        if row in rows and not _asks(document[host.key], row):
            step = ["inputs"] if rows == [row] else ["inputs", rows.index(row)]
            text = jsonc.remove(text, step)
    return text


def with_entry(
    text: str,
    entry: Mapping[str, Any],
    host: Host,
    name: str,
    inputs: Sequence[Mapping[str, Any]] = (),
    *,
    file: str = "it",
) -> str:
    """The text with this very entry, and with what the host is to ask for."""
    try:
        new: str = _EDITORS[host.format].put(text, (host.key, name), entry)
    except ValueError as exc:
        raise refusal(file, str(exc)) from None
    for row in inputs:
        there = "inputs" in parsed(new, host, "it")
        new = jsonc.append(new, ["inputs"], row) if there else jsonc.put(new, ["inputs"], [row])
    return new


def could_be(text: str, before: str, host: Host, name: str) -> bool:
    """Whether a text is another one with our entry put into it, and nothing else."""
    entry = entry_of(parsed(text, host, "it"), host, name, "it")
    document = parsed(before, host, "it")
    if entry is None or entry_of(document, host, name, "it") is not None:
        return False
    missing = _missing_inputs(document, host, "it")
    return any(with_entry(before, entry, host, name, inputs) == text for inputs in ([], missing))


def parsed(text: str, host: Host, file: str) -> dict[str, Any]:
    try:
        document = _EDITORS[host.format].parse(text)
    except (ValueError, RecursionError) as exc:
        raise refusal(file, f"it is not {host.format.upper()} ({exc})") from None
    return _mapping(document, file, "it")


def entry_of(
    document: Mapping[str, Any], host: Host, name: str, file: str
) -> dict[str, Any] | None:
    """Our entry in the file, if there is one."""
    servers = _mapping(document.get(host.key, {}), file, host.key)
    return _mapping(servers[name], file, name) if name in servers else None


def _verify(text: str, expected: object, host: Host, name: str, file: str) -> None:
    try:
        found = _EDITORS[host.format].parse(text)
    except ValueError:
        found = None
    if _canonical(found) != _canonical(expected):
        raise refusal(file, f"{name} stands there in a way that cannot be changed safely")


def _canonical(document: object) -> str:
    """A text that two documents share if they hold the same; `nan` is the same as `nan`."""
    return json.dumps(document, sort_keys=True, default=repr)


def _missing_inputs(document: Mapping[str, Any], host: Host, file: str) -> list[Mapping[str, Any]]:
    """What the host can ask for, and the file does not ask for yet."""
    if not host.inputs:
        return []
    asked = document.get("inputs", [])
    if not isinstance(asked, list):
        raise refusal(file, "inputs is no list")
    known = {row.get("id") for row in asked if isinstance(row, Mapping)}
    return [row for row in host.inputs if row["id"] not in known]


def _asks(entry: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether an entry names what the host asks for."""
    return f"${{input:{row['id']}}}" in json.dumps(entry)


def _merged(
    old: Mapping[str, Any], ours: Mapping[str, Any], launch: Launch, file: str
) -> dict[str, Any]:
    """An entry with our command; of the rest the user's own values stay, unless given anew."""
    env = {
        **ours.get("env", {}),
        **_mapping(old.get("env", {}), file, "env"),
        **launch.env,
    }
    merged = {**ours, **old, "command": ours["command"], "args": ours["args"]}
    return {**merged, "env": env} if env else merged


def _mapping(value: object, file: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "a date or a time")
        raise refusal(file, f"{what} is {kind}, and should be a table of names and values")
    return value


_KINDS: Mapping[type, str] = {
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
"""Kinds of values that are no tables, in words; TOML has days and times beside them."""


def holds_key(text: str, host: Host, name: str) -> bool:
    """Whether a key itself stands in our entry, instead of a name for it."""
    entry = entry_of(parsed(text, host, "it"), host, name, "it") or {}
    env = entry.get("env")
    return isinstance(env, Mapping) and any(map(is_secret, env, env.values()))


def is_secret(name: str, value: object) -> bool:
    """Whether a variable of an entry is a credential that stands there in clear."""
    return name.startswith("INTERHUMAN_") and bool(value) and not _REFERENCE.fullmatch(str(value))


_REFERENCE = re.compile(r"\$[A-Z_][A-Z0-9_]*|\$\{[^${}]*\}")
