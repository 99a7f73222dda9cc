"""How much room the files of a tenant have, over all uploads that run at once."""

from __future__ import annotations

import errno
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from ih_mcp.errors import JournalError, MediaError
from ih_mcp.private_files import delete_left_behind
from ih_mcp.settings import Settings

PART = (".ih-mcp-", ".part")
"""How the names of unfinished uploads begin and end."""
KEEP_SECONDS = 86_400.0
_TIDY_SECONDS = 3600.0


@contextmanager
def translating_disk_errors() -> Iterator[None]:
    """Let the server's disk fail with an answer.

    Raises:
        MediaError: It is full (`no_space`).
        JournalError: It fails otherwise.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise MediaError(
                "the disk of the server is full",
                code="no_space",
                retry=True,
                help="Try again later. Whoever runs this server looks after its disk.",
            ) from exc
        reason = exc.strerror or type(exc).__name__
        raise JournalError(
            f"the server cannot use the folder of this tenant: {reason}",
            help="Whoever runs this server looks after its disk; what is kept stays.",
        ) from exc


@dataclass(eq=False)
class Upload:
    """An upload that runs."""

    size: int = 0


class FilesRoom:
    """The room of one tenant."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._kept_bytes = 0
        self._uploads: set[Upload] = set()
        self._counting = anyio.Lock()
        """Held while files are counted, and while one gets its name."""

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[Upload]:
        """Count a new upload while the block is open; files that are too old go."""
        async with self._counting:
            self._kept_bytes = await to_thread.run_sync(_tidy, self._folder)
        upload = Upload()
        self._uploads.add(upload)
        try:
            yield upload
        finally:
            self._uploads.discard(upload)

    def add_bytes(self, upload: Upload, size: int) -> None:
        """Add so many bytes to an upload.

        Raises:
            MediaError: The files would be larger than they may be, with all that is on its way.
        """
        upload.size += size
        coming = sum(each.size for each in self._uploads)
        if self._kept_bytes + coming > self._most_bytes:
            raise MediaError(
                f"the files would have more than {self._most_bytes:_} bytes together",
                code="no_space",
                help="Remove one with DELETE /files/{name}; IH_MCP_MAX_FILES_BYTES is the bound, "
                "and files are removed after a day.",
            )

    async def finish(self, upload: Upload, part: Path, path: Path) -> None:
        """Give an upload its name; from here on it is one of the files."""
        async with self._counting:
            await to_thread.run_sync(partial(part.replace, path))
            self._uploads.discard(upload)
            self._kept_bytes += upload.size


async def tidy_forever(settings: Settings) -> None:
    """Remove each hour what is too old, also of tenants that have not called since the start."""
    while True:
        await to_thread.run_sync(remove_old_files, settings)
        await anyio.sleep(_TIDY_SECONDS)


def remove_old_files(settings: Settings) -> None:
    """Remove the files of all tenants that are too old; blocks."""
    folders = [settings.data_dir / "files", *settings.data_dir.glob("tenants/*/files")]
    if settings.uploads:
        folders += [settings.uploads, *settings.uploads.glob("*/")]
    for folder in folders:
        with suppress(OSError):
            _tidy(folder)


def _tidy(folder: Path) -> int:
    """Remove what is too old; gives the bytes of the files that stay."""
    delete_left_behind(folder, *PART)
    size, before = 0, time.time() - KEEP_SECONDS
    for path in folder.iterdir():
        with suppress(OSError):
            status = path.lstat()
            if status.st_mtime < before:
                path.unlink()
            elif not path.name.startswith(PART[0]):
                size += status.st_size
    return size
