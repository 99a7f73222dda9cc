"""Capture pages that another replica has: a browser may be sent to any of them.

The address of a page begins with a mark of the replica that gave it. Requests and the WebSocket of
such a page go on to that replica, signed as every call between replicas, with the `Host` and the
`Origin` that the browser sent: whether they are right is for the replica to say that has the page.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import anyio
import httpx2
from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ih_mcp.capture.serve import MAX_CHUNK_BYTES
from ih_mcp.errors import JournalError
from ih_mcp.net.server_websocket import ADMISSION

from .cluster_signature import PassedOnCaller, SignatureCheck, sign
from .forward import NOT_KNOWN

if TYPE_CHECKING:  # loads a driver that few need
    from websockets.asyncio.client import ClientConnection

    from ih_mcp.journal.postgres import PostgresEngine

PAGE_PATH = "/page"
MARK_CHARS = 8
_LOG = logging.getLogger("ih_mcp.http_server")
_BROWSER = PassedOnCaller("", "a capture page")
_PASSED_ON = ("host", "origin", "content-type")
_MAX_BODY_BYTES = 4096  # of a ticket; the application has a bound of its own
_LOOK_SECONDS = 1.0  # between two looks for a replica that nobody has heard of yet
_OPEN_SECONDS = 3.0
_LEFT, _NO_CODE = 1012, 1006  # "service restart": a page connects again; and what no frame may say
_BROWSER_LEFT = (WebSocketDisconnect, RuntimeError)  # starlette: sending after it left


def mark_of(address: str) -> str:
    """How the addresses of a replica's pages begin."""
    digest = hashlib.sha256(address.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:MARK_CHARS]


class PagesElsewhere:
    """Passes what browsers ask of a page on to the replica that has it."""

    def __init__(self, engine: PostgresEngine, secret: bytes, http: httpx2.AsyncClient) -> None:
        self._lease = engine.lease
        self._secret = secret
        self._http = http
        self._looked_at = -math.inf

    @property
    def mark(self) -> str:
        """Of the pages of this replica."""
        return mark_of(self._lease.address)

    async def find(self, mark: str) -> str | None:
        """The address of the replica whose pages have this mark; None where there is none."""
        address = self._known(mark)
        now = anyio.current_time()
        if address is None and now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            with suppress(JournalError):
                await to_thread.run_sync(
                    self._lease.refresh
                )  # it may have begun since the last one
            address = self._known(mark)
        return address

    def _known(self, mark: str) -> str | None:
        others = (each.address for each in self._lease.replicas.values() if each.address)
        found = (each for each in others if each != self._lease.address and mark_of(each) == mark)
        return next(found, None)

    async def answer(self, address: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a WebSocket on to that replica."""
        if scope["type"] == "websocket":
            await self._join(address, WebSocket(scope, receive, send))
        else:
            await (await self._ask(address, Request(scope, receive)))(scope, receive, send)

    async def _ask(self, address: str, request: Request) -> Response:
        body = await _read_body(request)
        if body is None:
            return PlainTextResponse("too long\n", status_code=413)
        path = PAGE_PATH + request.scope["path"]
        headers = self._sign(request.headers, path, request.method, body)
        try:
            found = await self._http.request(
                request.method, address + path, content=body, headers=headers
            )
        except httpx2.HTTPError:
            return _no_answer()
        if found.status_code == 401:  # of the signature; a page gives no such answer
            _LOG.warning(
                "%s refuses a page that this server has signed for. %s", address, NOT_KNOWN
            )
            return _no_answer()
        answer = Response(found.content, found.status_code)
        kept = [pair for pair in found.headers.raw if pair[0].lower() not in _OWN_HEADERS]
        answer.raw_headers = [*answer.raw_headers, *kept]
        return answer

    def _sign(self, browser: Headers, path: str, method: str, body: bytes) -> dict[str, str]:
        passed_on = {f"x-ih-page-{name}": browser.get(name, "") for name in _PASSED_ON}
        return passed_on | sign(self._secret, _BROWSER, path, _signed(passed_on, method, body))

    async def _join(self, address: str, browser: WebSocket) -> None:
        """Join the WebSocket of a page to one of that replica."""
        from websockets.asyncio.client import connect  # noqa: PLC0415 - loads late, as elsewhere
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - likewise

        path = PAGE_PATH + browser.scope["path"]
        async with AsyncExitStack() as stack:
            try:
                opening = connect(
                    address.replace("http", "ws", 1) + path,
                    additional_headers=self._sign(browser.headers, path, "GET", b""),
                    compression=None,
                    max_size=MAX_CHUNK_BYTES,
                    open_timeout=_OPEN_SECONDS,
                    proxy=None,
                )
                owner = await stack.enter_async_context(opening)
            except (OSError, TimeoutError, WebSocketException):
                await browser.send_denial_response(_no_answer())
                return
            await browser.accept()
            await _carry(browser, owner)


async def _carry(browser: WebSocket, owner: ClientConnection) -> None:
    """Carry messages both ways until one end leaves; then close the other one likewise."""
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - loads late

    async def to_browser() -> None:
        with suppress(ConnectionClosed, *_BROWSER_LEFT):
            async for message in owner:
                browser.scope["extensions"][ADMISSION]["admit"]()  # what it said first was good
                if isinstance(message, str):
                    await browser.send_text(message)
                else:
                    await browser.send_bytes(message)
        code = owner.close_code
        with suppress(*_BROWSER_LEFT):
            await browser.close(code if code and code != _NO_CODE else _LEFT, owner.close_reason)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_browser)
        with suppress(ConnectionClosed):  # then the other task tells the browser
            while (message := await browser.receive())["type"] == "websocket.receive":
                text = message.get("text")
                await owner.send(message["bytes"] if text is None else text)
            await owner.close(_LEFT)


def answer_pages(check: SignatureCheck, pages: ASGIApp) -> ASGIApp:
    """What other replicas pass on to the pages of this one.

    Args:
        pages: Answers as if the browser had come here.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        headers, body = Headers(scope=scope), b""
        if scope["type"] == "http":
            body = await _read_body(Request(scope, receive)) or b""
        passed_on = {
            name: value for name, value in headers.items() if name.startswith("x-ih-page-")
        }
        signed = _signed(passed_on, scope.get("method", "GET"), body)
        if check.find_caller(headers, scope["path"], signed, now=time.time()) is None:
            answer = Response(status_code=401)
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(answer)
            else:
                await answer(scope, receive, send)
            return
        if scope["type"] == "http":
            receive = _replay(body, receive)
        await pages(_restored(scope, passed_on), receive, send)

    return run


def _restored(scope: Scope, passed_on: dict[str, str]) -> Scope:
    """The request as the browser made it at the other replica."""
    path = scope["path"].removeprefix(PAGE_PATH)
    changed = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
    changed["headers"] = list(scope["headers"])
    headers = MutableHeaders(scope=changed)
    for name in _PASSED_ON:
        if given := passed_on.get(f"x-ih-page-{name}"):
            headers[name] = given
        elif name in headers:
            del headers[name]
    return changed


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body was read: that body, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give


async def _read_body(request: Request) -> bytes | None:
    """The body; None where it is too long."""
    body = b""
    async for data in request.stream():
        body += data
        if len(body) > _MAX_BODY_BYTES:
            return None
    return body


def _signed(passed_on: dict[str, str], method: str, body: bytes) -> bytes:
    lines = [method, *(passed_on.get(f"x-ih-page-{name}", "") for name in _PASSED_ON), ""]
    return "\n".join(lines).encode("utf-8", "surrogateescape") + body


_OWN_HEADERS = {
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"connection",
    b"date",
}


def _no_answer() -> Response:
    text = "The server that has this page does not answer. Try again in a few seconds.\n"
    return PlainTextResponse(text, status_code=503, headers={"Retry-After": "3"})
