"""What the journal does with the file system itself, beside SQLite."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path

from ih_mcp.errors import ConfigurationError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_SIDE_FILES = ("", "-wal", "-shm")  # what SQLite opens by the name of the file


def file_identity(path: Path) -> tuple[int, int]:
    """Identify a file: another file of the same name has another identity."""
    status = path.stat()
    return status.st_dev, status.st_ino


if sys.platform == "darwin":  # pragma: no cover - of that platform alone
    import fcntl

    def _sync_descriptor(descriptor: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the disk's cache there

else:
    _sync_descriptor = os.fsync


def sync_file(path: Path) -> None:
    """Write a file's bytes to the disk; any descriptor of it will do."""
    descriptor = os.open(path, os.O_RDWR)  # Windows wants it writable
    try:
        _sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def is_read_only_journal(path: Path) -> bool:
    """Whether a journal is there that can be read and not written, as on a read-only disk."""
    return path.is_file() and not (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))


def make_private(path: Path) -> None:
    """Create the folder and the file for this user alone; SQLite copies the mode to its side files.

    Raises:
        OSError: They cannot be created, or the folder is a link, which another user may have set.
        ConfigurationError: The folder or a file exists, and another user can change it.
    """
    if path.parent.is_symlink():
        raise NotADirectoryError(f"{path.parent.name} is a link; name the folder itself")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own_files(path)
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _require_own_files(path: Path) -> None:
    """Refuse a folder or a file that another user made or can change.

    A folder that this user cannot write to may belong to anybody, because it is only read. Root may
    use the folder of a user (a container whose host mounts a folder), but no file of another user.

    Raises:
        ConfigurationError: Says what to do.
    """
    folder = path.parent
    if not hasattr(os, "geteuid") or not os.access(folder, os.W_OK):  # Windows has other means
        return
    us = os.geteuid()
    _require_own_file(folder, owner=us or None)
    for side in _SIDE_FILES:
        with suppress(FileNotFoundError):  # another process may end just now
            _require_own_file(path.with_name(path.name + side), owner=us)


def _require_own_file(path: Path, *, owner: int | None) -> None:
    status = path.lstat()
    what = f"the data folder {path}" if stat.S_ISDIR(status.st_mode) else str(path)
    another = "set IH_MCP_DATA_DIR to a folder of your own; it is made where there is none."
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
        raise ConfigurationError(f"{path} is a link, or no file", help=f"Remove it, or {another}")
    if owner is not None and status.st_uid != owner:
        raise ConfigurationError(
            f"{what} belongs to another user (uid {status.st_uid})", help=f"S{another[1:]}"
        )
    if status.st_mode & _OTHERS_WRITE:
        raise ConfigurationError(
            f"other users may write to {what} (mode {stat.S_IMODE(status.st_mode):04o})",
            help=f"Run `chmod go-w {shlex.quote(str(path))}`, or {another}",
        )
