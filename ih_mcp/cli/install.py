"""`ih-mcp install HOST`: put this server into a host's configuration, and nothing else.

What is there is kept, in its order; the change is shown first, and the old file stays beside the
new one. A file that is not understood is not touched.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ih_mcp.errors import ConfigurationError
from ih_mcp.redaction import checked, register
from ih_mcp.settings import Settings

from .hosts import (
    COMMAND,
    DIRS,
    HOSTS,
    KEY,
    NAME,
    Format,
    Host,
    Launch,
    Place,
    json_text,
    toml_path,
    toml_table,
)
from .options import add_local


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Put this server into an MCP host's configuration: the change is shown, what is there is "
        "kept, and the old file stays beside the new one."
    )
    add_local(parser)
    parser.add_argument("host", choices=[*HOSTS])
    parser.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    parser.add_argument("--print", action="store_true", help="print the entry, read nothing")
    parser.add_argument("--name", default=NAME, help=f"of the server; default: {NAME}")
    parser.add_argument(
        "--key", help="written in clear; without it the host's reference to INTERHUMAN_API_KEY is"
    )
    parser.add_argument(
        "--media-dir",
        action="append",
        dest="media_dirs",
        metavar="DIR",
        help="a folder whose files may be read; may be repeated",
    )
    parser.add_argument(
        "--this", action="store_true", help="start this installation instead of uvx ih-mcp"
    )


def run(options: Namespace, _: Settings) -> int:
    """Do what the command line asks for; gives the exit code.

    Raises:
        ConfigurationError: The host's file is not understood; it was not touched.
    """
    host = HOSTS[options.host]
    launch = _launch(options)
    if options.print:
        print(host.snippet(launch, options.name), end="")
        return 0
    place = Place(
        home=_home(),
        project=Path.cwd(),
        platform=sys.platform,
        environment=os.environ,
    )
    path = host.where(place).resolve()  # a link stays a link: its target is written
    old = read(path)
    new = changed(old, host, launch, options.name, file=path.name)
    if new == old:
        print(f"{path} has it already: nothing to change")
        return 0
    print(_difference(path, old, new), end="")
    if options.dry_run:
        print("dry run: nothing was written")
        return 0
    backup = write(path, new)
    print(f"written: {path}" + (f"; as it was: {backup}" if backup else ""))
    if host.after:
        print(host.after)
    return 0


def _launch(options: Namespace) -> Launch:
    command = [sys.executable, "-m", "ih_mcp"] if options.this else [*COMMAND]
    if options.local:
        command.append("--local")
    env = {}
    if options.key:
        env[KEY] = _checked_key(options.key)
    if options.media_dirs:
        folders = [_expanded(Path(folder)).resolve() for folder in options.media_dirs]
        env[DIRS] = os.pathsep.join(map(str, folders))
    return Launch(command=command, env=env)


def _home() -> Path:
    return _expanded(Path("~"))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"there is no home folder for {path.parts[0]}",
            help="Set HOME, and give folders with their whole path.",
        ) from None


def _checked_key(key: str) -> str:
    try:
        found = checked(key)
    except ValueError as exc:
        raise ConfigurationError(f"--key {exc}", help="Nothing was written.") from None
    register(found)
    return found


def read(path: Path) -> str:
    """The host's file; empty where there is none.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise _refusal(path.name, str(exc)) from exc


def changed(old: str, host: Host, launch: Launch, name: str, *, file: str) -> str:
    """The text of the host's file with this server in it; the same text where it is in it.

    Raises:
        ConfigurationError: The old text is not understood, or holds something else in this place.
    """
    if host.format is Format.TOML:
        return _changed_toml(old, host, launch, name, file)
    return _changed_json(old, host, launch, name, file)


def _changed_json(old: str, host: Host, launch: Launch, name: str, file: str) -> str:
    try:
        document = json.loads(old, object_pairs_hook=_once) if old.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise _refusal(file, f"it is not plain JSON ({exc})") from None
    wanted = host.document(launch, name)
    servers = _mapping(document, file, "it").setdefault(host.key, {})
    before = _mapping(servers, file, host.key).get(name, {})
    merged = _merged(_mapping(before, file, name), wanted[host.key][name], launch, file)
    if merged == before:
        return old
    servers[name] = merged
    _ask(document, wanted, merged, file)
    return json_text(document)


def _ask(
    document: dict[str, Any], wanted: Mapping[str, Any], entry: Mapping[str, Any], file: str
) -> None:
    """Have the host ask for what the entry names and the file does not ask for yet."""
    asked = document.get("inputs", [])
    if not isinstance(asked, list):
        raise _refusal(file, "inputs is no list")
    known = {row.get("id") for row in asked if isinstance(row, Mapping)}
    named = json.dumps(entry)
    missing = [
        row
        for row in wanted.get("inputs", ())
        if row["id"] not in known and f"${{input:{row['id']}}}" in named
    ]
    if missing:
        document["inputs"] = [*asked, *missing]


def _changed_toml(old: str, host: Host, launch: Launch, name: str, file: str) -> str:
    before = _toml(old, file)
    servers = _mapping(before.get(host.key, {}), file, host.key)
    entry = _mapping(servers.get(name, {}), file, name)
    merged = _merged(entry, host.entry(launch), launch, file)
    if merged == entry:
        return old
    kept = _without_table(old, toml_path((host.key, name))).rstrip()
    try:
        new = (f"{kept}\n\n" if kept else "") + toml_table((host.key, name), merged)
    except TypeError:  # a date of the user's own
        raise _refusal(file, f"{name} holds what is not written here") from None
    after = _toml(new, file)
    if after != {**before, host.key: {**servers, name: merged}}:
        raise _refusal(file, f"{name} stands there in a way that cannot be changed safely")
    return new


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise _refusal(file, f"it is not TOML ({exc})") from None


def _without_table(text: str, table: str) -> str:
    """The text without the lines of one table and the tables in it."""
    header = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$")
    kept = []
    inside = False
    for line in text.splitlines():
        if found := header.match(line):
            title = found[1]
            inside = title == table or title.startswith(f"{table}.")
        if not inside:
            kept.append(line)
    return "\n".join(kept)


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


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _mapping(value: object, file: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refusal(file, f"{what} is no object")
    return value


def _refusal(file: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} was not touched: {why}",
        help="Put the entry in by hand: the same command with --print shows it.",
    )


_SECRETS = re.compile(
    r"""(\w*(?:KEY|TOKEN|SECRET|PASSWORD|Authorization)\w*["']?\s*[:=]\s*)(["'])(?!\$)(?:\\.|(?!\2)[^\\])+\2"""
)


def _difference(path: Path, old: str, new: str) -> str:
    """What changes, without what looks like a secret: of the old file and of other servers too."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{path} (now)", f"{path} (then)", lineterm=""
    )
    return "".join(_SECRETS.sub(r"\1\2(hidden)\2", line) + "\n" for line in lines)


def write(path: Path, text: str) -> Path | None:
    """Replace a file in one step, private to its user if new; gives where the old one is kept.

    Raises:
        ConfigurationError: The disk does not take it; the file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = _backup(path) if path.exists() else None
        descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            if backup:
                shutil.copymode(path, made)
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise _refusal(path.name, str(exc)) from exc
    return backup


def _backup(path: Path) -> Path:
    """A copy beside the file, under a name that is free."""
    number = 1
    while (copy := path.with_name(f"{path.name}.bak{number}")).exists():
        number += 1
    shutil.copy2(path, copy)
    return copy
