"""The public keys with which an issuer's tokens are checked, fetched from its JWKS and kept.

They are fetched again after a while, and where a token names a key that is not known, at most once
in a cool-down: whoever makes up key ids does not turn this server against the issuer. While the
issuer is away, known keys hold.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup
from jwt import PyJWK, PyJWTError
from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls

from ih_mcp.errors import IhMcpError, RemoteProtocolError, TransportError
from ih_mcp.loopback import is_loopback
from ih_mcp.net.rest import open_rest
from ih_mcp.redaction import redact

COOL_DOWN_SECONDS = 30.0  # chosen
_KEEP_SECONDS = 600.0  # chosen: so long a key that was withdrawn may still be taken
_FETCH_SECONDS = 10.0
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""By type and curve of a key. None is symmetric: a public key must not serve as a secret."""
_LOG = logging.getLogger("ih_mcp.http_server")


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """One public key."""

    key: Any
    """As the library wants it."""
    algorithms: tuple[str, ...]
    """With which this key may be used, whatever a token says."""


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str, tasks: TaskGroup) -> None:
        """Begin without a key.

        Args:
            tasks: In which keys are fetched again while known ones still answer.
        """
        self._issuer = issuer
        self._tasks = tasks
        self._keys: Mapping[str | None, IssuerKey] = {}
        self._fetching = anyio.Lock()
        self._old_at = self._next_fetch_at = 0.0
        self._is_away = True

    async def find(self, key_id: str | None) -> IssuerKey | None:
        """The key of this id; where a token names none, the only one there is.

        Raises:
            TransportError: It is not known, and the issuer cannot be asked.
        """
        if self._keys and anyio.current_time() >= self._old_at and not self._fetching.locked():
            self._tasks.start_soon(self.refresh)
        found = self._known(key_id)
        if found is None:
            await self.refresh()
            found = self._known(key_id)
        if found is None and self._is_away:
            raise TransportError(
                "the issuer of tokens cannot be asked for its keys",
                code="issuer_away",
                retry=True,
                help="Try again in half a minute; the log of this server has the reason.",
            )
        return found

    async def refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago; the known ones stay if it fails."""
        async with self._fetching:
            now = anyio.current_time()
            if now < self._next_fetch_at:
                return
            self._next_fetch_at = now + COOL_DOWN_SECONDS
            try:
                with anyio.fail_after(_FETCH_SECONDS):
                    self._keys = await _fetch_keys(self._issuer)
            except (IhMcpError, TimeoutError) as exc:
                self._is_away = True
                reason = exc.what if isinstance(exc, IhMcpError) else "no answer came in time"
                _LOG.warning("%s gives no keys: %s", ascii(self._issuer), redact(ascii(reason)))
            else:
                self._is_away = False
                self._old_at = now + _KEEP_SECONDS

    def _known(self, key_id: str | None) -> IssuerKey | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)


async def _fetch_keys(issuer: str) -> dict[str | None, IssuerKey]:
    """The keys that the issuer publishes.

    Raises:
        IhMcpError: Nobody answers, or there is none that can be used.
    """
    jwks = await _get_json(await _find_jwks_url(issuer))
    given = jwks.get("keys")
    keys = dict(_usable_keys(given if isinstance(given, list) else []))
    if not keys:
        raise RemoteProtocolError("its JWKS has no public key that can be used")
    return keys


async def _find_jwks_url(issuer: str) -> str:
    """What the issuer's metadata (RFC 8414, OpenID Connect Discovery) name as its JWKS."""
    failure = RemoteProtocolError("it has no metadata")
    for url in build_oauth_authorization_server_metadata_discovery_urls(issuer, issuer):
        try:
            metadata = await _get_json(url)
        except IhMcpError as exc:
            failure = RemoteProtocolError(f"{url}: {exc.what}")
            continue
        found = metadata.get("jwks_uri")
        if metadata.get("issuer") != issuer:  # RFC 8414, 3.3: identical, character by character
            failure = RemoteProtocolError(f"{url} is of the issuer {metadata.get('issuer')!a}")
        elif not isinstance(found, str) or not _is_safe_url(found):
            failure = RemoteProtocolError(f"{url} names no jwks_uri of https")
        else:
            return found
    raise failure


async def _get_json(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    async with open_rest(f"{parts.scheme}://{parts.netloc}") as rest:
        body = (await rest.get(path, bearer="")).body
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RemoteProtocolError(f"{url} is no JSON object")
    return found


def _usable_keys(given: list[object]) -> Iterator[tuple[str | None, IssuerKey]]:
    for each in given:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        kind, curve, named = each.get("kty"), each.get("crv"), each.get("alg")
        allowed = _ALGORITHMS.get((str(kind), curve if isinstance(curve, str) else None), ())
        algorithms = tuple(name for name in allowed if named in {None, name})
        if algorithms:
            with suppress(PyJWTError):  # a key that cannot be read serves nobody
                key = PyJWK.from_dict(each, algorithms[0]).key
                key_id = each.get("kid")
                yield (key_id if isinstance(key_id, str) else None), IssuerKey(key, algorithms)


def _is_safe_url(url: str) -> bool:
    """Whether what is fetched there comes from whom it says: TLS, or this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
