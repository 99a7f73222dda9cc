"""The paths of the server, and what each needs."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ih_mcp import __version__, observer
from ih_mcp.errors import CallerError, IhMcpError
from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.mcp_server.tool import DOWNLOAD_URL
from ih_mcp.net.origin_guard import OriginGuard

from .bearers import Bearers
from .caller_keys import move_caller_key
from .callers import Caller, TenantRow
from .capture_pages import CapturePages
from .cluster import ClusterApp
from .cluster_signature import SignatureCheck
from .downloads import Downloads
from .files import keep_file, put_file, remove_file
from .forward import CALLER
from .limits import CallerLimits, HeldBodies, declared_bytes
from .metrics import OTHER, REQUEST
from .oauth import METADATA_PATHS, RefusedBearerError
from .segments import put_segment
from .tenant import Tenant
from .tenants import Tenants
from .traces import within_trace
from .upload_page import upload_page
from .upload_tickets import UploadTickets

_AUDIT = logging.getLogger("ih_mcp.audit")
MAX_CALLS = 64
"""Of one caller at a time, waiting polls among them; chosen: far more than any host makes."""
_STATUS_OF_CODE = {
    "unknown_stream": 404,
    "unknown_download": 404,
    "stream_ended": 409,
    "elsewhere": 409,
    "wrong_seq": 409,
    "minutes_used_up": 409,
    "bytes_used_up": 409,
    "outbox_full": 503,
    "draining": 503,
    "segment_too_large": 413,
    "file_too_large": 413,
    "no_space": 507,
    "journal_failed": 503,
    "no_api_key": 503,
    "owner_unreachable": 503,
    "too_many_calls": 429,
    "too_many_bytes": 429,
    "queue_full": 503,
    "issuer_away": 503,
}
"""HTTP statuses of our own errors; 400 for the rest."""
_SECURITY_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),
]
_MARGIN_BYTES = 1 << 16  # of a call beside its segment
CALLER_LEFT = 499
"""Noted where a caller leaves within its body, so that nobody is there to answer; nginx's."""
_METHODS = {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"}
_ROUTES = {
    "/mcp": "/mcp",
    "/streams/": "/streams/{id}/segments/{seq}",
    "/files/": "/files/{name}",
    "/uploads/": "/uploads/{ticket}",
    "/downloads/": "/downloads/{ticket}",
    "/live/": "/live/{id}/",
    "/health": "/health",
    "/ready": "/ready",
    "/.well-known/": "/.well-known/",
}
"""By how a path begins."""
_Work = Callable[..., Awaitable[Response]]


class TeamApp:
    """The application behind the guard. Use `make_app`."""

    def __init__(
        self,
        tenants: Tenants,
        tickets: UploadTickets,
        downloads: Downloads,
        bearers: Bearers,
        pages: CapturePages,
        limits: CallerLimits,
        bodies: HeldBodies,
    ) -> None:
        """Serve `tenants`.

        Args:
            tickets: For uploads without a key.
            downloads: Files to get without a key.
            bearers: Who may call.
            pages: The capture pages, which need tickets of their own.
            limits: What one caller may ask.
            bodies: What the requests of one tenant may hold.
        """
        self.limits = limits
        self._bodies = bodies
        self._pages = pages
        self.tenants = tenants
        self._tickets = tickets
        self._downloads = downloads
        self.bearers = bearers
        self.is_draining = False
        self._calls: Counter[Caller] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as a part of the caller's trace, and note how long that took."""
        sending, started_at = _NotedStatus(send), time.perf_counter()
        try:
            with within_trace(Headers(scope=scope)):
                await self._answer(scope, receive, sending.send)
        except ClientDisconnect:
            sending.status = CALLER_LEFT
            raise
        finally:
            if scope["type"] == "http":
                observer.note(
                    REQUEST,
                    time.perf_counter() - started_at,
                    scope["method"] if scope["method"] in _METHODS else OTHER,
                    _route_of(scope["path"]),
                    str(sending.status),
                )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._pages.find(scope["path"])
        if answer is None and scope["type"] != "http":  # no other path takes a WebSocket
            answer = Response(status_code=404)
        if answer := answer or self._public(scope["path"]):
            await answer(scope, receive, send)
            return
        try:
            caller = await self.bearers.find(Headers(scope=scope))
        except RefusedBearerError as exc:
            await self.bearers.refusal(exc)(scope, receive, send)
        except IhMcpError as exc:
            await error_response(exc)(scope, receive, send)
        else:
            await self._serve(caller, scope, receive, send)

    def _public(self, path: str) -> ASGIApp | None:
        """The answer of a path that needs no caller."""
        if path == "/health":
            return JSONResponse({"ok": True, "version": __version__})
        if path == "/ready":
            return self._ready()
        if path.startswith("/uploads/"):
            return _answer_errors(self._upload)
        if path.startswith("/downloads/"):
            return _answer_errors(self._download)
        if path in METADATA_PATHS:  # where there is no issuer, a client must not look for one
            oauth = self.bearers.oauth
            return JSONResponse(oauth.metadata()) if oauth else _refusal("unknown_path")
        return None

    def drain(self) -> int:
        """Take nothing new and answer waiting polls; gives how many streams and analyses go on."""
        self.is_draining = True
        self.tenants.drain()
        return self.tenants.live_count

    def end_streams_without_caller(self) -> int:
        """After the callers were read again; see `Tenants.end_streams_without_caller`."""
        callers = self.bearers.callers
        if callers is None or self.bearers.oauth:  # a token may name any tenant
            return 0
        return self.tenants.end_streams_without_caller(callers.names_of_tenants)

    async def wait_until_idle(self) -> None:
        await self.tenants.wait_until_idle()

    def _ready(self) -> Response:
        """Also while nothing can be written: no replica can then, and all of them can read."""
        outage = self.tenants.journal_outage
        facts = {"journal": outage} if outage else {}
        if not self.is_draining:
            return JSONResponse({"ready": True, **facts})
        live = self.tenants.live_count
        return JSONResponse({"ready": False, "live_streams": live, **facts}, status_code=503)

    async def _serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a known caller, and write down that it called."""
        sending = _NotedStatus(send)
        self._calls[caller] += 1
        try:
            with self._bodies.holding(caller.tenant, declared_bytes(scope)):
                answer = await self._route(caller, scope)
                await answer(scope, receive, sending.send)
        except CallerError as exc:  # of `holding`; a path's own became an answer already
            await error_response(exc)(scope, receive, sending.send)
        except ClientDisconnect:
            sending.status = CALLER_LEFT
            raise
        finally:
            self._calls[caller] -= 1
            _AUDIT.info(
                "http tenant=%s caller=%s method=%s path=%s status=%d",
                *(ascii(word) for word in (caller.tenant, caller.name, scope["method"])),
                ascii(scope["path"])[:200],
                sending.status,
            )

    async def _route(self, caller: Caller, scope: Scope) -> ASGIApp:
        if self._calls[caller] > MAX_CALLS:
            return _refusal("too_many_calls")
        parts = scope["path"].strip("/").split("/")
        hide = partial(self.tenants.hide_folders, caller.tenant)
        try:
            move_caller_key(scope, is_taken=self.tenants.takes_caller_keys)
            if parts != ["mcp"]:  # there, calls of tools are counted, each by itself
                self.limits.count_call(caller, now=anyio.current_time())
            tenant = await self.tenant_of(caller.tenant)
        except IhMcpError as exc:
            return error_response(exc, hide)
        scope[CALLER] = caller
        if parts == ["mcp"]:
            scope[DOWNLOAD_URL] = partial(self._downloads.issue, caller.tenant)
            scope["path"] = "/mcp"  # some clients write a slash behind it
            return tenant.app_for(caller)
        work = _work_for(scope["method"], parts)
        return (
            _answer_errors(partial(work, tenant=tenant), hide) if work else _refusal("unknown_path")
        )

    async def tenant_of(self, name: str) -> Tenant:
        """The tenant of this name, opened with its first call.

        Raises:
            IhMcpError: As `Tenants.of`.
        """
        callers = self.bearers.callers
        row = callers.tenants.get(name) if callers else None
        return await self.tenants.of(name, row or TenantRow())

    def cluster_app(
        self, secret: bytes, *, max_segment_bytes: int, max_queued_bytes: int
    ) -> ASGIApp:
        """What other replicas call."""
        check, most = SignatureCheck(secret), max_segment_bytes * 4 // 3 + _MARGIN_BYTES
        bodies = HeldBodies(max_bytes=max_queued_bytes, max_body_bytes=most)
        pages = self._pages.answer_passed_on
        return ClusterApp(check, self.tenant_of, error_response, most, bodies, pages).app

    async def _download(self, request: Request) -> Response:
        def answer_error(error: IhMcpError, tenant: str) -> Response:
            return error_response(error, partial(self.tenants.hide_folders, tenant))

        return await self._downloads.answer(request, self.tenant_of, answer_error)

    async def _upload(self, request: Request) -> Response:
        """An upload by its ticket, which is void once the file was kept."""
        secret = request.url.path.removeprefix("/uploads/")
        ticket = await self._tickets.find(secret)
        if ticket is None:
            return _refusal("unknown_ticket")
        if request.method == "GET":
            return upload_page(ticket.subject)
        if request.method not in {"PUT", "POST"}:
            return Response(status_code=405, headers={"Allow": "GET, PUT, POST"})
        tenant = await self.tenant_of(ticket.tenant)
        try:
            async with self._tickets.using(secret) as ticket_in_use:
                if ticket_in_use is None:  # another upload has begun with it meanwhile
                    return _refusal("unknown_ticket")
                response = await keep_file(request, tenant, ticket.subject)
        except IhMcpError as exc:
            response = error_response(exc, partial(self.tenants.hide_folders, ticket.tenant))
        _AUDIT.info(
            "http tenant=%s caller='an upload ticket' method=%s file=%s status=%d",
            *(ascii(word) for word in (ticket.tenant, request.method, ticket.subject)),
            response.status_code,
        )
        return response


class _NotedStatus:
    """Sends an answer on, and notes its status; 500 where none is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _route_of(path: str) -> str:
    """The path as it stands in the docs; what callers put into it is no label of a metric."""
    return next((route for start, route in _ROUTES.items() if path.startswith(start)), OTHER)


def _work_for(method: str, parts: list[str]) -> _Work | None:
    match method, parts:
        case "PUT" | "POST", ["streams", _, "segments", _]:
            return put_segment
        case "PUT" | "POST", ["files", _]:
            return put_file
        case "DELETE", ["files", _]:
            return remove_file
        case _:
            return None


def _answer_errors(work: _Work, hide: Callable[[str], str] = str) -> ASGIApp:
    """An application that answers foreseen failures as JSON."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await work(Request(scope, receive))
        except IhMcpError as exc:
            response = error_response(exc, hide)
        await response(scope, receive, send)

    return run


_REFUSALS: Mapping[str, tuple[int, str, dict[str, str]]] = {
    "too_many_calls": (
        429,
        f"This caller has {MAX_CALLS} calls under way. Wait for one of them to end.",
        {"Retry-After": "1"},
    ),
    "unknown_ticket": (
        404,
        "This address was used, is too old, or never was one. Ask for another by upload_file.",
        {},
    ),
    "unknown_path": (
        404,
        "MCP is at /mcp; PUT /streams/{id}/segments/{seq} and PUT /files/{name} take media.",
        {},
    ),
}


def _refusal(code: str) -> Response:
    status, text, headers = _REFUSALS[code]
    body = {"ih_mcp": {"error": {"code": code, "help": text}}}
    return JSONResponse(body, status_code=status, headers=headers)


def error_response(error: IhMcpError, hide: Callable[[str], str] = str) -> Response:
    """A foreseen failure as JSON: what, what helps, and the facts a tool's failure has.

    Args:
        hide: Takes out of a text what its reader need not know.
    """
    facts = {"what": error.what, "help": error.help, "code": error.code, "retry": error.retry}
    status = _STATUS_OF_CODE.get(error.code, 400)
    after = str(error.facts.get("retry_after_s", 1))
    headers = {"Retry-After": after} if status in {429, 503} else {}
    body = json.dumps({"ih_mcp": {"error": facts | dict(error.facts)}}, default=str)
    return Response(hide(body), status, headers, media_type="application/json")


def make_app(app: TeamApp, *, own_hosts: frozenset[str], public_url: str | None) -> ASGIApp:
    """The application, behind the check of `Host` and `Origin`.

    Args:
        own_hosts: Names and addresses under which this server is reached, without a port.
        public_url: Where people reach it, if there is a proxy before it.
    """
    public = urlsplit(public_url or "")
    hosts = own_hosts | LOOPBACK_NAMES | ({public.hostname} if public.hostname else set())
    origins = {f"{public.scheme}://{public.netloc}".lower()} if public.netloc else set()

    def allows_origin(origin: str) -> bool:
        return origin.lower() in origins or _hostname(origin) in LOOPBACK_NAMES

    return OriginGuard(
        app,
        allows_host=lambda host: _hostname(f"//{host}") in hosts,
        allows_origin=allows_origin,
        probe_paths=("/health", "/ready"),
        headers=_SECURITY_HEADERS,
    )


def _hostname(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return None if "@" in parts.netloc else parts.hostname
