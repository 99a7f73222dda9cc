"""The API's own paths as an ASGI application, and four of the stand-in's own.

`GET /` says what this server is. `GET /standin/sessions` lists what the sessions sent and
received, `GET /standin/billing` the seconds that the service would have billed, and
`GET /standin/evidence` what the analyst observed in each window, with figures that no message of
the API has. All other paths are those of the service, so any client works with the base URL alone.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ih_mcp import __version__
from ih_mcp.media.ffmpeg.decode import Decoder
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.stand_in import SERVER
from ih_mcp.standin.analysis.analyst import Senses
from ih_mcp.standin.analysis.codecs import DECODERS
from ih_mcp.standin.analysis.media_timeline import ClipDecoder, OpenDecoder
from ih_mcp.standin.analysis.opening import CheckedDecoder
from ih_mcp.standin.credential_store import TEST_KEYS, Grant, RefusedError
from ih_mcp.standin.options import Options
from ih_mcp.standin.recorder import SessionRecord
from ih_mcp.standin.sessions.client_socket import AsgiSocket
from ih_mcp.standin.sessions.envelope_session import EnvelopeSession
from ih_mcp.standin.sessions.realtime_session import RealtimeSession
from ih_mcp.standin.sessions.segment_session import SegmentSession
from ih_mcp.standin.sessions.server_session import ServerSession, SessionRequest
from ih_mcp.standin.uploads.files import MediaFiles
from ih_mcp.wire.dialects import DIALECTS, REALTIME, Dialect, MessageFormat
from ih_mcp.wire.rest import (
    CLIENT_TOKENS_PATH,
    REVOKE_PATH,
    UPLOADS,
    V0_UPLOAD,
    job_path,
)

from .state import StandinState, bearer_credential, make_refusal
from .tokens import answer_refusals, exchange_key_pair, mint_client_token, revoke_client_token
from .uploads import analyze_v0, analyze_v1, analyze_v2, read_job

_SECRET_HEADERS = {"authorization", "sec-websocket-protocol", "cookie"}
_PAIR = "access_token"  # sdk; skill v2: the first of two subprotocols


def create_app(
    options: Options | None = None,
    *,
    ffmpeg: Ffmpeg,
    open_decoder: OpenDecoder | None = None,
) -> Starlette:
    """The stand-in as an application; `app.state.standin` is its `StandinState`.

    Upload jobs run only while `app.state.standin.run()` is open.

    Args:
        ffmpeg: Decodes media.
        open_decoder: Makes the decoders of streams; by default they use `ffmpeg`.
    """
    state = StandinState(
        options=options or Options(),
        open_decoder=open_decoder or _decoding_with(ffmpeg),
        files=MediaFiles(ffmpeg),
    )
    app = Starlette(routes=_routes(state.options))
    app.state.standin = state
    app.add_middleware(_CorrelationIds)
    return app


def _routes(options: Options) -> Sequence[BaseRoute]:
    post = ["POST"]
    routes: list[BaseRoute] = [
        Route("/", _health),
        Route("/standin/sessions", answer_refusals(_sessions)),
        Route("/standin/billing", answer_refusals(_billing)),
        Route("/standin/evidence", answer_refusals(_evidence)),
        *(
            Route(path, answer_refusals(exchange_key_pair), methods=post)
            for path in sorted({row.auth_path for row in DIALECTS.values()})
        ),
        Route(CLIENT_TOKENS_PATH, answer_refusals(mint_client_token), methods=post),
        Route(REVOKE_PATH, answer_refusals(revoke_client_token), methods=post),
        Route(V0_UPLOAD.path, answer_refusals(analyze_v0), methods=post),
        Route(UPLOADS["v1"].path, answer_refusals(analyze_v1), methods=post),
        Route(UPLOADS["v2"].path, answer_refusals(analyze_v2), methods=post),
        Route(job_path("{job_id}"), answer_refusals(read_job)),
        *(WebSocketRoute(dialect.path, _stream(dialect)) for dialect in _streams()),
    ]
    if not options.strict:
        routes += [
            WebSocketRoute("/v1/stream", _stream(DIALECTS["v1"])),  # blog: short path
            WebSocketRoute("/v0/real-time/analyze", _stream(REALTIME)),  # sdk 0.6.0 to 0.11.1
        ]
    routes.append(WebSocketRoute("/{path:path}", _no_stream))
    return routes


def _streams() -> Sequence[Dialect]:
    """All stream endpoints, including those that our own client does not use."""
    return (*DIALECTS.values(), REALTIME)


# --- the stand-in's own --------------------------------------------------------------------------


async def _health(request: Request) -> Response:
    state: StandinState = request.app.state.standin
    described = state.options.analyst().describe()
    return JSONResponse(
        {
            "standin": "This is the ih-mcp stand-in, a local server that speaks Interhuman's API. "
            "It is not Interhuman and runs none of its models; its events are made up.",
            "version": __version__,
            "strict": state.options.strict,
            "analysis_speed": state.options.analysis_speed,
            "analyst": {
                "name": described.name,
                "version": described.version,
                "signals": described.signals,
                "never": described.never,
                "sends_data_away": described.sends_data_away,
            },
            "conversation_quality": "the stand-in's own formula with invented weights; it compares "
            "with nothing but itself",
            "paths": [
                *(dialect.path for dialect in _streams()),
                V0_UPLOAD.path,
                *(upload.path for upload in UPLOADS.values()),
            ],
            "test_keys": list(TEST_KEYS),
            "sessions": "/standin/sessions",
            "billing": "/standin/billing",
            "evidence": "/standin/evidence",
        }
    )


def _require_key(request: Request) -> StandinState:
    """The state, for one of the stand-in's own pages.

    A stand-in that belongs to one process shows these pages to that process alone.

    Raises:
        RefusedError: The request does not carry the key of that process.
    """
    state: StandinState = request.app.state.standin
    if state.options.key is not None:
        state.authorize(request, bearer_credential(request.headers))
    return state


async def _sessions(request: Request) -> Response:
    state = _require_key(request)
    return JSONResponse([record.as_json() for record in state.recorder.sessions])


async def _evidence(request: Request) -> Response:
    state = _require_key(request)
    streams = [record.evidence() for record in state.recorder.sessions]
    uploads = [record.evidence() for record in state.recorder.uploads]
    return JSONResponse(streams + uploads)


async def _billing(request: Request) -> Response:
    state = _require_key(request)
    sessions = {
        record.correlation_id: round(record.billed.seconds, 3) for record in state.recorder.sessions
    }
    return JSONResponse(
        {
            "stream_seconds": round(sum(sessions.values()), 3),
            "upload_seconds": round(state.billed_upload_seconds, 3),
            "sessions": sessions,
        }
    )


# --- streams -------------------------------------------------------------------------------------


async def _no_stream(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("no such stream\n", status_code=404))


def _stream(dialect: Dialect) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(socket: WebSocket) -> None:
        state: StandinState = socket.app.state.standin
        record = state.recorder.begin(
            dialect.path,
            socket.state.correlation_id,
            {name: v for name, v in socket.headers.items() if name not in _SECRET_HEADERS},
        )
        if (answer := state.ordered_answer(socket, session=record.number)) is not None:
            record.ended(f"answered {answer.status_code} by script", None)
            await socket.send_denial_response(answer)
            return
        try:
            credential, subprotocol = _credential(socket, strict=state.options.strict)
            grant = state.authorize(socket, credential)
            _allow_another_session(grant)
            state.require_session_slot()
        except RefusedError as refused:
            record.ended(f"refused: {refused.code}", None)
            await socket.send_denial_response(make_refusal(socket, refused.code, refused.message))
            return
        await socket.accept(subprotocol)
        call = SessionRequest(
            dialect=dialect,
            grant=grant,
            model=socket.query_params.get("model"),
            includes=tuple(socket.query_params.getlist("include[]")),
            by_subprotocol=subprotocol is not None,
        )
        with state.hold_session():
            await _conversation(state, AsgiSocket(socket), call, record).run()

    return endpoint


def _conversation(
    state: StandinState, client: AsgiSocket, call: SessionRequest, record: SessionRecord
) -> ServerSession:
    match call.dialect.message_format:
        case MessageFormat.ENVELOPE:
            kind = EnvelopeSession if call.dialect.coaching is None else RealtimeSession
            return kind(
                client,
                call,
                options=state.options,
                record=record,
                recorder=state.recorder,
                open_decoder=state.open_decoder,
            )
        case MessageFormat.STATUS:
            return SegmentSession(
                client,
                call,
                options=state.options,
                record=record,
                recorder=state.recorder,
                open_decoder=state.open_decoder,
                files=state.files,
            )


def _credential(socket: WebSocket, *, strict: bool) -> tuple[str | None, str | None]:
    """The credential of a handshake and the subprotocol to select.

    A client that offers subprotocols needs one of them selected (the standard); which one the
    service selects is not published. skill v2: anything but the pair is refused; the v1 docs let
    a bare credential travel there.

    Raises:
        RefusedError: The credential is sent in a form that is not accepted.
    """
    offered: list[str] = socket.scope.get("subprotocols", [])
    if offered[:1] == [_PAIR] and len(offered) == 2:
        return offered[1], _PAIR
    by_header = bearer_credential(socket.headers)
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


class _CorrelationIds:
    """Gives each connection an id; every answer, also the 101, carries it in a header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        correlation_id = str(uuid.uuid4())
        scope.setdefault("state", {})["correlation_id"] = correlation_id

        async def send_with_id(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                headers["X-Correlation-ID"] = correlation_id
                headers["Server"] = f"{SERVER}/{__version__}"
            await send(message)

        await self._app(scope, receive, send_with_id)


_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


def _decoding_with(ffmpeg: Ffmpeg) -> OpenDecoder:
    @asynccontextmanager
    async def open_decoder(senses: Senses) -> AsyncIterator[ClipDecoder]:
        async with Decoder(
            ffmpeg,
            pictures_per_second=senses.pictures_per_second,
            picture_width=senses.picture_width,
            picture_height=senses.picture_height,
            sound_hertz=senses.sound_hertz,
            keeps_aspect=senses.keeps_aspect,
            decoders=DECODERS,
        ) as decoder:
            yield CheckedDecoder(decoder)

    return open_decoder
