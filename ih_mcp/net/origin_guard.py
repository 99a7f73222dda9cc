"""Refuses requests that a page of another site makes to a server on this machine.

A browser sends requests for any page. Its `Host` header gives away a name that was rebound to this
machine (DNS rebinding), and its `Origin` header the page that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STARTS = {"http.response.start", "websocket.http.response.start"}


class OriginGuard:
    """Checks `Host` and `Origin` before the application sees a request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allows_host: Callable[[str], bool],
        allows_origin: Callable[[str], bool],
        origin_paths: str = "/",
        requires_origin: bool = False,
        probe_paths: Collection[str] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Guard `app`.

        Args:
            allows_host: Decides by the `Host` header, in lower case; empty where there is none.
            allows_origin: Decides by the `Origin` header.
            origin_paths: Where a path begins with this, its origin is checked.
            requires_origin: Whether a WebSocket or a POST without an origin is refused.
            probe_paths: Answered under any IP address too: what probes a server may know no name
                of it, and a name that was rebound is none.
            headers: Added to every answer, over those of the application.
        """
        self._app = app
        self._allows_host, self._allows_origin = allows_host, allows_origin
        self._origin_paths, self._requires_origin = origin_paths, requires_origin
        self._probe_paths = probe_paths
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                MutableHeaders(scope=message).update(dict(self._headers))
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        host = Headers(scope=scope).get("host", "").lower()
        is_probe = scope["path"] in self._probe_paths and _is_address(host)
        if not (is_probe or self._allows_host(host)):
            return PlainTextResponse("This name is not served here.\n", status_code=421)
        if scope["path"].startswith(self._origin_paths) and not self._is_from_our_page(scope):
            return PlainTextResponse("Another page may not ask this one.\n", status_code=403)
        return None

    def _is_from_our_page(self, scope: Scope) -> bool:
        origin = Headers(scope=scope).get("origin")
        if origin is not None:
            return self._allows_origin(origin)
        changes_state = scope["type"] == "websocket" or scope.get("method") == "POST"
        return not (self._requires_origin and changes_state)


def _is_address(host: str) -> bool:
    """Whether a `Host` header is an IP address, with or without a port."""
    try:
        return "@" not in host and bool(ip_address(urlsplit(f"//{host}").hostname or ""))
    except ValueError:
        return False
