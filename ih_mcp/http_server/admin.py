"""The admin address: `/metrics`, for machines of the operator alone."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ih_mcp import observer
from ih_mcp.loopback import LOOPBACK_NAMES, is_loopback
from ih_mcp.net.listen import serve_app, url_of
from ih_mcp.net.origin_guard import OriginGuard

from .limits import CallerLimits
from .metrics import Metrics
from .tenants import Tenants


def guard_from_pages(app: ASGIApp, listener: socket.socket) -> ASGIApp:
    """An application that no page of a browser has business with.

    Only this machine reaches a loopback address, and by no other name than its own: another one is
    of a page (DNS rebinding). Elsewhere it has any name that the operator gave it.
    """
    address = listener.getsockname()[0]
    is_local = is_loopback(address) and not ip_address(address).is_unspecified
    hosts = LOOPBACK_NAMES | {address}

    def allows_host(host: str) -> bool:
        return not is_local or urlsplit(f"//{host}").hostname in hosts

    return OriginGuard(app, allows_host=allows_host, allows_origin=lambda _: False)


@asynccontextmanager
async def serve_admin(
    listener: socket.socket, metrics: Metrics, tenants: Tenants, limits: CallerLimits
) -> AsyncIterator[str]:
    """Serve the admin address while this is open, and count; gives its URL."""

    async def show_metrics(_: Request) -> Response:
        states, waiting_bytes = Counter[str](), 0
        for tenant in tenants.all_open:
            live = tenant.runtime.registry.live_streams
            states.update(stream.state.value for stream in live)
            waiting_bytes += sum(stream.log.waiting_bytes for stream in live)
        gauges = {
            "ih_journal_waiting_bytes": waiting_bytes,
            "ih_waiting_polls": limits.waiting_polls,
            "ih_lease_seconds_left": tenants.lease_seconds_left,
            "ih_journal_copy_away": float(tenants.copy_is_away),
        }
        # it reads the process's own figures from files
        text = await to_thread.run_sync(metrics.render, states, gauges)
        return Response(text, media_type=metrics.content_type)

    app = guard_from_pages(Starlette(routes=[Route("/metrics", show_metrics)]), listener)
    async with serve_app(app, listener, max_message_bytes=1 << 16):
        with observer.observing(metrics):
            yield url_of(listener)
