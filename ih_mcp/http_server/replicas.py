"""What a server needs to be one of several replicas: the database they share, and their address."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ih_mcp.capture.serve import MAX_CHUNK_BYTES
from ih_mcp.errors import ConfigurationError
from ih_mcp.journal import load_open_engine
from ih_mcp.net.listen import serve_app, url_of
from ih_mcp.net.server_websocket import KeyedWebSocket
from ih_mcp.redaction import register_secret
from ih_mcp.settings import Settings

from .admin import guard_from_pages
from .app import TeamApp
from .forward import Forwarder, open_client
from .pages_elsewhere import PagesElsewhere

if TYPE_CHECKING:  # loads a driver that few need
    from ih_mcp.journal.postgres import PostgresEngine

_MIN_SECRET_CHARS = 32
LAST_CALLS_SECONDS = 30
"""How long calls that are under way may take when the server ends; `end_stream` takes 25 s at most,
and polls that wait are answered at once."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """What this replica shares with the others. Use `open_replicas`."""

    engine: PostgresEngine | None = None
    """The database of all journals; None where each is a file."""
    forwarder: Forwarder | None = None
    """Passes calls on; None where this server is alone."""
    pages: PagesElsewhere | None = None
    """Passes on what browsers ask of the pages of others; None where this server is alone."""


@asynccontextmanager
async def open_replicas(
    settings: Settings, listener: socket.socket | None
) -> AsyncIterator[Replicas]:
    """Open the database, where there is one.

    Args:
        listener: Where other replicas call; None where none do.

    Raises:
        ConfigurationError: The database cannot be used, or a setting is missing.
    """
    secret = _require_secret(settings) if listener else b""
    if settings.journal is None:
        yield Replicas()
        return
    listen_dsn = settings.journal_listen and settings.journal_listen.get_secret_value()
    async with AsyncExitStack() as stack:
        opening = load_open_engine()(
            settings.journal.get_secret_value(),
            listen_dsn=listen_dsn,
            address=_address_of(settings, listener) if listener else "",
        )
        engine = await stack.enter_async_context(opening)
        if listener is None:
            yield Replicas(engine)
        else:
            http = await stack.enter_async_context(open_client())
            forwarder = Forwarder(engine, secret, http)
            yield Replicas(engine, forwarder, PagesElsewhere(engine, secret, http))


@asynccontextmanager
async def serve_replicas(
    app: TeamApp, settings: Settings, listener: socket.socket | None
) -> AsyncIterator[None]:
    """Answer what other replicas pass on, while this is open."""
    if listener is None:
        yield
        return
    answering = app.cluster_app(
        _require_secret(settings),
        max_segment_bytes=settings.max_segment_bytes,
        max_queued_bytes=settings.max_queued_bytes,
    )
    async with serve_app(
        guard_from_pages(answering, listener),
        listener,
        max_message_bytes=MAX_CHUNK_BYTES,
        ws=KeyedWebSocket,
        timeout_graceful_shutdown=LAST_CALLS_SECONDS,
    ):
        yield


def _address_of(settings: Settings, listener: socket.socket) -> str:
    """Where other replicas reach this one."""
    if settings.address:
        return settings.address
    host = listener.getsockname()[0]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared only
        raise ConfigurationError(
            "other replicas cannot know the address of this one, which listens on every address",
            help="Set IH_MCP_ADDRESS to where they reach it, such as http://10.0.0.7:8766.",
        )
    return url_of(listener)


def _require_secret(settings: Settings) -> bytes:
    """The secret that replicas sign calls with.

    Raises:
        ConfigurationError: There is none, it is too short, or there is no database to share.
    """
    secret = settings.cluster_secret.get_secret_value() if settings.cluster_secret else ""
    if len(secret) < _MIN_SECRET_CHARS:
        raise ConfigurationError(
            f"replicas need a secret of {_MIN_SECRET_CHARS} characters or more, by which they know "
            "each other",
            help="Make one with `openssl rand -hex 32`, and set IH_MCP_CLUSTER_SECRET to it in "
            "every replica.",
        )
    if settings.journal is None:
        raise ConfigurationError(
            "replicas need a database that they share",
            help="Set IH_MCP_JOURNAL to its address, or leave IH_MCP_CLUSTER_LISTEN out.",
        )
    register_secret(secret)
    return secret.encode()
