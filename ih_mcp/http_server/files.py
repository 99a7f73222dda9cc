"""`PUT /files/{name}`: a video for `stream_file` and `analyze_file`.

A path of the caller's machine means nothing here. Files lie in the tenant's own folder, and are
removed a day after they came.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ih_mcp.errors import CallerError, MediaError, PathError
from ih_mcp.private_files import open_private

from .files_room import KEEP_SECONDS, PART, Upload, translating_disk_errors
from .tenant import Tenant

_NAME = re.compile(r"\w[\w .()+,-]{0,126}")


async def put_file(request: Request, tenant: Tenant) -> Response:
    """Keep the body as a file of this name; one that has the name already is replaced.

    Raises:
        CallerError: The name is none for a file.
        MediaError: It is empty, or the tenant's files would be larger than they may be.
    """
    return await keep_file(request, tenant, _name_of(request))


async def keep_file(request: Request, tenant: Tenant, name: str) -> Response:
    """Keep the body as a file of the tenant.

    Raises:
        MediaError: As `put_file`, or the disk is full.
        JournalError: The disk fails.
    """
    path = tenant.files / name
    part = tenant.files / f"{PART[0]}{secrets.token_hex(4)}{PART[1]}"
    with translating_disk_errors():
        async with tenant.room.upload() as upload:
            await _keep(request, tenant, upload, part, path)
    then = f'stream_file(path="{path.name}") or analyze_file(path="{path.name}")'
    kept = {"path": path.name, "bytes": upload.size, "kept_for_s": KEEP_SECONDS, "next": then}
    return JSONResponse({"ih_mcp": kept}, status_code=201)


async def _keep(request: Request, tenant: Tenant, upload: Upload, part: Path, path: Path) -> None:
    """Write the body to `part`, then give it its name."""
    try:
        await _write_body(request, part, partial(tenant.room.add_bytes, upload))
        await tenant.room.finish(upload, part, path)
    finally:
        with suppress(FileNotFoundError):
            await to_thread.run_sync(part.unlink)


async def remove_file(request: Request, tenant: Tenant) -> Response:
    """Remove a file.

    Raises:
        PathError: There is none of this name.
        JournalError: The disk fails.
    """
    path = tenant.files / _name_of(request)
    with translating_disk_errors():
        try:
            await to_thread.run_sync(path.unlink)
        except FileNotFoundError:
            raise PathError(f"there is no file {path.name}", code="file_not_found") from None
    return JSONResponse({"ih_mcp": {"path": path.name, "removed": True}})


async def _write_body(request: Request, part: Path, add_bytes: Callable[[int], None]) -> None:
    size = 0
    file = await to_thread.run_sync(_create, part)
    with file:
        async for piece in request.stream():
            size += len(piece)
            add_bytes(len(piece))
            await to_thread.run_sync(file.write, piece)
    if not size:
        raise MediaError("the file is empty", code="empty_file", help="Send its bytes as the body.")


def _create(part: Path) -> BinaryIO:
    return open(part, "xb", opener=open_private)


def _name_of(request: Request) -> str:
    return require_file_name(request.scope["path"].removeprefix("/files/"))


def require_file_name(name: str) -> str:
    """The name, if a file may have it.

    Raises:
        CallerError: It may not: it could leave the folder, or no page or shell could show it.
    """
    if not _NAME.fullmatch(name):
        raise CallerError(
            "this is no name for a file here",
            help="Use letters, digits and _ . - ( ) + , and blanks, at most 127, such as talk.mp4.",
        )
    return name
