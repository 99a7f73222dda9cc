"""Opens exactly the file that a path names, and finds programs.

Nothing here decides which files may be read; that is `ih_mcp.media.file_admission`.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ntpath import normpath as _windows_normpath
from pathlib import Path, PurePath, PureWindowsPath
from posixpath import normpath as _posix_normpath

from ih_mcp.errors import PathError

_MAX_NAMED = 200
_SWAPPED = {errno.ELOOP, errno.ENOTDIR}  # a link where a file or a folder was


def show_name(path: str) -> str:
    """A path for a text: as its caller wrote it, shortened, and with odd characters escaped."""
    return ascii(path if len(path) <= _MAX_NAMED else f"{path[:_MAX_NAMED]}…")


def normalize_path(path: PurePath) -> PurePath:
    """Remove `.` and `..` from a path by its letters alone, without touching the disk."""
    if isinstance(path, PureWindowsPath):
        return type(path)(_windows_normpath(path))
    text = _posix_normpath(path)
    return type(path)(f"/{text.lstrip('/')}" if text.startswith("//") else text)


def open_file(path: Path) -> tuple[int, os.stat_result]:
    """Open the regular file at `path` for reading, following no link on the way to it.

    A folder that was replaced by a link after the path was allowed is noticed. Touches the disk.

    Args:
        path: Absolute and free of links, as `admit` gives it.

    Returns:
        A descriptor, which the caller closes, and what is known of the open file.

    Raises:
        PathError: The file is not there any more, is not regular, or has nothing in it.
    """
    try:
        descriptor = _open(path)
    except FileNotFoundError as exc:
        raise PathError(
            f"there is no file {show_name(path.name)}",
            help="It was removed.",
            code="file_not_found",
        ) from exc
    except OSError as exc:
        raise _open_error(path, exc) from exc
    try:
        status = os.fstat(descriptor)
        require_media(path.name, status)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def require_media(name: str, status: os.stat_result, *, within: Sequence[str] = ()) -> None:
    """Refuse everything but a regular file that is not empty.

    Args:
        name: As the caller wrote it.
        status: Of the file, or of the open descriptor.
        within: Names of files in it, where it is a folder; the one most like media first.

    Raises:
        PathError: `not_a_file` or `empty_file`.
    """
    if stat.S_ISDIR(status.st_mode):
        example = f", such as {show_name(within[0])}" if within else ""
        raise PathError(
            f"{show_name(name)} is a folder, not a file",
            help=f"Give the path of one media file in it{example}.",
            code="not_a_file",
            facts={"files": [*within]} if within else {},
        )
    if not stat.S_ISREG(status.st_mode):
        raise PathError(
            f"{show_name(name)} is not a regular file",
            help="Give a media file; folders, devices and pipes are not read.",
            code="not_a_file",
        )
    if not status.st_size:
        raise PathError(
            f"{show_name(name)} is empty",
            help="If it is still being written, wait until it has media.",
            code="empty_file",
            retry=True,
        )


def _open_error(path: Path, exc: OSError) -> PathError:
    if exc.errno in _SWAPPED:
        return PathError(
            f"{show_name(path.name)} cannot be opened: it is not where it was when it was allowed",
            help="Give the path of the file itself, not of a link to it, and leave it there.",
        )
    return PathError(
        f"{show_name(path.name)} cannot be opened: {exc.strerror}",
        help="Check its permissions, and that the path is of the file itself.",
        code="not_a_file",
    )


if sys.platform == "win32":  # pragma: no cover - of that platform alone
    import ctypes
    import msvcrt

    def _open(path: Path) -> int:
        """Held open without the right to delete it, so that no folder of it can be replaced."""
        descriptor = os.open(path, os.O_RDONLY | os.O_BINARY)
        try:
            if PureWindowsPath(strip_prefix(_final_path(descriptor))) != path:
                raise OSError(errno.ELOOP, "it is behind a link")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _final_path(descriptor: int) -> str:
        text = ctypes.create_unicode_buffer(1 << 15)
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
        if not ctypes.windll.kernel32.GetFinalPathNameByHandleW(handle, text, len(text), 0):
            raise ctypes.WinError()
        return text.value

else:
    # A folder that may be searched but not read is passed where the system has O_PATH.
    _FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", 0)
    _FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # does not wait for the end of a pipe

    def _open(path: Path) -> int:
        """Step by step, each from the open folder before it, so that no link is followed."""
        folder = os.open(path.anchor, _FOLDER)
        try:
            for name in path.parts[1:-1]:
                outer, folder = folder, os.open(name, _FOLDER, dir_fd=folder)
                os.close(outer)
            return os.open(path.name, _FILE, dir_fd=folder)
        finally:
            os.close(folder)


def strip_prefix(name: str) -> str:
    r"""A path of Windows as people write it: without `\\?\` or `\\?\UNC\` in front."""
    if name.startswith("\\\\?\\UNC\\"):
        return f"\\\\{name[8:]}"
    return name.removeprefix("\\\\?\\")


def find_program(name: str) -> str | None:
    """Find a program in the absolute folders of PATH; None where there is none.

    Windows, and `shutil.which` there, look into the current folder first: a program that lies in
    somebody's project would be started. Touches the disk.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in list_candidates(name, [Path(folder) for folder in folders]):
        with suppress(OSError):
            if stat.S_ISREG(os.stat(place).st_mode) and os.access(place, os.X_OK):  # noqa: PTH116 - PurePath
                return str(place)
    return None


def list_candidates(name: str, folders: Sequence[PurePath]) -> Iterator[PurePath]:
    """Where a program called `name` may be, in order: in absolute folders, on Windows as `.exe`."""
    for folder in folders:
        if folder.is_absolute():
            is_windows = isinstance(folder, PureWindowsPath)
            ending = ".exe" if is_windows and not name.lower().endswith(".exe") else ""
            yield folder / f"{name}{ending}"
