"""Tells which process owns a stream, and whether that process is alive.

Each process holds a lock on a file of its own while it runs. The system releases the lock when the
process dies, however it dies. A stream is orphaned where the lock of its owner can be acquired.
The locks are those of SQLite, which work alike on every platform; the files stay empty.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from ih_mcp.errors import JournalError


@dataclass(frozen=True, slots=True)
class Process:
    """A process that owns streams, as far as its name identifies it."""

    pid: int | None = None
    """None where an older version of ih-mcp wrote the name."""
    host: str = ""
    """The computer or container it runs on."""

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"process {self.pid}{where}" if self.pid else "another process"


def parse_owner(owner: str) -> Process:
    """Parse the name of an owner."""
    found = _NAME.fullmatch(owner)
    return Process(int(found[1]), found[2]) if found else Process()


def make_owner_name() -> str:
    """A new name for this process, by chance; it tells which process it is."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:_MAX_HOST_CHARS]
    return f"{secrets.token_hex(8)}-{os.getpid()}-{host}"


_NAME = re.compile(r"[0-9a-f]{16}-([0-9]{1,10})-(.*)")
_MAX_HOST_CHARS = 63  # docs: RFC 1035, of one label


class Owner:
    """This process as an owner of streams. Call `close()` when the process ends."""

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        """Acquire the lock of this process.

        Args:
            folder: Holds the locks of all processes.
            is_read_only: Whether the folder cannot be written; this process then owns no stream.

        Raises:
            JournalError: The lock cannot be created, as on a full disk.
        """
        self._folder = folder
        self._is_read_only = is_read_only
        self.name = make_owner_name()
        if is_read_only:
            self._lock = sqlite3.connect(":memory:", check_same_thread=False)
            return
        try:
            with ExitStack() as undo:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                os.close(os.open(self._path(self.name), flags, 0o600))
                self._lock = _open_lock(self._path(self.name))
                undo.callback(self.close)
                _hold_lock(self._lock)
                undo.pop_all()
        except (OSError, sqlite3.Error) as exc:
            raise JournalError(
                f"the journal cannot open: {exc}",
                help="Free disk space or set IH_MCP_DATA_DIR to a folder this user can write to.",
            ) from exc

    def close(self) -> None:
        self._lock.close()
        _remove_file(self._path(self.name))

    def find_dead(self, names: Iterable[str]) -> set[str]:
        """Return those of `names` whose process is dead."""
        return {name for name in set(names) - {self.name} if self._is_dead(name)}

    def _is_dead(self, name: str) -> bool:
        path = self._path(name)
        if not path.exists():
            return True
        try:
            with closing(_open_lock(path, is_read_only=self._is_read_only)) as lock:
                _share_lock(lock)  # not alone: two that look at once would take each other for it
        except sqlite3.OperationalError:  # another process holds it, or we may not open it
            return False
        except sqlite3.DatabaseError:  # damaged, and not locked: a lock is reported first
            pass
        _remove_file(path)
        return True

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _remove_file(path: Path) -> None:
    """Remove a file if possible: Windows keeps a file that another process has open."""
    with suppress(OSError):
        path.unlink()


def _open_lock(path: Path, *, is_read_only: bool = False) -> sqlite3.Connection:
    place = f"{path.absolute().as_uri()}?mode=ro" if is_read_only else path
    return sqlite3.connect(
        place, uri=is_read_only, isolation_level=None, check_same_thread=False, timeout=0
    )


def _hold_lock(connection: sqlite3.Connection) -> None:
    """Acquire the file's lock until the connection closes, or fail at once."""
    connection.execute("BEGIN EXCLUSIVE")


def _share_lock(connection: sqlite3.Connection) -> None:
    """Acquire the lock for a moment, together with others that do; fails where it is held."""
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
