"""The admin address: `/metrics`, for machines of the operator alone."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ih_mcp import observer
from ih_mcp.net.listen import serve_app, url_of
from ih_mcp.net.origin_guard import OriginGuard

from .limits import CallerLimits
from .metrics import Metrics
from .tenants import Tenants


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
        }
        # it reads the process's own figures from files
        text = await to_thread.run_sync(metrics.render, states, gauges)
        return Response(text, media_type=metrics.content_type)

    app = OriginGuard(  # no page of a browser has business here
        Starlette(routes=[Route("/metrics", show_metrics)]),
        allows_host=lambda _: True,
        allows_origin=lambda _: False,
    )
    async with serve_app(app, listener, max_message_bytes=1 << 16):
        with observer.observing(metrics):
            yield url_of(listener)
