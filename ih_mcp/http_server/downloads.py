"""`GET /downloads/{ticket}`: a file that `render_timeline` wrote, without a key.

A model hands the address to whoever wants the file. The file lies in the data folder of the
replica that wrote it; another replica writes it anew, from the journal that they share.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import CallerError, IhMcpError, PathError
from ih_mcp.journal.tickets import Ticket, TicketStore
from ih_mcp.mcp_server.picture_tools import DOWNLOAD_SECONDS, path_of_picture, write_picture
from ih_mcp.private_files import open_private

from .files_room import translating_disk_errors
from .tenant import Tenant

_AUDIT = logging.getLogger("ih_mcp.audit")
_PIECE_BYTES = 1 << 18


class Downloads:
    """Addresses that give one file each, for `DOWNLOAD_SECONDS`, as often as they are asked.

    Args:
        url: Of this server, as callers reach it.
        store: Of this process, or of all replicas.
    """

    def __init__(self, url: str, store: TicketStore) -> None:
        self._url = url
        self._store = store

    async def issue(self, tenant: str, path: Path) -> str:
        """The address of a file in the tenant's folder of pictures; its oldest ticket may go."""
        status = await to_thread.run_sync(path.stat)
        secret = secrets.token_urlsafe(24)
        subject = f"{path.name} {status.st_mtime}"
        await self._store.add(_digest(secret), tenant, subject, DOWNLOAD_SECONDS)
        return f"{self._url}/downloads/{secret}"

    async def answer(
        self,
        request: Request,
        tenant_of: Callable[[str], Awaitable[Tenant]],
        answer_error: Callable[[IhMcpError, str], Response],
    ) -> Response:
        """The file of the ticket in the path, and a line that says who got what.

        Raises:
            CallerError: The ticket is too old, or was never issued (`unknown_download`).
        """
        ticket = await self._store.find(_digest(request.url.path.removeprefix("/downloads/")))
        if ticket is None:
            raise CallerError(
                "this address is too old, or never was one",
                code="unknown_download",
                help="Ask for another by render_timeline.",
            )
        if request.method not in {"GET", "HEAD"}:
            return Response(status_code=405, headers={"Allow": "GET, HEAD"})
        name = ticket.subject.partition(" ")[0]
        response: Response
        try:
            tenant = await tenant_of(ticket.tenant)
            with translating_disk_errors():
                response = await _open_response(tenant.runtime, ticket)
        except IhMcpError as exc:
            response = answer_error(exc, ticket.tenant)
        _AUDIT.info(
            "http tenant=%s caller='a download ticket' method=%s file=%s status=%d",
            *(ascii(word) for word in (ticket.tenant, request.method, name)),
            response.status_code,
        )
        return response


async def _open_response(runtime: Runtime, ticket: Ticket) -> Response:
    name, _, written_at = ticket.subject.partition(" ")
    path = path_of_picture(runtime, name)
    file = await to_thread.run_sync(_open, path, float(written_at))
    if file is None:
        await write_picture(runtime, name)
        file = await to_thread.run_sync(_open, path, 0.0)
    if file is None:  # removed at once by the next ones, or with its stream
        raise PathError(f"there is no file {name}", code="file_not_found")
    return _FileResponse(file, name)


def _open(path: Path, written_at: float) -> BinaryIO | None:
    """The file, unless it was removed or is older than the one that the ticket is for; blocks."""
    try:
        file = open(path, "rb", opener=open_private)  # noqa: SIM115 - the answer closes it
    except FileNotFoundError:
        return None
    if os.fstat(file.fileno()).st_mtime >= written_at:
        return file
    file.close()
    return None


class _FileResponse(Response):
    """Sends an open file as an attachment, by pieces, and closes it."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(os.fstat(file.fileno()).st_size),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Referrer-Policy": "no-referrer",
        }
        super().__init__(headers=headers, media_type="application/octet-stream")
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        with self._file:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            read = partial(self._file.read, _PIECE_BYTES)
            while scope["method"] != "HEAD" and (piece := await to_thread.run_sync(read)):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def _digest(secret: str) -> bytes:
    """Other than that of an upload's ticket, so that neither is valid as the other."""
    text = f"download {secret}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()
