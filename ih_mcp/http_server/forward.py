"""Passes a call on to the replica that can answer it, once.

Reads are answered by any replica. A call that touches a live stream belongs to the replica that
carries it; a new stream that this one does not take goes to one that does.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
from anyio import to_thread
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult
from starlette.responses import Response

from ih_mcp import observer
from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import CallerError
from ih_mcp.mcp_server.tool import ToolCall

from .callers import Caller
from .cluster_signature import MAX_AGE_SECONDS, PassedOnCaller, sign

if TYPE_CHECKING:  # loads a driver that few need
    from ih_mcp.journal.postgres import PostgresEngine

CALL_PATH = "/call"
SEGMENT_PATH = "/segments/"
CALLER = "ih_mcp.caller"
"""Where a request's scope has who makes it."""
NOT_KNOWN = (
    "Whoever runs these servers gives each of them the same IH_MCP_CLUSTER_SECRET, and clocks that "
    f"are within {MAX_AGE_SECONDS:g} s of each other."
)
_OF_ANOTHER_SERVER = (
    "Another server has it, that keeps its streams in the same place: call that one; poll_events "
    "and list_streams read it from here. Whoever runs the servers lets them pass calls on to each "
    "other (IH_MCP_JOURNAL and IH_MCP_CLUSTER_LISTEN), or gives each a folder of its own "
    "(IH_MCP_DATA_DIR)."
)
_LOG = logging.getLogger("ih_mcp.http_server")
_NEW_STREAM_CODES = ("draining", "too_many_streams")
_READ_FILES = {"stream_file", "analyze_file"}
_SECONDS = 40.0  # a push waits 20 s at most, an end 25 s
_MAX_ADDRESSES = 10_000  # chosen: of streams; what is forgotten is looked up again


class Forwarder:
    """Passes calls on to other replicas, by a client of `open_client`."""

    def __init__(self, engine: PostgresEngine, secret: bytes, http: httpx2.AsyncClient) -> None:
        self._engine = engine
        self._secret = secret
        self._http = http
        self._addresses: dict[tuple[str, str], str] = {}

    def known_address(self, caller: Caller, stream_id: str) -> str | None:
        """Where the last segment of a stream was taken; None where none was passed on.

        A stream stays with its replica, so that the database is asked before the first one alone.
        """
        return self._addresses.get((caller.tenant, stream_id))

    def remember(self, caller: Caller, stream_id: str, address: str) -> None:
        """Note that a segment of a stream was taken at this address."""
        self._addresses[caller.tenant, stream_id] = address  # the newest last
        if len(self._addresses) > _MAX_ADDRESSES:
            del self._addresses[next(iter(self._addresses))]

    async def find_address(
        self, runtime: Runtime, error: CallerError, stream_id: str | None
    ) -> str | None:
        """Where a call that failed here is answered; None where nobody else answers it."""
        lease = self._engine.lease
        if error.code == "elsewhere" and stream_id:
            row = await runtime.journal.find_stream(stream_id)
            if row.owner not in lease.replicas:  # it began since the last renewal
                await to_thread.run_sync(lease.refresh)
            owner = lease.replicas.get(row.owner)
            return owner.address if owner and owner.address else None
        if runtime.settings.keys == "caller":  # a caller's key is passed on to nobody
            return None
        if error.code in _NEW_STREAM_CODES and stream_id is None:
            await to_thread.run_sync(lease.refresh)  # replicas come and go during a deploy
            others = [
                each.address
                for each in lease.replicas.values()
                if each.takes_streams and each.address and each.name != lease.name
            ]
            return random.choice(others) if others else None  # noqa: S311 - spreads load
        return None

    async def call_tool(
        self, address: str, caller: Caller, tool: str, arguments: dict[str, Any]
    ) -> CallToolResult:
        """Call a tool of another replica.

        Raises:
            CallerError: That replica does not answer (`owner_unreachable`).
        """
        body = json.dumps({"tool": tool, "arguments": arguments}).encode()
        answer = await self._send(address, caller, "POST", CALL_PATH, body)
        if answer.status_code != 200:
            raise _unreachable(f"it answered with HTTP {answer.status_code}")
        return CallToolResult.model_validate_json(answer.content)

    async def put_segment(
        self, address: str, caller: Caller, stream_id: str, number: int, data: bytes
    ) -> Response:
        """Put a segment into a stream of another replica.

        Raises:
            CallerError: That replica does not answer (`owner_unreachable`).
        """
        path = f"{SEGMENT_PATH}{stream_id}/{number}"
        self._addresses.pop((caller.tenant, stream_id), None)
        answer = await self._send(address, caller, "PUT", path, data)
        if answer.is_success:
            self.remember(caller, stream_id, address)
        return Response(answer.content, answer.status_code, media_type="application/json")

    async def _send(
        self, address: str, caller: Caller, method: str, path: str, body: bytes
    ) -> httpx2.Response:
        headers = sign(self._secret, PassedOnCaller(caller.tenant, caller.name), path, body)
        try:
            answer = await self._http.request(method, address + path, content=body, headers=headers)
        except httpx2.HTTPError as exc:
            observer.note("ih_passed_on_total", 1, "unreachable")
            raise _unreachable(str(exc) or type(exc).__name__) from exc
        is_refused = answer.status_code == 401
        observer.note("ih_passed_on_total", 1, "refused" if is_refused else "answered")
        if is_refused:
            _LOG.warning("%s refuses a call that this server has signed. %s", address, NOT_KNOWN)
            raise CallerError(
                "the server that this call was passed on to does not know this one",
                code="owner_unreachable",
                help=NOT_KNOWN,
            )
        return answer


def _unreachable(reason: str) -> CallerError:
    return CallerError(
        f"the server that this call was passed on to does not answer: {reason}",
        code="owner_unreachable",
        retry=True,
        help="Call again in a few seconds, a push with the same seq. If that server is dead, its "
        "streams are over within 15 s, and poll_events says so.",
    )


def say_who_has_it(error: CallerError) -> CallerError:
    """A refusal that names another process, with what helps callers of a server."""
    return error.with_help(_OF_ANOTHER_SERVER) if error.code == "elsewhere" else error


def passing_on(tool: Tool, forwarder: Forwarder | None) -> Tool:
    """The tool as it is, but for calls that another replica has to answer.

    Args:
        forwarder: None where this server is alone; it then says who has a stream.
    """
    here: Callable[[ToolCall[Any]], Awaitable[CallToolResult]] = tool.fn

    async def work(call: ToolCall[Any]) -> CallToolResult:
        try:
            return await here(call)
        except CallerError as exc:
            request = call.request
            if request is None:  # it was passed on to here
                raise
            arguments = call.arguments.model_dump(mode="json", exclude_unset=True)
            stream_id = arguments.get("stream_id")
            if forwarder is None:
                raise say_who_has_it(exc) from None
            address = await forwarder.find_address(call.runtime, exc, stream_id)
            has_file_here = tool.name in _READ_FILES and call.runtime.settings.uploads is None
            if address is None or has_file_here:
                raise say_who_has_it(exc) from None
            return await forwarder.call_tool(address, request.scope[CALLER], tool.name, arguments)

    return tool.model_copy(update={"fn": work})


@asynccontextmanager
async def open_client() -> AsyncIterator[httpx2.AsyncClient]:
    """What calls other replicas."""
    timeout = httpx2.Timeout(_SECONDS, connect=3.0)
    make_client = partial(httpx2.AsyncClient, timeout=timeout, trust_env=False)
    async with await to_thread.run_sync(make_client) as http:  # it reads certificates
        yield http
