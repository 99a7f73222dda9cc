"""`ih-mcp caller add`: a key for somebody who calls `ih-mcp serve`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server.callers import SCOPES, TENANT_NAME, USE, hash_key, make_key, read_callers
from ih_mcp.private_files import write_private
from ih_mcp.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Write a new caller into the callers file, and print its key once: the file has the "
        "key's hash alone. A running server reads the file again on SIGHUP."
    )
    parser.add_argument("action", choices=["add"])
    parser.add_argument("tenant", help="whose streams and files the caller may see")
    parser.add_argument("name", help="of the caller, for the log")
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, help=f"default: {USE}; may be given twice"
    )
    parser.add_argument(
        "--callers", metavar="FILE", type=Path, help="default: IH_MCP_CALLERS; made where missing"
    )


def run(options: Namespace, settings: Settings) -> int:
    """Add the caller.

    Raises:
        ConfigurationError: No file is named, or it cannot be changed.
    """
    path = options.callers or settings.callers
    if path is None:
        raise ConfigurationError(
            "no callers file is named", help="Give --callers FILE, or set IH_MCP_CALLERS."
        )
    if not TENANT_NAME.fullmatch(options.tenant):
        raise ConfigurationError(
            f"{options.tenant!r} is no name of a tenant",
            help="Use 1 to 63 small letters, digits, - and _.",
        )
    key = make_key()
    entry = {"name": options.name, "key_sha256": hash_key(key), "scopes": options.scope or [USE]}
    try:
        before = path.read_text("utf-8") if path.exists() else ""
        added = _added(before, options.tenant, entry).encode()
        write_private(path, added, keeps_mode=True)  # the server's user may be another one
        try:
            read_callers(path)
        except ConfigurationError:
            write_private(path, before.encode(), keeps_mode=True)
            raise
    except (OSError, UnicodeDecodeError, ParseError) as exc:
        raise ConfigurationError(f"the callers file {path} cannot be changed: {exc}") from None
    print(key)
    print(
        f"This is the key of {options.name} ({options.tenant}), and its only copy: {path} has its "
        "hash.",
        file=sys.stderr,
    )
    return 0


def _added(text: str, tenant: str, entry: dict[str, Any]) -> str:
    document = tomlkit.parse(text)
    tenants = document.setdefault("tenants", tomlkit.table(is_super_table=True))
    callers = tenants.setdefault(tenant, tomlkit.table()).setdefault("callers", tomlkit.aot())
    table = tomlkit.table()
    table.update(entry)
    callers.append(table)
    return tomlkit.dumps(document)
