"""Files that hold messages about people: for this user alone, and never written through a link.

What is deleted or replaced here is what ih-mcp made, or what its user named as the output.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_HALF_WRITTEN = (".ih-mcp-", ".tmp")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_IS_A_LINK = "it is a link; name the file itself"
_LEFT_BEHIND_SECONDS = 3600.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_private(path: str | Path, flags: int) -> int:
    """Open a file as `os.open` does: a new one has mode 0600, and a link is refused.

    It can be the `opener` of `open`.

    Raises:
        OSError: Its text says what is wrong, also where the file is a link.
    """
    try:
        return os.open(path, flags | _NO_LINK, 0o600)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, _IS_A_LINK, str(path)) from None
        raise


def write_private(path: Path, data: bytes, *, keeps_mode: bool = False) -> None:
    """Write a whole file, or leave what is there as it is; blocks.

    The bytes go into a new file beside `path`, which then takes its name. So nobody sees half of a
    file, and nothing is written through a link that somebody sets meanwhile.

    Args:
        keeps_mode: Whether a file that is there keeps its owner, and who else may read it.

    Raises:
        OSError: It cannot be written, or something other than a regular file has this name.
    """
    before = None
    with suppress(FileNotFoundError):
        _require_regular(path)
        before = path.stat(follow_symlinks=False)
    start, end = _HALF_WRITTEN
    descriptor, made = tempfile.mkstemp(prefix=start, suffix=end, dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if before and keeps_mode:
            _own_as(made, before)
        Path(made).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(made).unlink()
        raise


def _own_as(path: str, before: os.stat_result) -> None:
    """Give a file the owner of another one, where this user may, and its mode."""
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(path, before.st_uid, before.st_gid)
    Path(path).chmod(stat.S_IMODE(before.st_mode))


def make_private_folder(folder: Path) -> None:
    """Make a folder for this user alone, or make sure that the one which is there is one.

    Raises:
        OSError: It is a link, or others can change it.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder, or a link to one", str(folder))
    if not hasattr(os, "geteuid"):  # Windows has other means
        return
    us = os.geteuid()  # root may use the folder of a user, as a container does
    if (us and status.st_uid != us) or status.st_mode & _OTHERS_WRITE:
        raise PermissionError(errno.EPERM, "other users can change this folder", str(folder))


def keep_newest(folder: Path, names: re.Pattern[str], most: int) -> None:
    """Delete the oldest files whose whole name matches `names`, so that `most` of them are left.

    Nothing else is touched: no other name, no folder, no link. What a killed process left half
    written goes too.
    """
    found = _files(folder, names)
    for old in found[: max(0, len(found) - most)]:
        _delete(old)
    delete_half_written(folder)


def delete_half_written(folder: Path, *, seconds: float = _LEFT_BEHIND_SECONDS) -> None:
    """Delete what `write_private` left half written there so long ago, as in a killed process."""
    delete_left_behind(folder, *_HALF_WRITTEN, seconds=seconds)


def delete_left_behind(
    folder: Path, prefix: str, suffix: str, *, seconds: float = _LEFT_BEHIND_SECONDS
) -> None:
    """Delete files of `tempfile.mkstemp` that a killed process left there so long ago."""
    made = re.compile(rf"{re.escape(prefix)}[a-z0-9_]{{8}}{re.escape(suffix)}")
    before = time.time() - seconds
    for file in _files(folder, made):
        with suppress(OSError):
            if file.lstat().st_mtime < before:
                _delete(file)


def _files(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Regular files, the oldest first."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process deletes too
                if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, Path(entry.path)))
    return [path for _, path in sorted(found)]


def _delete(file: Path) -> None:
    with suppress(OSError):  # Windows keeps a file that somebody looks at
        file.unlink()


def _require_regular(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, _IS_A_LINK, str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EEXIST, "something that is no file has this name", str(path))
