"""This server as a resource of OAuth 2.1: whom a token of the configured issuer stands for.

There is no authorization server here. A client finds the issuer by the metadata (RFC 9728), gets a
token from it, and shows that; it is checked by the issuer's public keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import jwt
from jwt import exceptions
from mcp.shared.auth import ProtectedResourceMetadata

from ih_mcp.settings import Settings

from .callers import SCOPES, TENANT_NAME, USE, Caller
from .issuer_keys import IssuerKeys

_LEEWAY_SECONDS = 10.0  # chosen: clocks differ
_MAX_TOKEN_CHARS = 16_384
_MAX_NAME_CHARS = 200
_METADATA_PATH = "/.well-known/oauth-protected-resource"
METADATA_PATHS = frozenset({_METADATA_PATH, f"{_METADATA_PATH}/mcp"})
_WHY: Mapping[type[Exception], str] = {
    exceptions.ExpiredSignatureError: "the token has expired",
    exceptions.ImmatureSignatureError: "the token is not valid yet",
    exceptions.InvalidAudienceError: "the token is for another server",
    exceptions.InvalidIssuerError: "the token is of another issuer",
    exceptions.InvalidAlgorithmError: "the token is signed in a way that is not accepted",
    exceptions.MissingRequiredClaimError: "the token lacks one of exp, iss, aud and sub",
}


class RefusedBearerError(Exception):
    """A request without a good bearer. Its texts hold nothing of the bearer."""

    def __init__(self, why: str = "", *, missing_scope: str = "", no_tenant: bool = False) -> None:
        """Refuse.

        Args:
            why: What is wrong with the bearer; empty where there was none.
            missing_scope: What the bearer, which is good, does not allow.
            no_tenant: Whether the token, which is good, names no tenant.
        """
        super().__init__(why)
        self.why = why
        self.missing_scope = missing_scope
        self.no_tenant = no_tenant


@dataclass(frozen=True, slots=True)
class OAuth:
    """Checks the tokens of one issuer. Use `open_oauth`."""

    issuer: str
    audience: str
    tenant_claim: str
    url: str
    """Where callers reach this server."""
    keys: IssuerKeys

    @property
    def metadata_url(self) -> str:
        return f"{self.url}{_METADATA_PATH}/mcp"

    def metadata(self) -> dict[str, Any]:
        """The metadata of this server as a protected resource (RFC 9728)."""
        stated = {  # validated as text, for a URL by itself would get a slash
            "resource": f"{self.url}/mcp",
            "authorization_servers": [self.issuer],
            "scopes_supported": SCOPES,
            "resource_name": "ih-mcp",
        }
        metadata = ProtectedResourceMetadata.model_validate(stated)
        return metadata.model_dump(mode="json", exclude_none=True)

    async def check(self, token: str) -> Caller:
        """For whom the token stands.

        Raises:
            RefusedBearerError: It is not good here, or names no tenant.
            TransportError: The issuer's keys are not known and cannot be fetched.
        """
        try:
            claims = await self._read_claims(token)
        except exceptions.PyJWTError as exc:
            why = _WHY.get(type(exc), "the token is no JWT that this server can check")
            raise RefusedBearerError(why) from None
        tenant = claims.get(self.tenant_claim)
        if not isinstance(tenant, str) or not tenant or len(tenant) > _MAX_NAME_CHARS:
            raise RefusedBearerError(no_tenant=True)
        return Caller(tenant_name(tenant), claims["sub"][:_MAX_NAME_CHARS], _scopes_of(claims))

    async def _read_claims(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_TOKEN_CHARS:
            raise exceptions.DecodeError
        key_id = jwt.get_unverified_header(token).get("kid")
        found = await self.keys.find(key_id)
        if found is None:
            raise exceptions.InvalidKeyError
        return jwt.decode(
            token,
            found.key,
            algorithms=found.algorithms,
            audience=self.audience,
            issuer=self.issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )


def tenant_name(claimed: str) -> str:
    """The name of a tenant here; one that cannot be a folder's gets its hash, so that none meet."""
    if TENANT_NAME.fullmatch(claimed):
        return claimed
    digest = hashlib.sha256(claimed.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"t-{re.sub(r'[^a-z0-9]+', '-', claimed.lower())[:40].strip('-')}-{digest}"


def _scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """By RFC 8693 one text of words; some issuers write `scp`, or a list."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given
    known = words if isinstance(words, list) else []
    return frozenset(scope for scope in SCOPES if scope in known)


@asynccontextmanager
async def open_oauth(settings: Settings, url: str) -> AsyncIterator[OAuth | None]:
    """What checks tokens; None where no issuer is set.

    Args:
        url: Where callers reach this server.
    """
    if settings.issuer is None:
        yield None
        return
    async with anyio.create_task_group() as tasks:
        keys = IssuerKeys(settings.issuer, tasks)
        tasks.start_soon(keys.refresh)  # so that the log tells of a wrong issuer at once
        audience = settings.audience or f"{url}/mcp"
        yield OAuth(settings.issuer, audience, settings.tenant_claim, url, keys)
        tasks.cancel_scope.cancel()


def challenge(oauth: OAuth | None, refused: RefusedBearerError) -> str:
    """The header `WWW-Authenticate` of a refusal (RFC 6750, RFC 9728)."""
    words = {"realm": "ih-mcp"}
    if refused.missing_scope or refused.no_tenant:
        words["error"] = "insufficient_scope"
    elif refused.why:
        words |= {"error": "invalid_token", "error_description": refused.why}
    if oauth:
        words |= {"scope": refused.missing_scope or USE, "resource_metadata": oauth.metadata_url}
    elif refused.missing_scope:
        words["scope"] = refused.missing_scope
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in words.items())
