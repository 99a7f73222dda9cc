"""What every request meets first: whose page asks, under which name, and what browsers may do.

A page of another site, or a name that was rebound to this machine, must not reach a camera page:
Host and Origin are compared with the ones we gave out, on every address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STARTS = {"http.response.start", "websocket.http.response.start"}


class Gate:
    """Lets through what was asked under one of our origins, and adds the headers of safety."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        """Guard `app`.

        Args:
            origins: As browsers write them, such as `http://127.0.0.1:8123`.
        """
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in origins)
        self._headers = _headers(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in self._headers:
                    headers[name] = value
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("This name is not served here.\n", status_code=421)
        origin = headers.get("origin")
        must_tell = scope["type"] == "websocket" or scope.get("method") == "POST"
        if (origin is None and must_tell) or (origin is not None and origin not in self._origins):
            return PlainTextResponse("Another page may not ask this one.\n", status_code=403)
        return None


def _headers(origins: Collection[str]) -> list[tuple[str, str]]:
    sockets = " ".join(origin.replace("http", "ws", 1) for origin in origins)
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        f"connect-src 'self' {sockets}",  # Safari 15 does not count sockets as 'self'
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    return [
        ("Content-Security-Policy", "; ".join(policy)),
        ("Permissions-Policy", "camera=(self), microphone=(self), geolocation=()"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ]
