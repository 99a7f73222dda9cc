"""Events for clients that subscribed to a resource, in both eras of the protocol.

Clients of the handshake era send `resources/subscribe`; from 2026-07-28 on one request,
`subscriptions/listen`, stays open as long as the client wants events. An event names the resource
exactly as it was subscribed to, and the client reads what is new by its cursor. Each watch follows
the journal like every other reader, so streams of other processes are covered, too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_REQUEST,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import UnknownStreamError, unwrap_single_error
from ih_mcp.journal import Journal
from ih_mcp.streams.ids import IdKind

from .resources import MAX_STREAMS
from .sdk import connection_of, lowlevel_server

Notify = Callable[[], Awaitable[None]]
WaitForChange = Callable[[], Awaitable[bool]]
_Request = ServerRequestContext[Runtime, Any]

_MAX_WATCHES = 1000
_GATHER_SECONDS = 0.15  # messages come in bursts: one event for one
_LIST_SECONDS = 0.5  # how often the list of streams is looked at
_MESSAGES = re.compile(r"ih://streams/([^/?]+)/messages(?:\?.*)?")
_STREAMS = re.compile(r"ih://streams(?:\?.*)?")
_STATE = "ih_mcp.subscriptions"
_LOG = logging.getLogger("ih_mcp.tools")


def add_subscriptions(server: MCPServer[Runtime], *, has_connections: bool) -> None:
    """Serve `subscriptions/listen`, and `resources/subscribe` where a client has a connection."""
    low = lowlevel_server(server)
    watches = _Watches()
    if has_connections:
        low.add_request_handler("resources/subscribe", SubscribeRequestParams, watches.subscribe)
        low.add_request_handler(
            "resources/unsubscribe", UnsubscribeRequestParams, watches.unsubscribe
        )
    low.add_request_handler(
        "subscriptions/listen", SubscriptionsListenRequestParams, watches.listen
    )


class _Watches:
    """The subscriptions of one server."""

    def __init__(self) -> None:
        self._watches = 0
        self._listed: _ListedStreams | None = None

    async def listen(
        self, ctx: _Request, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Watch the resources until the request ends."""
        bus = InMemorySubscriptionBus()
        with unwrap_single_error():
            async with anyio.create_task_group() as tasks:
                for uri in dict.fromkeys(params.notifications.resource_subscriptions or ()):
                    notify = partial(bus.publish, ResourceUpdated(uri=uri))
                    await tasks.start(self._watch, ctx.lifespan_context, uri, notify)
                handler = ListenHandler(bus)
                tasks.start_soon(_close_when_leaving, ctx.lifespan_context, handler)
                result = await handler(ctx, params)
                tasks.cancel_scope.cancel()
        return result

    async def subscribe(self, ctx: _Request, params: SubscribeRequestParams) -> EmptyResult:
        """Watch until the client unsubscribes or its connection ends."""
        connection, uri = connection_of(ctx), str(params.uri)
        scopes: dict[str, anyio.CancelScope] = connection.state.setdefault(_STATE, {})
        if uri not in scopes:
            notify = partial(ctx.session.send_resource_updated, uri)
            runtime = ctx.lifespan_context
            scope = await runtime.start_background(partial(self._watch, runtime, uri, notify))
            assert isinstance(scope, anyio.CancelScope)
            scopes[uri] = scope
            connection.exit_stack.callback(scope.cancel)
        return EmptyResult()

    async def unsubscribe(self, ctx: _Request, params: UnsubscribeRequestParams) -> EmptyResult:
        scopes: dict[str, anyio.CancelScope] = connection_of(ctx).state.get(_STATE, {})
        if scope := scopes.pop(str(params.uri), None):
            scope.cancel()
        return EmptyResult()

    async def _watch(
        self,
        runtime: Runtime,
        uri: str,
        notify: Notify,
        *,
        task_status: TaskStatus[anyio.CancelScope],
    ) -> None:
        """Notify of each change; reports `started` once no change can be missed any more."""
        if self._watches >= _MAX_WATCHES:
            raise MCPError(INVALID_REQUEST, f"{_MAX_WATCHES} resources are watched, no more can be")
        self._watches += 1
        try:
            with anyio.CancelScope() as scope:
                self._listed = self._listed or _ListedStreams(runtime.journal)
                wait = await _make_waiter(runtime.journal, uri, self._listed)
                task_status.started(scope)
                while await wait():
                    await notify()
        except Exception:  # noqa: BLE001 - a watch that breaks must stop nothing else
            _LOG.exception("%s is no longer watched", uri)
        finally:
            self._watches -= 1


async def _close_when_leaving(runtime: Runtime, handler: ListenHandler) -> None:
    """End a request in order where this process may end soon: the client can ask another one."""
    await runtime.draining.leaving.wait()
    handler.close()


class _ListedStreams:
    """The streams that can be listed, read once for all who watch them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._reading = anyio.Lock()
        self._reads = 0
        self._records: list[tuple[str, str]] = []

    async def read_newer(self, *, seen: int) -> tuple[int, list[tuple[str, str]]]:
        """What was read last, and its number; read anew where the caller has seen that already.

        Gives ids and records; a record changes with the state.
        """
        async with self._reading:
            if self._reads == seen:
                rows = await self._journal.list_streams(IdKind.STREAM, newest=MAX_STREAMS)
                self._records = [(row.id, row.record) for row in rows]
                self._reads += 1
            return self._reads, self._records

    async def read_now(self) -> tuple[int, list[tuple[str, str]]]:
        """What is there now, and its number."""
        return await self.read_newer(seen=self._reads)


async def _make_waiter(journal: Journal, uri: str, listed: _ListedStreams) -> WaitForChange:
    """A waiter for changes of a resource: True on a change, False when none can follow."""
    if found := _MESSAGES.fullmatch(uri):
        with suppress(UnknownStreamError):
            return await _message_waiter(journal, found[1])
    if _STREAMS.fullmatch(uri):
        return await _list_waiter(listed)
    return _no_change  # a resource that never changes, or does not exist


async def _no_change() -> bool:
    return False


async def _message_waiter(journal: Journal, stream_id: str) -> WaitForChange:
    row = await journal.find_stream(stream_id)

    async def wait() -> bool:
        nonlocal row
        seen = row.last
        while row.ended_at is None:
            await journal.wait(stream_id, seen)
            await anyio.sleep(_GATHER_SECONDS)
            row = await journal.find_stream(stream_id)
            if row.last > seen:
                return True
        return False

    return wait


async def _list_waiter(listed: _ListedStreams) -> WaitForChange:
    number, records = await listed.read_now()

    async def wait() -> bool:
        nonlocal number, records
        seen = records
        while records == seen:
            await anyio.sleep(_LIST_SECONDS)
            number, records = await listed.read_newer(seen=number)
        return True

    return wait
