"""Listens, and puts the parts of the server together."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio import to_thread

from ih_mcp.capture.serve import MAX_CHUNK_BYTES
from ih_mcp.errors import ConfigurationError
from ih_mcp.journal.tickets import MemoryTickets
from ih_mcp.loopback import is_loopback
from ih_mcp.net.listen import open_listener, serve_app, url_of
from ih_mcp.net.server_websocket import KeyedWebSocket
from ih_mcp.settings import Settings

from .admin import serve_admin
from .app import TeamApp, make_app
from .bearers import Bearers
from .callers import Callers, read_callers
from .capture_pages import CapturePages
from .downloads import Downloads
from .files_room import tidy_forever
from .limits import CallerLimits, HeldBodies
from .metrics import Metrics
from .oauth import open_oauth
from .open_files import allow_connections
from .replicas import LAST_CALLS_SECONDS, Replicas, open_replicas, serve_replicas
from .tenants import open_tenants
from .traces import traced
from .upload_tickets import UploadTickets

_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - refused without callers
_LISTEN_HELP = "Set it to an address of this machine and a free port, such as 127.0.0.1:8765."


@dataclass(frozen=True, slots=True)
class TeamServer:
    """A server that listens."""

    url: str
    app: TeamApp
    admin_url: str | None = None


@asynccontextmanager
async def open_team_server(settings: Settings) -> AsyncIterator[TeamServer]:
    """Listen and serve while this block is open.

    Raises:
        ConfigurationError: It may not, or cannot, listen there; or the callers file is wrong.
    """
    split_address(settings.listen)
    callers = await to_thread.run_sync(read_configured_callers, settings)
    await to_thread.run_sync(_require_folders, settings)
    async with AsyncExitStack() as stack:
        listener = _listen(stack, settings.listen, "listen")
        cluster, admin = [
            _listen(stack, address, name) if (address := getattr(settings, name)) else None
            for name in ("cluster_listen", "admin_listen")
        ]
        metrics = await to_thread.run_sync(Metrics) if admin else None  # it reads /proc
        stack.enter_context(traced())
        replicas = await stack.enter_async_context(open_replicas(settings, cluster))
        url = settings.public_url or url_of(listener)
        app = await stack.enter_async_context(_open_app(settings, callers, replicas, url))
        await stack.enter_async_context(serve_replicas(app, settings, cluster))
        admin_url = None
        if admin and metrics:
            serving = serve_admin(admin, metrics, app.tenants, app.limits)
            admin_url = await stack.enter_async_context(serving)
        await stack.enter_async_context(_serve_callers(app, settings, listener))
        try:
            yield TeamServer(url_of(listener), app, admin_url)
        finally:
            app.drain()  # so that polls which wait are answered before their connections end


@asynccontextmanager
async def _open_app(
    settings: Settings, callers: Callers | None, replicas: Replicas, url: str
) -> AsyncIterator[TeamApp]:
    """The application, with what it needs of others open."""
    limits = CallerLimits(
        max_calls_per_minute=settings.max_calls_per_minute,
        max_waiting_polls=settings.max_waiting_polls,
    )
    bodies = HeldBodies(
        max_bytes=settings.max_queued_bytes,
        max_body_bytes=max(settings.max_segment_bytes, 2 * settings.max_call_bytes),
    )
    pages = CapturePages(url, replicas.pages)
    store = replicas.engine.tickets if replicas.engine else MemoryTickets()
    tickets, downloads = UploadTickets(store), Downloads(url, store)

    async def issue_ticket(tenant: str, file_name: str) -> str:
        return f"{url}/uploads/{await tickets.issue(tenant, file_name)}"

    async with (
        open_tenants(
            settings, issue_ticket, pages, limits, replicas.engine, replicas.forwarder
        ) as tenants,
        open_oauth(settings, url) as oauth,
    ):
        bearers = Bearers(callers, oauth)
        yield TeamApp(tenants, tickets, downloads, bearers, pages, limits, bodies)


@asynccontextmanager
async def _serve_callers(
    app: TeamApp, settings: Settings, listener: socket.socket
) -> AsyncIterator[None]:
    """Answer callers, and remove files that are too old, while this is open."""
    host, _ = split_address(settings.listen)
    own_hosts = frozenset[str]() if host in _EVERY_ADDRESS else frozenset({host})
    guarded = make_app(app, own_hosts=own_hosts, public_url=settings.public_url)
    async with (
        serve_app(
            guarded,
            listener,
            max_message_bytes=MAX_CHUNK_BYTES,
            max_connections=allow_connections(),
            ws=KeyedWebSocket,
            timeout_graceful_shutdown=LAST_CALLS_SECONDS,
        ),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tidy_forever, settings)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


def _listen(stack: AsyncExitStack, address: str, setting: str) -> socket.socket:
    try:
        return stack.enter_context(open_listener(*split_address(address, setting)))
    except OSError as exc:
        raise ConfigurationError(
            f"the server cannot listen on {address} (IH_MCP_{setting.upper()}): {exc.strerror}",
            help=_LISTEN_HELP,
        ) from None


def _require_folders(settings: Settings) -> None:
    """Make the folders that all tenants have theirs in; blocks.

    Raises:
        ConfigurationError: One cannot be used, which the first call would find out.
    """
    folders = {"IH_MCP_DATA_DIR": settings.data_dir, "IH_MCP_UPLOADS": settings.uploads}
    for name, folder in folders.items():
        if folder is None:
            continue
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            reason = "" if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written to"
        except OSError as exc:
            reason = exc.strerror or str(exc)
        if reason:
            raise ConfigurationError(
                f"the folder {folder} cannot be used: {reason}",
                help=f"Set {name} to a folder that this server may write to.",
            )


def read_configured_callers(settings: Settings) -> Callers | None:
    """The callers of the file; None where none is set, and none is needed. Blocks.

    Raises:
        ConfigurationError: The file is wrong, or there is none and others could call.
    """
    if settings.callers:
        return read_callers(settings.callers, needs_caller=settings.issuer is None)
    host, _ = split_address(settings.listen)
    is_reachable = not is_loopback(host) or host in _EVERY_ADDRESS or settings.public_url
    if is_reachable and settings.issuer is None:
        raise ConfigurationError(
            "beyond this machine the server needs callers, else anybody could use its key",
            help="Make one with `ih-mcp caller add TENANT NAME --callers callers.toml`, and set "
            "IH_MCP_CALLERS to that file; or set IH_MCP_ISSUER, if you have an OAuth issuer.",
        )
    return None


def split_address(address: str, setting: str = "listen") -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPV6]:PORT`.

    Args:
        setting: Whose value it is; the error names it.

    Raises:
        ConfigurationError: It is neither.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        raise ConfigurationError(
            f"{address!r} is no address to listen on (IH_MCP_{setting.upper()})", help=_LISTEN_HELP
        )
    return host, int(port)
