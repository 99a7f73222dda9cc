"""The API's own paths as an ASGI application, and two of the stand-in's own.

`GET /` says what this is; `GET /standin/sessions` tells what was sent and received. Everything
else is where the service has it, so that any client works with the base URL alone.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import anyio
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ih_mcp import __version__
from ih_mcp.media.decode import Decoder
from ih_mcp.media.ffmpeg import Ffmpeg
from ih_mcp.wire import catalog
from ih_mcp.wire.dialects import DIALECTS, Dialect, Family

from .analyst import Senses
from .conversation import Call
from .credentials import TEST_KEYS, Grant, RefusedError, Vault
from .line import Decoding, OpenDecoder
from .options import Options
from .peer import AsgiPeer
from .recorder import Recorder
from .script import Answer, At, only
from .service import Service

_SECRET_HEADERS = {"authorization", "sec-websocket-protocol", "cookie"}
_PAIR = "access_token"  # sdk; skill v2: the first of two subprotocols


@dataclass(slots=True, kw_only=True)
class House:
    """What all requests of one stand-in share."""

    options: Options
    open_decoder: OpenDecoder
    recorder: Recorder = field(default_factory=Recorder)
    vault: Vault = field(init=False)
    requests: int = 0
    _scopes: set[anyio.CancelScope] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.vault = Vault(strict=self.options.strict)

    @contextmanager
    def session(self) -> Iterator[None]:
        """A session runs inside; `stop` cuts it off."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def stop(self) -> None:
        """Cut off every session."""
        for scope in tuple(self._scopes):
            scope.cancel()

    def grant(self, connection: HTTPConnection, credential: str | None) -> Grant:
        """What the caller may do.

        Raises:
            RefusedError: Nothing.
        """
        return self.vault.grant(
            credential, now=anyio.current_time(), origin=connection.headers.get("origin")
        )

    def scripted_answer(self, at: At, connection: HTTPConnection) -> Response | None:
        """The answer a script orders for this request instead of the right one."""
        acts = self.options.script.acts(at, n=self.requests, session=len(self.recorder.sessions))
        for act in only(acts, Answer):
            if act.path in {None, connection.url.path}:
                return scripted(act, connection)
        return None


def create_app(
    options: Options | None = None,
    *,
    ffmpeg: Ffmpeg | None = None,
    open_decoder: OpenDecoder | None = None,
) -> Starlette:
    """The stand-in as an application; `app.state.house` holds what its requests share.

    Args:
        ffmpeg: Decodes media; needed unless `open_decoder` is given.
        open_decoder: Makes decoders in its place.
    """
    if open_decoder is None:
        assert ffmpeg is not None
        open_decoder = _decoding_with(ffmpeg)
    house = House(options=options or Options(), open_decoder=open_decoder)
    app = Starlette(routes=_routes(house.options))
    app.state.house = house
    app.add_middleware(_Correlated)
    return app


def refusal(
    connection: HTTPConnection, code: str, message: str | None = None, *, status: int | None = None
) -> JSONResponse:
    """The HTTP answer that says no. docs: error-handling."""
    row = catalog.row(code)
    body = {
        "error_id": code,
        "correlation_id": connection.state.correlation_id,
        "link": row.link if row.slug else None,
        "message": message or f"{row.meaning[:1].upper()}{row.meaning[1:]}.",
    }
    return JSONResponse(body, status_code=status or row.status or 400)


def scripted(act: Answer, connection: HTTPConnection) -> Response:
    """The answer a script orders; without an id its body is that of a proxy, no JSON."""
    answer: Response
    if act.error is not None:
        answer = refusal(connection, act.error, status=act.status)
    else:
        answer = PlainTextResponse(f"status {act.status} by script\n", status_code=act.status)
    if act.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(act.retry_after_seconds)
    return answer


def bearer(headers: Headers) -> str | None:
    """The credential of an `Authorization` header."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


# --- routes --------------------------------------------------------------------------------------


def _routes(options: Options) -> Sequence[BaseRoute]:
    routes: list[BaseRoute] = [
        Route("/", _health),
        Route("/standin/sessions", _sessions),
        *(
            WebSocketRoute(dialect.path, _stream(dialect))
            for dialect in DIALECTS.values()
            if dialect.family is Family.ENVELOPE
        ),
    ]
    if not options.strict:
        routes.append(WebSocketRoute("/v1/stream", _stream(DIALECTS["v1"])))  # blog: short path
    routes.append(WebSocketRoute("/{path:path}", _no_stream))
    return routes


async def _health(request: Request) -> Response:
    house: House = request.app.state.house
    described = house.options.analyst().describe()
    return JSONResponse(
        {
            "standin": "This is the ih-mcp stand-in, a local server that speaks Interhuman's API. "
            "It is not Interhuman and runs none of its models; its events are made up.",
            "version": __version__,
            "strict": house.options.strict,
            "analyst": {
                "name": described.name,
                "version": described.version,
                "signals": described.signals,
                "never": described.never,
                "sends_data_away": described.sends_data_away,
            },
            "paths": [dialect.path for dialect in DIALECTS.values()],
            "test_keys": list(TEST_KEYS),
            "sessions": "/standin/sessions",
        }
    )


async def _sessions(request: Request) -> Response:
    house: House = request.app.state.house
    return JSONResponse([record.as_json() for record in house.recorder.sessions])


async def _no_stream(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("no such stream\n", status_code=404))


def _stream(dialect: Dialect) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(socket: WebSocket) -> None:
        house: House = socket.app.state.house
        record = house.recorder.begin(
            dialect.path,
            socket.state.correlation_id,
            {k: v for k, v in socket.headers.items() if k not in _SECRET_HEADERS},
        )
        if (answer := house.scripted_answer(At.UPGRADE, socket)) is not None:
            record.ended(f"answered {answer.status_code} by script", None)
            await socket.send_denial_response(answer)
            return
        try:
            credential, subprotocol = _credential(socket, strict=house.options.strict)
            grant = house.grant(socket, credential)
            _allow_another_session(grant)
        except RefusedError as refused:
            record.ended(f"refused: {refused.code}", None)
            await socket.send_denial_response(refusal(socket, refused.code, refused.message))
            return
        await socket.accept(subprotocol)
        call = Call(
            dialect=dialect,
            grant=grant,
            model=socket.query_params.get("model"),
            includes=tuple(socket.query_params.getlist("include[]")),
        )
        service = Service(
            AsgiPeer(socket),
            call,
            options=house.options,
            open_decoder=house.open_decoder,
            record=record,
            recorder=house.recorder,
        )
        with house.session():
            await service.run()

    return endpoint


def _credential(socket: WebSocket, *, strict: bool) -> tuple[str | None, str | None]:
    """The credential of a handshake and the subprotocol to select.

    A client that offers subprotocols needs one of them selected (the standard); which one the
    service selects is not published. skill v2: anything but the pair is refused; the v1 docs let
    a bare credential travel there.

    Raises:
        RefusedError: A form that is not taken.
    """
    offered: list[str] = socket.scope.get("subprotocols", [])
    if offered[:1] == [_PAIR] and len(offered) == 2:
        return offered[1], _PAIR
    by_header = bearer(socket.headers)
    if not offered or by_header is not None:
        return by_header, None
    if strict or len(offered) > 1 or offered[0].startswith("bearer."):
        raise RefusedError("ih2001", "Send the credential as 'access_token, <credential>'.")
    return offered[0], offered[0]


def _allow_another_session(grant: Grant) -> None:
    most = grant.caps.max_concurrent
    if most is not None and grant.sessions >= most:
        raise RefusedError("ih3002")


# --- around --------------------------------------------------------------------------------------


class _Correlated:
    """Gives each connection its id and says it in `X-Correlation-ID`, on the 101 too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        correlation_id = str(uuid.uuid4())
        scope.setdefault("state", {})["correlation_id"] = correlation_id

        async def send_with_id(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                headers["X-Correlation-ID"] = correlation_id
            await send(message)

        await self._app(scope, receive, send_with_id)


_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


def _decoding_with(ffmpeg: Ffmpeg) -> OpenDecoder:
    def open_decoder(senses: Senses) -> AbstractAsyncContextManager[Decoding]:
        return _decoding(ffmpeg, senses)

    return open_decoder


@asynccontextmanager
async def _decoding(ffmpeg: Ffmpeg, senses: Senses) -> AsyncIterator[Decoding]:
    async with Decoder(
        ffmpeg,
        pictures_per_second=senses.pictures_per_second,
        picture_width=senses.picture_width,
        picture_height=senses.picture_height,
        sound_hertz=senses.sound_hertz,
    ) as decoder:
        yield decoder
