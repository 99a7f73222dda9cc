"""Guards the capture page: whose page asks, under which name, and what browsers may do.

A page of another site, or a name that was rebound to this machine, must not reach a camera page.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from ih_mcp.net.origin_guard import OriginGuard


def guard_page(app: ASGIApp, origins: Collection[str]) -> OriginGuard:
    """Let through requests to one of our origins, and add headers that restrict the page.

    Args:
        origins: As browsers write them, such as `http://127.0.0.1:8123`.
    """
    hosts = frozenset(urlsplit(origin).netloc for origin in origins)
    return OriginGuard(
        app,
        allows_host=hosts.__contains__,
        allows_origin=frozenset(origins).__contains__,
        requires_origin=True,
        headers=_headers(origins),
    )


def _headers(origins: Collection[str]) -> list[tuple[str, str]]:
    sockets = " ".join(origin.replace("http", "ws", 1) for origin in origins)
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src blob:",  # what was recorded here, or a video that the person opens
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
