"""What other replicas pass on to this one, on an address for them alone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
from mcp import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from ih_mcp.errors import IhMcpError, unwrap_single_error

from .cluster_signature import PassedOnCaller, SignatureCheck
from .forward import CALL_PATH, SEGMENT_PATH
from .limits import HeldBodies, declared_bytes
from .pages_elsewhere import PAGE_PATH, answer_pages
from .segments import push_body, read_body
from .tenant import Tenant

T = TypeVar("T")

_AUDIT = logging.getLogger("ih_mcp.audit")
_NEWEST = "2026-07-28"  # the era without a handshake
FindTenant = Callable[[str], Awaitable[Tenant]]
Work = Callable[[Request], Awaitable[Response]]
AnswerError = Callable[[IhMcpError], Response]


class ClusterApp:
    """Answers calls that other replicas have passed on, and passes none on itself.

    Args:
        find_tenant: Opens a tenant by name.
        answer_error: How a foreseen failure is answered.
        max_bytes: Of a call.
        bodies: Bounds what all calls together hold; who signed one is known with its body alone.
        pages: Answers what browsers ask of the pages of this replica.
    """

    def __init__(
        self,
        check: SignatureCheck,
        find_tenant: FindTenant,
        answer_error: AnswerError,
        max_bytes: int,
        bodies: HeldBodies,
        pages: ASGIApp,
    ) -> None:
        self._check = check
        self._find_tenant = find_tenant
        self._answer_error = answer_error
        self._max_bytes = max_bytes
        self._bodies = bodies
        self.app = Starlette(
            routes=[
                Route(CALL_PATH, self._answering(self._call), methods=["POST"]),
                Route(
                    SEGMENT_PATH + "{stream_id}/{number:int}",
                    self._answering(self._put),
                    methods=["PUT"],
                ),
                Mount(PAGE_PATH, answer_pages(check, pages)),
            ]
        )

    def _answering(self, work: Work) -> Work:
        """The same, with foreseen failures as answers, and its body counted."""

        async def answer(request: Request) -> Response:
            try:
                with self._bodies.holding("", declared_bytes(request.scope)):
                    return await work(request)
            except IhMcpError as exc:
                return self._answer_error(exc)

        return answer

    async def _call(self, request: Request) -> Response:
        body = await read_body(request, self._max_bytes)
        if (caller := self._caller(request, body)) is None:
            return Response(status_code=401)
        asked = json.loads(body)
        tenant = await self._find_tenant(caller.tenant)
        async with Client(tenant.server, mode=_NEWEST) as client:
            call = partial(client.call_tool, asked["tool"], asked["arguments"])
            result = await _call_until_left(request, call)
        if result is None:
            return Response(status_code=400)  # nobody is there to read it
        return Response(
            result.model_dump_json(by_alias=True, exclude_none=True), media_type="application/json"
        )

    async def _put(self, request: Request) -> Response:
        body = await read_body(request, self._max_bytes)
        if (caller := self._caller(request, body)) is None:
            return Response(status_code=401)
        stream_id, number = request.path_params["stream_id"], request.path_params["number"]
        tenant = await self._find_tenant(caller.tenant)
        return await push_body(tenant, stream_id, number, body)

    def _caller(self, request: Request, body: bytes) -> PassedOnCaller | None:
        path = request.scope["path"]
        caller = self._check.find_caller(request.headers, path, body, now=time.time())
        _AUDIT.info(
            "passed_on tenant=%s caller=%s path=%s known=%s",
            ascii(caller.tenant if caller else ""),
            ascii(caller.name if caller else ""),
            ascii(path)[:200],
            caller is not None,
        )
        return caller


async def _call_until_left(request: Request, call: Callable[[], Awaitable[T]]) -> T | None:
    """Make a call; None where the other replica left meanwhile, which cancels the call."""
    results = list[T]()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    with unwrap_single_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            results.append(await call())
            tasks.cancel_scope.cancel()
    return results[0] if results else None
