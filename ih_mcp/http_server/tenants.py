"""One runtime for each tenant, opened with its first call."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import SecretStr
from starlette.types import ASGIApp

from ih_mcp.app.runtime import Runtime, open_runtime
from ih_mcp.errors import ConfigurationError
from ih_mcp.mcp_server.server import INSTRUCTIONS, make_server, make_tools
from ih_mcp.notifier import Notifier
from ih_mcp.private_files import make_private_folder
from ih_mcp.redaction import clean_credential, register_secret
from ih_mcp.settings import Settings

from .callers import MINT_TOKENS, USE, Caller, TenantRow
from .capture_pages import CapturePages
from .files_room import FilesRoom, translating_disk_errors
from .folder_names import FolderNames
from .forward import Forwarder, passing_on
from .large_texts import LargeTexts
from .limits import CallerLimits, LimitingMiddleware
from .metrics import MeasuringMiddleware
from .tenant import Tenant
from .upload_tool import make_upload_tool

if TYPE_CHECKING:  # loads a driver that few need
    from ih_mcp.journal.postgres import PostgresEngine

ONLY_USER = Caller("", "this machine", frozenset({USE, MINT_TOKENS}))
"""Who calls where no callers file is: the user of this machine, over loopback."""
IssueTicket = Callable[[str, str], Awaitable[str]]
"""Gives the address to which a tenant's file of a name can be sent once."""
_FILES = (
    "\nThis server runs elsewhere: it cannot read a path of your machine. upload_file gives an "
    "address for a video; send it there, then give its name as path.\n"
)
_CALL_MARGIN_BYTES = 1 << 16  # of a call beside its segment

_NO_KEYS = dict.fromkeys(["api_key", "key_id", "key_secret", "access_token"])


class Tenants:
    """Opens the runtime of a tenant when it first calls. Use `open_tenants`."""

    def __init__(
        self,
        settings: Settings,
        tasks: TaskGroup,
        issue_ticket: IssueTicket,
        pages: CapturePages,
        limits: CallerLimits,
        engine: PostgresEngine | None,
        forwarder: Forwarder | None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._forwarder = forwarder
        self._issue_ticket = issue_ticket
        self._pages = pages
        self._limits = limits
        self._tasks = tasks
        self._opening = anyio.Lock()
        self._open: dict[str, Tenant] = {}
        self._folder_names: dict[str, FolderNames] = {}
        self._is_draining = False
        self._closing = anyio.Event()
        self._closed = Notifier()

    async def of(self, name: str, row: TenantRow) -> Tenant:
        """The tenant of this name.

        Raises:
            ConfigurationError: Its key is missing or wrong.
            JournalError: Its data folder cannot be used.
            MediaError: The disk is full.
        """
        async with self._opening:
            if name not in self._open:
                settings = tenant_settings(self._settings, name, row)
                if name:
                    folders = (settings.media_dirs[0], settings.data_dir)
                    names = await anyio.to_thread.run_sync(FolderNames, *folders)
                    self._folder_names[name] = names
                with translating_disk_errors():
                    await self._tasks.start(self._keep_open, name, settings)
            return self._open[name]

    def hide_folders(self, name: str, text: str) -> str:
        """A text for a tenant, without the paths of its folders."""
        return names.hide(text) if (names := self._folder_names.get(name)) else text

    @property
    def takes_caller_keys(self) -> bool:
        """Whether each caller pays with a key of its own."""
        return self._settings.keys == "caller"

    @property
    def all_open(self) -> list[Tenant]:
        """Those that called since the start."""
        return list(self._open.values())

    @property
    def lease_seconds_left(self) -> float:
        """Until this replica's lease runs out; infinite where it needs none."""
        return self._engine.lease.seconds_left if self._engine else math.inf

    @property
    def journal_outage(self) -> str:
        """Why the database of all journals takes nothing new; empty where it does."""
        return self._engine.lease.outage if self._engine else ""

    @property
    def copy_is_away(self) -> bool:
        """Whether its commits wait for its synchronous copy."""
        return self._engine is not None and self._engine.connections.copy_is_away

    @property
    def live_count(self) -> int:
        """How many streams and analyses go on."""
        return sum(tenant.runtime.draining.live_count for tenant in self._open.values())

    def drain(self) -> None:
        """Answer waiting polls and take no new streams; those that live go on."""
        self._is_draining = True
        if self._engine:
            self._engine.lease.stop_taking_streams()
        for tenant in self._open.values():
            tenant.runtime.draining.begin()

    def end_streams_without_caller(self, tenants: Collection[str]) -> int:
        """End in order the streams of tenants that are none of these; gives how many they are.

        A stream belongs to its tenant: the callers that a tenant has left can end it. Of a tenant
        that is gone nobody could, and it would cost until its media ends.
        """
        ended = 0
        for name, tenant in self._open.items():
            if name not in tenants:
                registry = tenant.runtime.registry
                ended += sum(registry.live(each).request_end() for each in registry.live_ids)
        return ended

    async def wait_until_idle(self) -> None:
        """After `drain`: wait until the streams and analyses that go on have ended."""
        for tenant in list(self._open.values()):
            await tenant.runtime.draining.wait_until_idle()

    async def close(self) -> None:
        """Close all runtimes: streams that still live end in order, as far as the time allows."""
        self._closing.set()
        while self._open:
            await self._closed.wait()

    async def _keep_open(
        self, name: str, settings: Settings, *, task_status: TaskStatus[None]
    ) -> None:
        """A runtime is closed by the task that opened it, so each has a task of its own."""
        files = settings.media_dirs[0]
        room, hidden = FilesRoom(files, settings.max_files_bytes), self._folder_names.get(name)
        await anyio.to_thread.run_sync(make_private_folder, files)
        place = self._engine.journal_of(name) if self._engine else None
        async with open_runtime(settings, place=place) as runtime, AsyncExitStack() as stack:
            apps = dict[bool, ASGIApp]()
            servers = dict[bool, MCPServer[Runtime]]()
            self._pages.open(runtime)
            for mints in (False, True):
                left_out = {
                    *settings.disable,
                    *(() if self._pages.can_record else ("start_capture",)),
                    *(() if mints else ("create_token",)),
                }
                uploads = make_upload_tool(partial(self._issue_ticket, name))
                tools = [
                    passing_on(tool, self._forwarder) for tool in (*make_tools(left_out), uploads)
                ]
                servers[mints] = _make_server(runtime, tools)
                servers[mints].middleware.extend(
                    [
                        MeasuringMiddleware(tool.name for tool in tools),
                        LimitingMiddleware(self._limits),
                        *([hidden.hide_in_answer] if hidden else []),
                    ]
                )
                opening = _open_app(servers[mints], settings.max_call_bytes)
                apps[mints] = await stack.enter_async_context(opening)
            if self._is_draining:
                runtime.draining.begin()
            self._open[name] = Tenant(runtime, files, room, apps, servers[False], self._forwarder)
            task_status.started()
            await self._closing.wait()
        self._open = {
            name: each for name, each in self._open.items() if each.runtime is not runtime
        }
        self._closed.notify()


@asynccontextmanager
async def open_tenants(
    settings: Settings,
    issue_ticket: IssueTicket,
    pages: CapturePages,
    limits: CallerLimits,
    engine: PostgresEngine | None,
    forwarder: Forwarder | None,
) -> AsyncIterator[Tenants]:
    """The tenants of a process.

    Args:
        engine: The database of all journals; None where each is a file.
        forwarder: Passes calls on to other replicas, where there are any.
    """
    async with anyio.create_task_group() as tasks:
        tenants = Tenants(settings, tasks, issue_ticket, pages, limits, engine, forwarder)
        try:
            yield tenants
        finally:
            with anyio.CancelScope(shield=True):
                await tenants.close()


def tenant_settings(settings: Settings, name: str, row: TenantRow) -> Settings:
    """What a tenant's runtime works with: folders of its own, its own key, its own limits.

    Raises:
        ConfigurationError: The variable that should hold its key is not set, or holds no key.
    """
    folder = settings.data_dir / "tenants" / name if name else settings.data_dir
    changed: dict[str, Any] = {
        "data_dir": folder,
        "media_dirs": (settings.uploads / name if settings.uploads else folder / "files",),
        "mirror_dir": None,
        **row.limits,
    }
    if settings.is_local:
        pass
    elif settings.keys == "caller":
        changed |= _NO_KEYS
    elif row.api_key_variable:
        changed |= _NO_KEYS | {"api_key": _read_key(name, row.api_key_variable)}
    elif settings.keys == "tenant":
        raise _wrong_key(name, "the callers file names no variable for it (api_key_variable)")
    return settings.model_copy(update=changed)


def _read_key(tenant: str, variable: str) -> SecretStr:
    found = os.environ.get(variable, "")
    try:
        key = clean_credential(found)
    except ValueError as exc:
        raise _wrong_key(tenant, f"{variable} {exc}") from None
    if not key:
        raise _wrong_key(tenant, f"{variable} is not set")
    register_secret(key)
    return SecretStr(key)


def _wrong_key(tenant: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the tenant {tenant} has no key for the service: {reason}",
        code="no_api_key",
        help="Whoever runs this server sets that variable, and restarts the server.",
    )


def _make_server(runtime: Runtime, tools: list[Tool]) -> MCPServer[Runtime]:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        yield runtime

    return make_server(lifespan, tools, has_connections=False, instructions=INSTRUCTIONS + _FILES)


@asynccontextmanager
async def _open_app(server: MCPServer[Runtime], max_call_bytes: int) -> AsyncIterator[ASGIApp]:
    """MCP over HTTP without sessions, in both eras."""
    large, max_bytes = LargeTexts(), max_call_bytes * 4 // 3 + _CALL_MARGIN_BYTES
    server.middleware.append(large.take_out)
    app = server.streamable_http_app(
        stateless_http=True,
        max_request_body_size=max_bytes,
        # `OriginGuard` looks at Host and Origin, on all paths.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    async with app.router.lifespan_context(app):
        yield large.wrap(app, max_bytes)
