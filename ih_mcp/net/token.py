"""The credential of a call: a fixed one, or a token that is minted, cached and renewed."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Protocol

import anyio

from ih_mcp.redaction import hold_secret, register_secret, release_secret
from ih_mcp.wire.rest import KeyPair, Token

RENEW_SECONDS = 30.0  # sdk 1.3.4: so long before it expires


class Credential(Protocol):
    """Provides the bearer of the next call."""

    async def bearer(self) -> str:
        """The credential itself.

        Raises:
            ServiceError: The service refused the key pair.
            TransportError: The service did not answer.
            RemoteProtocolError: The answer holds no token that can be sent.
        """


class FixedCredential:
    """An API key, or a token that somebody else minted."""

    def __init__(self, bearer: str) -> None:
        register_secret(bearer)
        self._bearer = bearer

    async def bearer(self) -> str:
        return self._bearer


class BorrowedCredential:
    """A caller's own key. This process forgets it with the last stream that uses it."""

    def __init__(self, bearer: str) -> None:
        hold_secret(bearer)
        weakref.finalize(self, release_secret, bearer).atexit = False
        self._bearer = bearer

    async def bearer(self) -> str:
        return self._bearer


class MintedCredential:
    """Mints access tokens from a legacy key pair; concurrent callers share one request."""

    def __init__(
        self,
        pair: KeyPair,
        *,
        base_url: str,
        path: str,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        register_secret(pair.key_secret)
        self._pair = pair
        self._base_url = base_url
        self._path = path
        self._clocks = (now, wall)  # the one stands still while the machine sleeps, one is set
        self._minting = anyio.Lock()
        self._token = ""
        self._renew_at: tuple[float, ...] = ()

    async def bearer(self) -> str:
        from .rest import open_rest  # noqa: PLC0415 - the server must start fast

        async with self._minting:
            if not self._token or self._is_due():
                asked_at = [clock() for clock in self._clocks]
                async with open_rest(self._base_url) as rest:
                    reply = await rest.post(self._path, self._pair.body())
                token = Token.from_body(reply.body)
                register_secret(token.access_token, expires=True)
                self._token = token.access_token
                good_for = token.expires_in - RENEW_SECONDS
                self._renew_at = tuple(asked + good_for for asked in asked_at)
            return self._token

    def _is_due(self) -> bool:
        return any(
            clock() >= renew_at
            for clock, renew_at in zip(self._clocks, self._renew_at, strict=True)
        )
