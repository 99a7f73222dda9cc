"""The file of a host on this machine: where it is, and writing it after asking its user."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from ih_mcp.app.hosts import Host, Place
from ih_mcp.errors import ConfigurationError
from ih_mcp.printable import escape_unprintable

from .host_file import HostFile, replace


def find(host: Host) -> Path:
    """The host's file. A link to it stays a link: its target is written.

    Raises:
        ConfigurationError: It is a project's file, and a link leads out of the project.
    """
    project = Path.cwd()
    found = host.where(Place(expanded(Path("~")), project, sys.platform, os.environ))
    path = Path(os.path.realpath(found))  # of a link to itself, too
    if host.is_shared and not path.is_relative_to(project.resolve()):
        raise ConfigurationError(
            f"{found.name} was not touched: a link leads out of this folder, to {path}",
            help="A project's file comes from whoever wrote the project. Look at it first.",
        )
    return path


def write(file: HostFile, new: str, options: Namespace, *, private: bool, after: str = "") -> int:
    """Write the file, unless this is a dry run; gives the exit code.

    Raises:
        ConfigurationError: It was not touched.
    """
    if options.dry_run:
        print("dry run: nothing was written")
        return 0
    if file.is_read_only and not _agreed(file.path):
        raise ConfigurationError(
            f"{file.path.name} was not touched: it is read-only",
            help="Make it writable first, or run the command in a terminal, where it asks.",
        )
    backup = replace(file, new, private=private)
    print(f"written: {shown(file.path)}" + (f"; as it was: {shown(backup)}" if backup else ""))
    if private:
        print("It holds a key, so only you may read it.")
    if after:
        print(after)
    return 0


def _agreed(path: Path) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{shown(path)} is read-only. Write it all the same? [y/N] ").lower() == "y"


def expanded(path: Path) -> Path:
    """The path with a home folder for `~`."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"there is no home folder for {path.parts[0]}",
            help="Set HOME, and give folders with their whole path.",
        ) from None


def shown(path: Path) -> str:
    """A path for a terminal."""
    return escape_unprintable(str(path))
