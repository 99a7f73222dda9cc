"""Serves the review page of one stream, with a video beside it, to this machine."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.net.origin_guard import OriginGuard

VIDEO_PATH = "video"
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]


@asynccontextmanager
async def open_review_server(page: str, video: Path, mime_type: str) -> AsyncIterator[str]:
    """Serve a page and its video on loopback while this is open; gives the page's address.

    The address holds a secret: other users of this machine could ask for it too.

    Raises:
        OSError: No port can be had.
    """
    secret = secrets.token_urlsafe(24)

    async def show_page(_: Request) -> Response:
        return HTMLResponse(page)

    async def show_video(_: Request) -> Response:
        return FileResponse(video, media_type=mime_type)  # answers requests for ranges too

    app = Starlette(
        routes=[Route(f"/{secret}/", show_page), Route(f"/{secret}/{VIDEO_PATH}", show_video)]
    )
    with open_listener("127.0.0.1", 0) as listener:
        own = url_of(listener)
        hosts = frozenset(
            own.replace("127.0.0.1", name).partition("//")[2] for name in LOOPBACK_NAMES
        )
        guarded = OriginGuard(
            app,
            allows_host=hosts.__contains__,
            allows_origin=lambda origin: origin.partition("//")[2] in hosts,
            headers=_HEADERS,
        )
        async with serve_app(guarded, listener, max_message_bytes=1 << 16):
            yield f"{own}/{secret}/"
