"""The credentials that the stand-in accepts: keys, tokens with their caps, and keys for tests.

Any key that looks like one (`ih_…`) works, so nothing has to be set up. Each key of `TEST_KEYS`
meets one refusal. A lenient stand-in accepts any other text too; a strict one accepts only keys,
in the documented forms, and the tokens that it minted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ih_mcp.wire.rest import REALTIME_SCOPE, STREAM_SCOPE, UPLOAD_SCOPE

ACCESS_TOKEN_SECONDS = 900  # docs: authentication

_CLIENT_TOKEN_SECONDS = (60, 300, 3600)  # sdk 1.3.4: least, default, most
_ACCESS_TOKEN = "eyJhbGciOiJIUzI1NiJ9.ih_mcp_standin_"  # noqa: S105 - how tokens of ours begin
_MAX_GRANTS = 1_000  # chosen
_EXPIRED_SECONDS = 3600.0  # chosen: until then the answer says that the token expired
WRONG_SECRET = "wrong"  # noqa: S105 - the one key_secret that is refused
DEFAULT_MAX_CONCURRENT = 1  # sdk 1.3.4: of a client token, where it says nothing


class RefusedError(Exception):
    """Raised when a credential, or its use, is refused; `code` is an id of the catalog."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Bounds of a client token; None where there is none. sdk 1.3.4, skill."""

    max_duration_seconds: int | None = None
    """Of one session."""
    max_bytes: int | None = None
    """Over all sessions of the token (sdk 1.3.4; the skill says per session)."""
    max_concurrent: int | None = None
    max_video_seconds: int | None = None
    """Over streams and uploads."""
    allowed_origins: tuple[str, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one credential grants its owner, and how much of that is used (as in OAuth)."""

    scopes: frozenset[str]
    caps: Caps = field(default_factory=Caps)
    expires_at: float | None = None
    is_revoked: bool = False
    is_client_token: bool = False
    account: str = ""
    """The key, or the key that the token was minted with. What one token of an account uploads,
    another one can read."""
    lacks_model: str | None = None
    """A model it may not use."""
    lacks_quota: bool = False
    lacks_backend: bool = False
    sessions: int = 0
    """Open now."""
    received_bytes: int = 0
    video_seconds: float = 0.0

    def allow(self, scope: str) -> None:
        """Do nothing if the credential has the scope; no scope implies another (sdk 1.3.4).

        Raises:
            RefusedError: The credential does not have it (`ih2003`).
        """
        if scope not in self.scopes:
            raise RefusedError("ih2003", f"Insufficient scope. This endpoint requires '{scope}'.")

    def may_use(self, model: str | None) -> bool:
        """Whether a session may switch to this model."""
        return model is None or model != self.lacks_model

    def spend(self, *, received_bytes: int = 0) -> None:
        """Count received bytes.

        Raises:
            RefusedError: The token is revoked, or its budget or that of its key is used up.
        """
        self.received_bytes += received_bytes
        if self.is_revoked:
            raise RefusedError("ih2014")
        if self.lacks_quota:
            raise RefusedError("ih3003")
        if _is_above(self.received_bytes, self.caps.max_bytes):
            raise RefusedError("ih3006", "The client token's byte budget is used up.")
        if _is_above(self.video_seconds, self.caps.max_video_seconds):
            raise RefusedError("ih3006", "The client token's video budget is used up.")


def _is_above(value: float, cap: float | None) -> bool:
    return cap is not None and value > cap


_ALL = frozenset({UPLOAD_SCOPE, STREAM_SCOPE, REALTIME_SCOPE})

TEST_KEYS: Mapping[str, Grant | str] = {
    "ih_test_no_scope": Grant(scopes=frozenset()),
    "ih_test_stream_only": Grant(scopes=frozenset({STREAM_SCOPE})),
    "ih_test_upload_only": Grant(scopes=frozenset({UPLOAD_SCOPE})),
    "ih_test_no_quota": Grant(scopes=_ALL, lacks_quota=True),
    "ih_test_no_audio_model": Grant(scopes=_ALL, lacks_model="inter-2-audio"),
    "ih_test_no_backend": Grant(scopes=_ALL, lacks_backend=True),
    "ih_test_unknown": "ih2001",
    "ih_test_expired": "ih2010",
    "ih_test_revoked": "ih2014",
}
"""Keys that meet a refusal: a grant that lacks something, or the error id of the answer."""


class CredentialStore:
    """The credentials of one stand-in.

    Args:
        key: The only key that is accepted; None accepts any that looks like one.
    """

    def __init__(self, *, strict: bool, key: str | None = None) -> None:
        self._strict = strict
        self._key = key
        self._grants: dict[str, Grant] = {}
        """Of test keys, and of tokens until an hour after they expire."""
        for name, known in TEST_KEYS.items():
            if isinstance(known, Grant) and key is None:
                self._grants[name] = replace(known, account=name)

    def authorize(self, credential: str | None, *, now: float, origin: str | None = None) -> Grant:
        """What this credential may do.

        Args:
            origin: The origin of the page that sends the request, if a browser does.

        Raises:
            RefusedError: It is missing, unknown, expired or revoked, or the page may not use it
                (`ih2003` with `origin` in the message; the HTTP status is 403).
        """
        if not credential:
            raise RefusedError("ih2002")
        known = self._grants.get(credential)
        if known is None:
            known = self._of_key(credential)
        if known.is_revoked:
            raise RefusedError("ih2014")
        if known.expires_at is not None and now >= known.expires_at:
            raise RefusedError("ih2010" if known.is_client_token else "ih2001")
        origins = known.caps.allowed_origins
        if origins is not None and origin is not None and origin not in origins:
            raise RefusedError("ih2003", f"The origin {origin} may not use this client token.")
        return known

    def mint_access_token(self, account: str, scopes: Iterable[str], *, now: float) -> str:
        """A token for a key pair; it is valid for 900 s.

        Args:
            account: The pair's `key_id`.
        """
        self._make_room(now)
        token = f"{_ACCESS_TOKEN}{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(16)}"
        self._grants[token] = Grant(
            scopes=frozenset(scopes), expires_at=now + ACCESS_TOKEN_SECONDS, account=account
        )
        return token

    def mint_client_token(
        self, account: str, scopes: Iterable[str], seconds: int | None, caps: Caps, *, now: float
    ) -> tuple[str, int]:
        """A token with caps, and for how many seconds it is valid."""
        self._make_room(now)
        least, default, most = _CLIENT_TOKEN_SECONDS
        lifetime = min(most, max(least, default if seconds is None else seconds))
        token = f"ct_{secrets.token_urlsafe(32)}"
        self._grants[token] = Grant(
            scopes=frozenset(scopes),
            caps=caps,
            expires_at=now + lifetime,
            is_client_token=True,
            account=account,
        )
        return token, lifetime

    def revoke(self, token: str, *, account: str) -> None:
        """Refuse the token from now on; an unknown or expired one is no error (skill)."""
        grant = self._grants.get(token)
        if grant is not None and grant.is_client_token and grant.account == account:
            grant.is_revoked = True

    def takes_secret(self, secret: str) -> bool:
        """Whether the secret of a key pair may be exchanged for a token."""
        return secret != WRONG_SECRET if self._key is None else self._is_key(secret)

    def _of_key(self, credential: str) -> Grant:
        """The grant of a credential that was not minted here; it is not kept."""
        if credential.startswith("ct_"):
            raise RefusedError("ih2011")
        code = TEST_KEYS.get(credential)
        if isinstance(code, str) and self._key is None:
            raise RefusedError(code)
        if not self._is_taken(credential):
            raise RefusedError("ih2001")
        return Grant(scopes=_ALL, account=credential)

    def _is_taken(self, credential: str) -> bool:
        if self._key is not None:
            return self._is_key(credential)
        if credential.startswith(_ACCESS_TOKEN):  # minted here, and long expired
            return False
        return not self._strict or (credential.startswith("ih_") and len(credential) > len("ih_"))

    def _is_key(self, text: str) -> bool:
        key = (self._key or "").encode()
        return secrets.compare_digest(text.encode("utf-8", "surrogatepass"), key)

    def _make_room(self, now: float) -> None:
        """Forget tokens that expired long ago; raise `RefusedError` if there are still too many."""
        self._grants = {
            credential: grant
            for credential, grant in self._grants.items()
            if grant.expires_at is None or now < grant.expires_at + _EXPIRED_SECONDS
        }
        if len(self._grants) >= _MAX_GRANTS:
            raise RefusedError(
                "ih3002",
                f"This stand-in keeps {_MAX_GRANTS} tokens. Use one for longer, or wait an hour.",
            )


def endpoint_scope(scope: str) -> str:
    """The scope of the endpoint. Older scopes name a model too (sdk 1.3.4)."""
    for name in (UPLOAD_SCOPE, STREAM_SCOPE):
        if scope in {f"{name}.inter-2", f"{name}.inter-2-audio"}:
            return name
    return scope
