"""The page and its WebSocket as an ASGI application."""

from __future__ import annotations

from importlib.resources import files

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from ih_mcp.errors import CallerError
from ih_mcp.timeline.html import empty_page

from .page_connection import PageConnection
from .page_server import PageServer

_STATIC = {  # every file there is, so that no path is ever looked up by what a request says
    "page.html": ("capture", "text/html; charset=utf-8"),
    "page.css": ("capture", "text/css; charset=utf-8"),
    "page.js": ("capture", "text/javascript; charset=utf-8"),
    "link.js": ("capture", "text/javascript; charset=utf-8"),
    "recorder.js": ("capture", "text/javascript; charset=utf-8"),
    "recording_copy.js": ("capture", "text/javascript; charset=utf-8"),
    "sender.js": ("capture", "text/javascript; charset=utf-8"),
    "timeline.css": ("timeline", "text/css; charset=utf-8"),
    "timeline.js": ("timeline", "text/javascript; charset=utf-8"),
    "zoom.js": ("timeline", "text/javascript; charset=utf-8"),
    "review.css": ("timeline", "text/css; charset=utf-8"),
    "review.js": ("timeline", "text/javascript; charset=utf-8"),
    "save.js": ("timeline", "text/javascript; charset=utf-8"),
    "icon.svg": ("capture", "image/svg+xml"),
}
_MAX_TICKET_BYTES = 200


def create_app(server: PageServer) -> Starlette:
    """The page's server."""

    async def page(_: Request) -> Response:
        return await _file("page.html")

    async def empty_file(_: Request) -> Response:
        return HTMLResponse(await to_thread.run_sync(empty_page))

    async def static(request: Request) -> Response:
        return await _file(request.path_params["name"])

    async def redeem(request: Request) -> Response:
        body = b""
        async for data in request.stream():  # counted: a length that is said need not be true
            body += data
            if len(body) > _MAX_TICKET_BYTES:
                return PlainTextResponse("too long\n", status_code=413)
        ticket = body.decode("ascii", "replace")
        try:
            key = server.tickets.redeem(ticket, now=anyio.current_time())
        except CallerError as exc:
            return JSONResponse({"what": exc.what, "help": exc.help}, status_code=403)
        return JSONResponse({"key": key})

    async def live(socket: WebSocket) -> None:
        await PageConnection(socket, server).run()

    return Starlette(
        routes=[
            Route("/", page),
            Route("/static/file.html", empty_file),
            Route("/static/{name}", static),
            Route("/ticket", redeem, methods=["POST"]),
            WebSocketRoute("/live", live),
        ]
    )


async def _file(name: str) -> Response:
    found = _STATIC.get(name)
    if found is None:
        return PlainTextResponse("there is no such file\n", status_code=404)
    room, kind = found
    return Response(await to_thread.run_sync(read_static, room, name), media_type=kind)


def read_static(room: str, name: str) -> bytes:
    """A file of the page, from the package; blocks."""
    return files("ih_mcp").joinpath(room, "static", name).read_bytes()
