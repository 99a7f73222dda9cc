"""Shows that a call comes from another replica: an HMAC over all of it, by a secret they share."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

MAX_AGE_SECONDS = 30.0
"""How far the clocks of two replicas may be apart."""
_PREFIX = "x-ih-"
_FIELDS = ("tenant", "caller", "time", "nonce")


@dataclass(frozen=True, slots=True)
class PassedOnCaller:
    """For whom a call is passed on."""

    tenant: str
    name: str


def sign(secret: bytes, caller: PassedOnCaller, path: str, body: bytes) -> dict[str, str]:
    """The headers of a call; valid once, for `MAX_AGE_SECONDS`."""
    headers = {
        "x-ih-tenant": caller.tenant,
        "x-ih-caller": caller.name.encode().hex(),
        "x-ih-time": f"{time.time():.3f}",
        "x-ih-nonce": secrets.token_hex(16),
    }
    return headers | {"x-ih-signature": _digest(secret, headers, path, body)}


class SignatureCheck:
    """Checks the calls that one replica receives."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: dict[str, float] = {}

    def find_caller(
        self, headers: Mapping[str, str], path: str, body: bytes, *, now: float
    ) -> PassedOnCaller | None:
        """Who is behind a call; None where no replica signed it, or it came before.

        Args:
            now: Seconds since the epoch.
        """
        given = headers.get("x-ih-signature", "")
        if not hmac.compare_digest(
            given.encode(), _digest(self._secret, headers, path, body).encode()
        ):
            return None
        signed_at, nonce = float(headers["x-ih-time"]), headers["x-ih-nonce"]
        self._seen = {each: at for each, at in self._seen.items() if now - at <= MAX_AGE_SECONDS}
        if abs(now - signed_at) > MAX_AGE_SECONDS or nonce in self._seen:
            return None
        self._seen[nonce] = max(now, signed_at)
        name = bytes.fromhex(headers["x-ih-caller"]).decode()
        return PassedOnCaller(headers["x-ih-tenant"], name)


def _digest(secret: bytes, headers: Mapping[str, str], path: str, body: bytes) -> str:
    fields = [headers.get(_PREFIX + name, "") for name in _FIELDS]
    head = "\n".join([*fields, path, ""]).encode("utf-8", "surrogateescape")
    signature = hmac.new(secret, head, hashlib.sha256)
    signature.update(body)  # not copied: it may be a segment
    return signature.hexdigest()
