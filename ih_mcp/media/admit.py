"""Which files may be read: regular ones inside the allowed folders, links resolved.

Two steps, since a name can come to mean another file between them: `admit` decides by name, and
`opened` holds the file by a descriptor and looks again where that descriptor is. ffmpeg gets the
descriptor, never the name, where the platform can.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from ih_mcp.errors import MediaError, PathError

_NEAR_MISSES = 3
_MAX_NAMED = 200
_MAX_SCANNED = 2_000  # entries of a folder looked at for near misses
_HOW_TO_ALLOW = "Set IH_MCP_MEDIA_DIRS to the folders that may be read, or move the file into one."


def admit(path: str, *, allowed: Sequence[Path]) -> Path:
    """The file `path` names, absolute and free of links, if it may be read.

    Touches the disk: call it in a thread.

    Args:
        path: As the caller wrote it; `~` and relative paths are taken from the first folder.
        allowed: Folders whose files, at any depth, may be read.

    Raises:
        PathError: `path_not_allowed`, `file_not_found`, `not_a_file` or `empty_file`.
    """
    folders = [folder.resolve() for folder in allowed]
    resolved = _resolve(path, folders)
    if not _is_inside(resolved, folders):
        raise _not_allowed(path, folders)
    _check(_named(path), _status(path, resolved))
    return resolved


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is held open."""

    url: str
    """How ffmpeg is told of it: always with the protocol, so no name is taken for another."""
    descriptors: tuple[int, ...]
    """What the process has to inherit for it."""
    size: int
    descriptor: int
    """Open for reading as long as it is held."""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Source]:
    """Hold an admitted file open while ffmpeg reads it.

    Args:
        path: As `admit` gave it.

    Raises:
        PathError: It is not the admitted file any more.
    """
    with anyio.CancelScope(shield=True):  # a descriptor nobody knows of would stay open
        descriptor, source = await anyio.to_thread.run_sync(_hold, path)
    try:
        yield source
    finally:
        os.close(descriptor)


def read(path: Path, *, max_bytes: int) -> bytes:
    """All bytes of an admitted file, as `opened` finds it; touches the disk.

    Raises:
        PathError: It is not the admitted file any more.
        MediaError: It is larger than `max_bytes`; nothing of that size is read.
    """
    descriptor, source = _hold(path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(source.size + 1) if source.size <= max_bytes else b""  # no larger buffer
        if len(data) > source.size:  # it has grown meanwhile
            data += file.read(max_bytes - source.size)
    size = max(source.size, len(data))  # it may have grown meanwhile
    if size > max_bytes:
        raise MediaError(
            f"{_named(path.name)} has {size:_} bytes; a segment may have {max_bytes:_}",
            code="segment_too_large",
            help="Cut shorter segments; 1 to 3 s of video each is good. Nothing was sent.",
            facts={"bytes": size, "max_bytes": max_bytes},
        )
    return data


def _hold(path: Path) -> tuple[int, Source]:
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        _check(_named(path.name), status)
        if _place(descriptor, path) != path:
            raise PathError(
                f"{_named(path.name)} is not where it was when it was allowed",
                help="Give the path of the file itself, not of a link to it.",
            )
        return descriptor, _source(path, descriptor, status.st_size)
    except BaseException:
        os.close(descriptor)
        raise


def _resolve(path: str, folders: Sequence[Path]) -> Path:
    base = folders[0] if folders else Path("/")
    try:
        if "\0" in path or not path.strip():
            raise ValueError(path)
        return (base / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as exc:
        raise _no_path(path) from exc


def _is_inside(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _status(path: str, resolved: Path) -> os.stat_result:
    try:
        return resolved.lstat()
    except FileNotFoundError as exc:
        near = _near_misses(resolved)
        raise PathError(
            f"there is no file {_named(path)}",
            help=f"Did you mean {' or '.join(near)}?" if near else "Check the name and its folder.",
            code="file_not_found",
            facts={"near": near},
        ) from exc
    except OSError as exc:
        raise _no_path(path) from exc


def _named(path: str) -> str:
    """As the caller wrote it, of a length and in characters that do no harm in a text."""
    return ascii(path if len(path) <= _MAX_NAMED else f"{path[:_MAX_NAMED]}…")


def _no_path(path: str) -> PathError:
    return PathError(
        f"{_named(path)} is not a path that can be read",
        help="Give the path of a file.",
        code="not_a_file",
    )


def _check(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PathError(
            f"{name} is not a regular file",
            help="Give a media file; folders, devices and pipes are not read.",
            code="not_a_file",
        )
    if not status.st_size:
        raise PathError(
            f"{name} is empty",
            help="If it is still being written, wait until it has media.",
            code="empty_file",
        )


def _near_misses(path: Path) -> list[str]:
    """Names like it in the same folder, which is inside an allowed one like the path itself."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_SCANNED), strict=False)]
    except OSError:
        return []
    return difflib.get_close_matches(path.name, names, n=_NEAR_MISSES)


def _not_allowed(path: str, folders: Sequence[Path]) -> PathError:
    named = ", ".join(map(str, folders)) or "none"
    return PathError(
        f"{_named(path)} is outside the allowed folders ({named})",
        help=_HOW_TO_ALLOW,
        code="path_not_allowed",
        facts={"allowed": [str(folder) for folder in folders]},
    )


def _open(path: Path) -> int:
    """Without following a last link, and without waiting for the other end of a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags)
    except FileNotFoundError as exc:
        raise PathError(
            f"there is no file {_named(path.name)}", help="It was removed.", code="file_not_found"
        ) from exc
    except OSError as exc:
        raise PathError(
            f"{_named(path.name)} cannot be opened: {exc.strerror}",
            help="Check its permissions, and that the path is of the file itself.",
            code="not_a_file",
        ) from exc


def _place(descriptor: int, path: Path) -> Path:
    """Where the open file is; asked of the descriptor where the system can tell."""
    told = Path("/proc/self/fd", str(descriptor))
    return told.readlink() if told.exists() else path.resolve()


def _source(path: Path, descriptor: int, size: int) -> Source:
    if os.name == "posix":  # a name of the descriptor: a later change of the path is not seen
        return Source(f"file:/dev/fd/{descriptor}", (descriptor,), size, descriptor)
    return Source(f"file:{path}", (), size, descriptor)  # pragma: no cover - Windows
