"""Which files may be read: regular ones inside the allowed folders, links resolved.

Two steps, since a name can come to mean another file between them: `find` decides by name, first
by its letters and then by the disk, and `opened` holds the file by a descriptor that no link led
to. ffmpeg gets the descriptor, never the name, where the platform can.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from ih_mcp.errors import MediaError
from ih_mcp.files import open_file, show_name

from .containers.container import is_text
from .file_search import Admitted, beneath, find

__all__ = [
    "Admitted",
    "OpenedFile",
    "admit",
    "beneath",
    "find",
    "opened",
    "read_admitted",
    "require_no_text",
]


def admit(path: str, *, allowed: Sequence[Path] | None) -> Path:
    """The path of the file that `find` gives."""
    return find(path, allowed=allowed).path


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that is held open."""

    url: str
    """Its name for ffmpeg, always with the protocol, so that no name is taken for another."""
    descriptors: tuple[int, ...]
    """What the process has to inherit for it."""
    size: int
    descriptor: int
    """Open for reading as long as it is held."""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[OpenedFile]:
    """Hold an admitted file open while ffmpeg reads it.

    Args:
        path: As `admit` gave it.

    Raises:
        PathError: It is not the admitted file any more.
    """
    with anyio.CancelScope(shield=True):  # a descriptor nobody knows of would stay open
        descriptor, status = await anyio.to_thread.run_sync(open_file, path)
    try:
        yield _source(path, descriptor, status.st_size)
    finally:
        os.close(descriptor)


def read_admitted(path: Path, *, max_bytes: int) -> bytes:
    """All bytes of an admitted file, as `opened` finds it; touches the disk.

    Raises:
        PathError: It is not the admitted file any more.
        MediaError: It is larger than `max_bytes`; nothing of that size is read.
    """
    descriptor, status = open_file(path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(status.st_size + 1) if status.st_size <= max_bytes else b""
        if len(data) > status.st_size:  # it has grown meanwhile
            data += file.read(max_bytes - status.st_size)
    size = max(status.st_size, len(data))
    if size > max_bytes:
        raise MediaError(
            f"{show_name(path.name)} has {size:_} bytes; a segment may have {max_bytes:_}",
            code="segment_too_large",
            help="Cut shorter segments; 1 to 3 s of video each is good. Nothing was sent.",
            facts={"bytes": size, "max_bytes": max_bytes},
        )
    return data


def require_no_text(name: str, data: bytes) -> None:
    """Refuse to send a file that people write, such as a list of keys, as a segment.

    Raises:
        MediaError: It is a text.
    """
    if is_text(data):
        raise MediaError(
            f"{show_name(name)} is a text, not a segment of sound or video",
            code="not_media",
            help="Give the path of a file that the recorder wrote. Nothing was sent.",
        )


def _source(path: Path, descriptor: int, size: int) -> OpenedFile:
    if os.name == "posix":  # a name of the descriptor: a later change of the path is not seen
        return OpenedFile(f"file:/dev/fd/{descriptor}", (descriptor,), size, descriptor)
    return OpenedFile(f"file:{path}", (), size, descriptor)  # pragma: no cover - Windows
