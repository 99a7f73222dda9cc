"""Minting and revoking tokens over HTTP. docs: authentication; sdk 1.3.4."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ih_mcp.errors import RemoteProtocolError
from ih_mcp.standin.credential_store import (
    ACCESS_TOKEN_SECONDS,
    DEFAULT_MAX_CONCURRENT,
    Caps,
    Grant,
    RefusedError,
    endpoint_scope,
)
from ih_mcp.wire.rest import (
    REALTIME_SCOPE,
    STREAM_SCOPE,
    UPLOAD_SCOPE,
    ClientTokenRequest,
    KeyPair,
    Revocation,
)

from .state import StandinState, make_refusal

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

_KNOWN_SCOPES = frozenset({UPLOAD_SCOPE, STREAM_SCOPE, REALTIME_SCOPE})  # sdk 1.3.4
_MAX_BODY_BYTES = 64 * 1024  # chosen


def answer_refusals(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with every refusal and failure turned into an answer of the API."""

    async def answer(request: Request) -> Response:
        state: StandinState = request.app.state.standin
        if (ordered := state.ordered_answer(request)) is not None:
            return ordered
        try:
            return await endpoint(request)
        except RefusedError as refused:
            return make_refusal(request, refused.code, refused.message)
        except RemoteProtocolError as exc:
            return make_refusal(request, exc.code, exc.what)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:
            logger.exception("a request to %r failed", request.url.path)
            return make_refusal(request, "ih1001")

    return answer


async def exchange_key_pair(request: Request) -> Response:
    """`POST /v1/auth`: exchanges a key pair for an access token with the scopes that it holds."""
    state: StandinState = request.app.state.standin
    asked = KeyPair.from_body(await _body(request))
    if not state.credentials.takes_secret(asked.key_secret):
        raise RefusedError("ih2001")
    granted = [scope for scope in _endpoint_scopes(asked.scopes) if scope in _KNOWN_SCOPES]
    if not granted:
        raise RefusedError("ih2003", "The key holds none of these scopes.")
    token = state.credentials.mint_access_token(asked.key_id, granted, now=anyio.current_time())
    return JSONResponse(_describe_token(token, ACCESS_TOKEN_SECONDS, granted))


async def mint_client_token(request: Request) -> Response:
    """`POST /v1/client_tokens`: mints a token with caps; the key is in the body."""
    state: StandinState = request.app.state.standin
    asked = ClientTokenRequest.from_body(await _body(request))
    grant = state.authorize(request, asked.api_key)
    scopes = _endpoint_scopes(asked.scopes or (STREAM_SCOPE,))
    _require(grant, scopes)
    caps = Caps(
        max_duration_seconds=asked.max_duration_seconds,
        max_bytes=asked.max_bytes,
        max_concurrent=asked.max_concurrent or DEFAULT_MAX_CONCURRENT,
        max_video_seconds=asked.max_video_seconds,
        allowed_origins=asked.allowed_origins,
    )
    token, seconds = state.credentials.mint_client_token(
        asked.api_key, scopes, asked.expires_in, caps, now=anyio.current_time()
    )
    return JSONResponse(_describe_token(token, seconds, scopes) | asdict(caps))


async def revoke_client_token(request: Request) -> Response:
    """`POST /v1/client_tokens/revoke`: revokes a client token; also succeeds if it is unknown."""
    state: StandinState = request.app.state.standin
    asked = Revocation.from_body(await _body(request))
    state.authorize(request, asked.api_key)
    state.credentials.revoke(asked.token, account=asked.api_key)
    return Response(status_code=204)


def _describe_token(token: str, seconds: int, scopes: Iterable[str]) -> dict[str, object]:
    """What the answer to a minting says of the token, as OAuth has it (RFC 6749)."""
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(scopes),
    }


async def _body(request: Request) -> bytes:
    """The whole body of a request. A declared length is not trusted: the bytes are counted.

    Raises:
        RefusedError: The body is too large.
    """
    body = b""
    async for data in request.stream():
        body += data
        if len(body) > _MAX_BODY_BYTES:
            raise RefusedError("ih4003", f"The request must not exceed {_MAX_BODY_BYTES:_} bytes.")
    return body


def _endpoint_scopes(asked: Iterable[str]) -> list[str]:
    """The scopes, each once, in the order of the request."""
    return list(dict.fromkeys(map(endpoint_scope, asked)))


def _require(grant: Grant, scopes: list[str]) -> None:
    for scope in scopes:
        grant.allow(scope)
