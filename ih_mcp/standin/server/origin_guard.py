"""What every request to a stand-in on this machine meets first: under which name it was asked.

A page whose name was rebound to this machine (DNS rebinding) could else read what is recorded
here. The API's own paths answer pages of any origin, as the service does, except where the
stand-in belongs to one process; the stand-in's own answer pages of this machine alone.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OWN_PATHS = "/standin/"


class Gate:
    """Lets through what was asked under a name of this machine."""

    def __init__(self, app: ASGIApp, *, is_private: bool = False) -> None:
        """Guard `app`.

        Args:
            is_private: Whether pages of other origins may ask for nothing at all.
        """
        self._app = app
        self._guarded = "/" if is_private else _OWN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (_refusal(scope, self._guarded) or self._app)(scope, receive, send)


def _refusal(scope: Scope, guarded: str) -> ASGIApp | None:
    headers = Headers(scope=scope)
    if _name(f"//{headers.get('host', '')}") not in _LOOPBACK:
        return PlainTextResponse("This name is not served here.\n", status_code=421)
    origin = headers.get("origin")
    is_guarded = scope["path"].startswith(guarded)
    if is_guarded and origin is not None and _name(origin) not in _LOOPBACK:
        return PlainTextResponse("Another page may not ask this one.\n", status_code=403)
    return None


def _name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        is_odd = "@" in parts.netloc or parts.port == 0
    except ValueError:  # no number for a port, or a torn IPv6 address
        return None
    return None if is_odd else parts.hostname
