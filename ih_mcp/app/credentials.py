"""The credential of this process, chosen from the settings."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ih_mcp.errors import ConfigurationError
from ih_mcp.net.token import BorrowedCredential, Credential, FixedCredential, MintedCredential
from ih_mcp.settings import Settings
from ih_mcp.wire.dialects import find_dialect
from ih_mcp.wire.rest import DEFAULT_SCOPES, KeyPair

from .caller_key import find_caller_key

LOCAL_KEY = f"ih_local_stand_in_{secrets.token_urlsafe(24)}"
"""The key of this process's own stand-in; it is not known outside the process."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token that was asked for."""

    body: str = field(repr=False)
    """The service's JSON, as it came."""
    is_stand_in: bool
    """Whether the stand-in gave it; no service takes it then."""


class Credentials:
    """Chooses from the settings; mints access tokens where there is a key pair and no key."""

    def __init__(self, settings: Settings, base_url: Callable[[], Awaitable[str]]) -> None:
        self._settings = settings
        self._base_url = base_url
        self._minted: MintedCredential | None = None

    def require(self) -> str:
        """Which is there: `api_key`, `key_pair`, `access_token`, `caller_key`, or `local`.

        Raises:
            ConfigurationError: There is none; names both ways out.
        """
        settings = self._settings
        if settings.is_local:
            return "local"
        if settings.keys == "caller":
            _require_caller_key()
            return "caller_key"
        if settings.api_key:
            return "api_key"
        if settings.key_id and settings.key_secret:
            return "key_pair"
        if settings.access_token:
            return "access_token"
        raise ConfigurationError(
            "there is no API key",
            code="no_api_key",
            help="Set INTERHUMAN_API_KEY in the server's environment to a key from "
            "https://platform.interhuman.ai, or try it without a key against the local stand-in: "
            "set IH_MCP_ENDPOINT=local (or start with --local). check_setup, or `ih-mcp check`, "
            "names all that is missing.",
        )

    async def get_credential(self, api: str) -> Credential:
        """The credential for calls of an API version.

        Raises:
            ConfigurationError: There is none; names both ways out.
            CallerError: There is no such API version.
        """
        settings = self._settings
        found = self.require()
        if found == "local":
            return FixedCredential(LOCAL_KEY)
        if found == "caller_key":
            return BorrowedCredential(_require_caller_key())
        fixed = {"api_key": settings.api_key, "access_token": settings.access_token}.get(found)
        if fixed is not None:
            return FixedCredential(fixed.get_secret_value())
        if self._minted is None:  # one for the process: concurrent callers share its mint
            path = find_dialect(api).auth_path
            base_url = await self._base_url()
            self._minted = MintedCredential(self.key_pair(), base_url=base_url, path=path)
        return self._minted

    def key_pair(self, scopes: Sequence[str] | None = None) -> KeyPair:
        """The legacy pair as a request for an access token.

        Raises:
            ConfigurationError: It is not set.
        """
        settings = self._settings
        if settings.is_local:
            return KeyPair(
                key_id=LOCAL_KEY, key_secret=LOCAL_KEY, scopes=_scopes_or_default(scopes)
            )
        if not (settings.key_id and settings.key_secret):
            raise ConfigurationError(
                "there is no key pair to mint an access token from",
                code="no_key_pair",
                help="Set INTERHUMAN_KEY_ID and INTERHUMAN_KEY_SECRET; an API key needs no token.",
            )
        return KeyPair(
            key_id=settings.key_id,
            key_secret=settings.key_secret.get_secret_value(),
            scopes=_scopes_or_default(scopes),
        )

    def api_key(self) -> str:
        """The API key, for calls that need the key itself.

        Raises:
            ConfigurationError: It is not set.
        """
        if self._settings.is_local:
            return LOCAL_KEY
        if self._settings.keys == "caller":
            return _require_caller_key()
        if self._settings.api_key is None:
            raise ConfigurationError(
                "a client token is minted from an API key, and none is set",
                code="no_api_key",
                help="Set INTERHUMAN_API_KEY in the server's environment to a key from "
                "https://platform.interhuman.ai; check_setup says where this host keeps it.",
            )
        return self._settings.api_key.get_secret_value()


def _require_caller_key() -> str:
    key = find_caller_key()
    if key is None:
        raise ConfigurationError(
            "this call came without a key for the service, and this server has none of its own",
            code="no_caller_key",
            help="The person sets the header X-Interhuman-Key in the host's entry of this server, "
            "to a key from https://platform.interhuman.ai.",
        )
    return key


def _scopes_or_default(scopes: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(scopes) if scopes is not None else DEFAULT_SCOPES
