"""Run the page's server on this machine, in the caller's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskStatus

from ih_mcp.app.minutes import ConsentChannel, SilentChannel
from ih_mcp.app.runtime import Runtime, StreamOptions
from ih_mcp.errors import ConfigurationError
from ih_mcp.journal import Journal
from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.net.server_websocket import KeyedWebSocket
from ih_mcp.streams.config import StreamConfig
from ih_mcp.streams.registry import Registry
from ih_mcp.streams.stream import Stream

from .origin_guard import guard_page
from .page_server import PageServer
from .routes import create_app

_END_SECONDS = 0.2  # a process has little time to end, and pages come back by themselves
MAX_CHUNK_BYTES = 64 * 2**20  # above what any service takes, so that ours says why it is too large


@asynccontextmanager
async def open_page_server(
    journal: Journal,
    registry: Registry | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    origin: str | None = None,
) -> AsyncIterator[PageServer]:
    """Serve the page while this is open.

    Args:
        registry: Streams that may be recorded into; without one, streams are only looked at.
        host: The address to listen on.
        port: 0 takes a free one.
        origin: Where people reach the page, if not directly; `https://…`.

    Raises:
        ConfigurationError: It cannot listen there, or browsers would refuse the camera there.
    """
    if host not in LOOPBACK_NAMES and (origin is None or urlsplit(origin).scheme != "https"):
        raise ConfigurationError(
            f"the capture page would be open to others at {host}, without encryption",
            help="Put it behind HTTPS and set IH_MCP_CAPTURE_ORIGIN to that address; browsers "
            "give no camera to other pages.",
        )
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(open_listener(host, port))
        except OSError as exc:
            raise ConfigurationError(
                f"the capture page cannot be served at {host}:{port}: {exc.strerror}",
                help="Choose another port.",
            ) from exc
        own = url_of(listener)
        server = PageServer(journal, registry, origin or own)
        names = [own, own.replace("127.0.0.1", "localhost"), *([origin] if origin else [])]
        app = guard_page(create_app(server), names)
        async with serve_app(
            app,
            listener,
            max_message_bytes=MAX_CHUNK_BYTES,
            ws=KeyedWebSocket,
            timeout_graceful_shutdown=_END_SECONDS,
        ):
            yield server


async def page_server_of(runtime: Runtime) -> PageServer:
    """The server of a process's page, started when first asked for.

    Raises:
        ConfigurationError: It cannot be served where the settings say.
    """
    server = await runtime.start_once(_run)
    assert isinstance(server, PageServer)
    return server


def use_page_server(runtime: Runtime, server: PageServer) -> None:
    """Let `page_server_of` give this one, which is served elsewhere."""
    if runtime.settings.keys != "caller":  # a page has no key that it could be opened with
        server.open_another = partial(open_like, runtime)
    runtime.provide(_run, server)


async def _run(runtime: Runtime, *, task_status: TaskStatus[PageServer]) -> None:
    settings = runtime.settings
    async with open_page_server(
        runtime.journal,
        runtime.registry,
        host=settings.capture_host,
        port=settings.capture_port,
        origin=settings.capture_origin,
    ) as server:
        server.open_another = partial(open_like, runtime)
        task_status.started(server)
        await anyio.sleep_forever()


async def open_like(
    runtime: Runtime, plan: StreamConfig, *, channel: ConsentChannel | None = None
) -> Stream:
    """Open a stream of live video with the options of another one; raises as `start_stream`."""
    opening = StreamOptions(api=plan.dialect.name, config=plan.config, label=plan.label)
    return await runtime.start_stream(opening, channel=channel or SilentChannel())
