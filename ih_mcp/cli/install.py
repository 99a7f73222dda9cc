"""`ih-mcp install HOST`: put this server into a host's configuration.

Nothing else in the file changes. The entry is shown first, without secrets, and the old file stays
beside the new one. A file that is not understood is not touched.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ih_mcp.app.hosts import (
    COMMAND,
    DIRS,
    HOSTS,
    KEY,
    NAME,
    Host,
    Launch,
    is_from_elsewhere,
)
from ih_mcp.errors import ConfigurationError
from ih_mcp.printable import escape_unprintable_lines
from ih_mcp.redaction import HIDDEN, clean_credential, redact, register_secret
from ih_mcp.settings import Settings

from .host_config import expanded, find, shown, write
from .host_entry import changed, entry_of, holds_key, is_secret, parsed
from .host_file import HostFile, read_host_file
from .options import add_local

_KEPT = "(as it was)"


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Put this server into an MCP host's configuration: the entry is shown, nothing else in the "
        "file changes, and the old file stays beside the new one."
    )
    add_local(parser)
    parser.add_argument("host", choices=[*HOSTS])
    parser.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    parser.add_argument("--print", action="store_true", help="print the entry, read nothing")
    parser.add_argument("--name", default=NAME, help=f"of the server; default: {NAME}")
    parser.add_argument(
        "--key",
        help="written in clear, `-` reads it from standard input; without it the host's reference "
        "to INTERHUMAN_API_KEY is written",
    )
    parser.add_argument(
        "--media-dir",
        action="append",
        dest="media_dirs",
        metavar="DIR",
        help="a folder whose files may be read; may be repeated",
    )
    parser.add_argument(
        "--this",
        action=BooleanOptionalAction,
        help=f"start this very installation, instead of {' '.join(COMMAND)}; default where it "
        "does not come from the package index, such as from a clone",
    )


def run(options: Namespace, _: Settings) -> int:
    """Put the server into a host's file; gives the exit code.

    Raises:
        ConfigurationError: The host's file is not understood; it was not touched.
    """
    host = HOSTS[options.host]
    launch = _launch(options)
    _check_text(options.name, *launch.command, *launch.env.values())
    if options.print:
        print(host.snippet(launch, options.name), end="")
        return 0
    file = read_host_file(find(host))
    old, name = file.text, file.path.name
    new = changed(old, host, launch, options.name, file=name)
    if new == old:
        print(f"{shown(file.path)} has it already: nothing to change")
        return 0
    _show(file, host, options.name, old, new, launch)
    private = holds_key(new, host, options.name) or holds_key(old, host, options.name)
    return write(file, new, options, private=private, after=host.after)


def _launch(options: Namespace) -> Launch:
    this = is_from_elsewhere() if options.this is None else options.this
    command = [sys.executable, "-m", "ih_mcp"] if this else [*COMMAND]
    if options.local:
        command.append("--local")
    env = {}
    if options.key:
        env[KEY] = _checked_key(_key(options.key))
    if options.media_dirs:
        folders = [os.path.realpath(expanded(Path(folder))) for folder in options.media_dirs]
        env[DIRS] = os.pathsep.join(folders)
    return Launch(command=command, env=env)


def _check_text(*texts: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                f"{text!r} has half a character, which no configuration can hold",
                help="Give another name or folder. Nothing was written.",
            ) from None


def _key(given: str) -> str:
    """The key: from standard input where `-` is given."""
    if given != "-":
        print(
            "ih-mcp: other users of this machine could read the key while the command ran, and "
            "your shell may keep it; `--key -` reads it from standard input",
            file=sys.stderr,
        )
        return given
    return getpass.getpass("API key: ") if sys.stdin.isatty() else sys.stdin.readline()


def _checked_key(key: str) -> str:
    try:
        found = clean_credential(key)
    except ValueError as exc:
        raise ConfigurationError(f"--key {exc}", help="Nothing was written.") from None
    if not found:
        raise ConfigurationError("--key is empty", help="Nothing was written.")
    register_secret(found)
    return found


def _show(file: HostFile, host: Host, name: str, old: str, new: str, launch: Launch) -> None:
    """Our entry as it will be; of the rest of the file nothing is shown, and nothing changes."""
    before = entry_of(parsed(old, host, file.path.name), host, name, file.path.name)
    entry = entry_of(parsed(new, host, file.path.name), host, name, file.path.name) or {}
    print(f"{shown(file.path)}, {host.key}, {'new' if before is None else 'changed'}:")
    public = _public(entry, host.entry(launch))
    print(
        escape_unprintable_lines(redact(json.dumps({name: public}, indent=2, ensure_ascii=False)))
    )
    print("Everything else in the file stays as it is.")


def _public(entry: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without values that are not ours, and without the key."""
    shown: dict[str, Any] = {}
    for name, value in entry.items():
        known = ours.get(name)
        if isinstance(value, Mapping):
            shown[name] = _public(value, known if isinstance(known, Mapping) else {})
        elif is_secret(name, value):
            shown[name] = HIDDEN
        elif value == known or name.startswith("IH_MCP_"):
            shown[name] = value
        else:
            shown[name] = _KEPT
    return shown
