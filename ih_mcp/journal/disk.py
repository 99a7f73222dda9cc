"""What the journal asks of the file system, beside what SQLite does."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def identity(path: Path) -> tuple[int, int]:
    """Which file it is; another one of the same name differs."""
    status = path.stat()
    return status.st_dev, status.st_ino


if sys.platform == "darwin":  # pragma: no cover - of that platform alone
    import fcntl

    def _sync_descriptor(descriptor: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the disk's cache there

else:
    _sync_descriptor = os.fsync


def sync(path: Path) -> None:
    """Write a file's bytes to the disk; any descriptor of it will do."""
    descriptor = os.open(path, os.O_RDWR)  # Windows wants it writable
    try:
        _sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def make_private(path: Path) -> None:
    """The folder for the user alone, the file too; SQLite gives its side files the same mode.

    Raises:
        OSError: It cannot be made, or the folder is a link, which somebody else may have set.
    """
    if path.parent.is_symlink():
        raise NotADirectoryError(f"{path.parent.name} is a link; name the folder itself")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
