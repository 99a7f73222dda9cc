"""The capture pages of all tenants, under the address at which callers reach this server.

Each tenant's page has an address with a random id, so that neither the address nor the answer to a
guessed one says which tenants there are. Whoever opens a page needs a ticket of that tenant. A page
is of one replica; the others pass on to it what a browser asks them.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ih_mcp.app.runtime import Runtime
from ih_mcp.capture.origin_guard import guard_page
from ih_mcp.capture.page_connection import UNKNOWN_KEY
from ih_mcp.capture.page_server import PageServer
from ih_mcp.capture.routes import create_app
from ih_mcp.capture.serve import use_page_server
from ih_mcp.loopback import LOOPBACK_NAMES

from .pages_elsewhere import MARK_CHARS, PagesElsewhere

_PREFIX = "/live/"
_UNKNOWN = "This link is not complete, or the server was started anew. Ask for a new link.\n"


class CapturePages:
    """Serves the page of each tenant that is open."""

    def __init__(self, url: str, elsewhere: PagesElsewhere | None = None) -> None:
        """Serve pages.

        Args:
            url: Where callers reach this server.
            elsewhere: Passes on what is asked of the pages of other replicas, where there are any.
        """
        self._url = url
        self._elsewhere = elsewhere
        self._apps: dict[str, ASGIApp] = {}

    @property
    def can_record(self) -> bool:
        """Whether browsers give a camera to a page there: over TLS, or on this machine."""
        parts = urlsplit(self._url)
        return parts.scheme == "https" or parts.hostname in LOOPBACK_NAMES

    def open(self, runtime: Runtime) -> None:
        """Serve the page of a tenant's streams, and let its tool give links to it."""
        mark = self._elsewhere.mark if self._elsewhere else ""
        path = f"{_PREFIX}{mark}{secrets.token_urlsafe(9)}"
        server = PageServer(runtime.journal, runtime.registry, f"{self._url}{path}")
        origins = [self._url, self._url.replace("127.0.0.1", "localhost")]
        self._apps[path] = guard_page(create_app(server), origins)
        use_page_server(runtime, server)

    def find(self, path: str) -> ASGIApp | None:
        """The application of a page's path; None where the path is of no page, known or not."""
        if not path.startswith(_PREFIX):
            return None
        return self.find_here(path) or self._pass_on

    def find_here(self, path: str) -> ASGIApp | None:
        """The application of a page that this replica has; None where it has none of that path."""
        root = "/".join(path.split("/")[:3])
        app = self._apps.get(root)
        return _mounted_at(root, app) if app else None

    async def answer_passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What a browser asked at another replica."""
        await (self.find_here(scope["path"]) or _refuse_unknown)(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        mark = scope["path"].removeprefix(_PREFIX)[:MARK_CHARS]
        address = await self._elsewhere.find(mark) if self._elsewhere else None
        if self._elsewhere and address:
            await self._elsewhere.answer(address, scope, receive, send)
        else:
            await _refuse_unknown(scope, receive, send)


def _mounted_at(root: str, app: ASGIApp) -> ASGIApp:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root}, receive, send)

    return run


async def _refuse_unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """A page of before the start asks again and again unless its key is refused."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.close(UNKNOWN_KEY, "this page is not known here any more")
    else:
        await PlainTextResponse(_UNKNOWN, status_code=404)(scope, receive, send)
