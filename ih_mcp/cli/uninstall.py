"""`ih-mcp uninstall HOST`: take out of a host's configuration what `ih-mcp install` put in.

Where nothing else changed since, the file is as it was before, byte for byte.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ih_mcp.app.hosts import HOSTS, NAME, Host
from ih_mcp.errors import ConfigurationError
from ih_mcp.printable import escape_unprintable
from ih_mcp.settings import Settings

from .host_config import find, shown, write
from .host_entry import could_be, entry_of, holds_key, parsed, without
from .host_file import HostFile, backups, delete, read_host_file
from .options import add_local


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Remove from an MCP host's configuration what `ih-mcp install` added. If nothing else has "
        "changed since, the file is as it was before."
    )
    add_local(parser)
    parser.add_argument("host", choices=[*HOSTS])
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--name", default=NAME, help=f"of the server; default: {NAME}")


def run(options: Namespace, _: Settings) -> int:
    """Take the server out of a host's file; gives the exit code.

    Raises:
        ConfigurationError: The host's file is not understood; it was not touched.
    """
    host = HOSTS[options.host]
    file = read_host_file(find(host))
    old, name = file.text, file.path.name
    entry = entry_of(parsed(old, host, name), host, options.name, name)
    if entry is None:
        print(f"{shown(file.path)} has no {options.name!r}: nothing to change")
        return 0
    print(f"{shown(file.path)}: {escape_unprintable(options.name)} goes out of {host.key}")
    kept = backups(file.path)
    if not kept and could_be(old, "", host, options.name):
        return _delete(file, options)
    new = _before_install(old, kept, host, options.name)
    if new is None:
        new = without(old, host, options.name, file=name)
    return write(file, new, options, private=holds_key(old, host, options.name))


def _delete(file: HostFile, options: Namespace) -> int:
    """Remove a file that `install` made and nobody changed since."""
    if options.dry_run:
        print("dry run: the file, which has nothing else in it, stays")
        return 0
    delete(file)
    print(f"removed: {shown(file.path)}; nothing else was in it")
    return 0


def _before_install(text: str, kept: Sequence[Path], host: Host, name: str) -> str | None:
    """What a kept copy has, if the file differs from it by our entry alone."""
    for copy in kept:
        with suppress(ConfigurationError, ValueError):
            before = read_host_file(copy).text
            if could_be(text, before, host, name):
                return before
    return None
