"""A host's configuration on the disk: read, replaced and kept, and never through a link.

What holds a key is private to its user. Else mode, owner, group and hard links stay as they are.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ih_mcp.errors import ConfigurationError

_BOM = "\ufeff"
_MAX_BYTES = 32 << 20  # chosen: no configuration of a host is as large
_MAX_BACKUPS = 999
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)  # for a pipe


@dataclass(frozen=True, slots=True)
class HostFile:
    """What a file was when it was read."""

    path: Path
    data: bytes | None
    """None: there is no file."""
    status: os.stat_result | None = None

    @property
    def text(self) -> str:
        """Without the mark of byte order.

        Raises:
            ConfigurationError: It is not UTF-8.
        """
        try:
            return (self.data or b"").decode("utf-8").removeprefix(_BOM)
        except UnicodeDecodeError as exc:
            raise refusal(self.path.name, str(exc)) from None

    def encoded(self, text: str) -> bytes:
        """The bytes of a text for this file.

        Raises:
            ConfigurationError: It has characters that UTF-8 cannot hold.
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError:
            raise refusal(
                self.path.name, "the new entry has half a character (a lone surrogate)"
            ) from None
        has_bom = (self.data or b"").startswith(_BOM.encode())
        return _BOM.encode() + data if has_bom else data

    @property
    def is_read_only(self) -> bool:
        """Whether its owner may not write to it."""
        return self.status is not None and not self.status.st_mode & stat.S_IWUSR


def refusal(name: str, why: str) -> ConfigurationError:
    """The error of a file that stays as it is."""
    return ConfigurationError(
        f"{name} was not touched: {why}",
        help="Change it by hand: `ih-mcp install HOST --print` shows the entry.",
    )


def read_host_file(path: Path) -> HostFile:
    """The file at a path that has no links in it.

    Raises:
        ConfigurationError: It cannot be read, or is no ordinary file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _BINARY | _WITHOUT_WAITING)
    except FileNotFoundError:
        return HostFile(path, None)
    except OSError as exc:
        raise refusal(path.name, str(exc)) from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path.name, "it is no ordinary file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MAX_BYTES:
        raise refusal(path.name, f"it has more than {_MAX_BYTES >> 20} MiB")
    return HostFile(path, data, status)


def replace(old: HostFile, text: str, *, private: bool) -> Path | None:
    """Write a file in one step; gives where the old one is kept.

    Args:
        old: What was read. If the file is something else by now, nothing is written.
        text: What it holds then.
        private: Whether it holds a key, or held one: then it and the copy are for its user alone.

    Raises:
        ConfigurationError: The file is as it was.
    """
    data = old.encoded(text)
    try:
        if old.status is None:
            _create(old, data)
            return None
        backup = _backup(old, old.status, private=private)
        if old.status.st_nlink > 1 or not _replace(old, old.status, data, private=private):
            _overwrite(old, data, private=private)
    except OSError as exc:
        raise refusal(old.path.name, str(exc)) from exc
    return backup


def delete(old: HostFile) -> None:
    """Remove a file that is as it was when it was read.

    Raises:
        ConfigurationError: It stays.
    """
    _compare(old)
    try:
        old.path.unlink()
    except OSError as exc:
        raise refusal(old.path.name, str(exc)) from exc


def backups(path: Path) -> list[Path]:
    """The copies beside a file, the oldest first."""
    copies = (path.with_name(f"{path.name}.bak{number}") for number in range(1, _MAX_BACKUPS))
    return [copy for copy in copies if copy.is_file() and not copy.is_symlink()]


def _compare(old: HostFile) -> None:
    now = read_host_file(old.path)
    if now.data != old.data:
        raise ConfigurationError(
            f"{old.path.name} was not touched: another program changed it at the same time",
            help="Run the command again.",
        )


def _create(old: HostFile, data: bytes) -> None:
    old.path.parent.mkdir(parents=True, exist_ok=True)
    made = _written_beside(old.path, data)
    try:
        _compare(old)
        try:
            os.link(made, old.path)  # unlike a rename this replaces nothing
        except OSError:  # a disk without hard links
            if os.path.lexists(old.path):
                raise
            made.replace(old.path)
    finally:
        made.unlink(missing_ok=True)


def _replace(old: HostFile, status: os.stat_result, data: bytes, *, private: bool) -> bool:
    """Put a new file in the old one's place; gives whether it could get the old one's owner."""
    made = _written_beside(old.path, data)
    try:
        if not _like(made, old.path, status, private=private):
            return False
        _compare(old)
        made.replace(old.path)
    finally:
        made.unlink(missing_ok=True)
    return True


def _overwrite(old: HostFile, data: bytes, *, private: bool) -> None:
    """Write into the file itself: its other names, or its owner, could not be kept else."""
    _compare(old)
    descriptor = os.open(old.path, os.O_WRONLY | _NO_LINK | _BINARY)
    with os.fdopen(descriptor, "wb") as file:
        if private:
            old.path.chmod(0o600)
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(descriptor)


def _written_beside(path: Path, data: bytes) -> Path:
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    return Path(made)


def _like(made: Path, path: Path, status: os.stat_result, *, private: bool) -> bool:
    """Give a new file owner, group and mode of the old one; gives whether that could be done."""
    now = made.stat()
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.chown(made, status.st_uid, status.st_gid)
        except (OSError, AttributeError):
            return False
    if not private:
        with suppress(OSError):  # attributes that this disk cannot hold
            shutil.copystat(path, made, follow_symlinks=False)
        made.chmod(stat.S_IMODE(status.st_mode))
        os.utime(made)  # programs see a change by it
    return True


def _backup(old: HostFile, status: os.stat_result, *, private: bool) -> Path:
    """A copy beside the file, under a name that nothing has, not even a link that leads nowhere."""
    for number in range(1, _MAX_BACKUPS):
        copy = old.path.with_name(f"{old.path.name}.bak{number}")
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
            with os.fdopen(os.open(copy, flags, 0o600), "wb") as file:
                file.write(old.data or b"")
            _like(copy, old.path, status, private=private)
            return copy
    raise refusal(old.path.name, "there are too many copies beside it")
