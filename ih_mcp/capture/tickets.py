"""Who may open the page: a link works once, and the key it gives lasts as long as the process.

Secrets are kept and found by their digest, so that the time of a search says nothing about them.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from ih_mcp.errors import CallerError

TICKET_SECONDS = 600.0
_MAX_TICKETS = 200
_HELP = "Ask for a new link with start_capture, or ih-mcp watch STREAM --page."


@dataclass(frozen=True, slots=True)
class PagePermission:
    """What the holder of a key may do."""

    stream_id: str
    may_record: bool


class Tickets:
    """One-time tickets, and the keys they were exchanged for. They are in memory only."""

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[PagePermission, float]] = {}
        self._permissions: dict[bytes, PagePermission] = {}

    def issue(self, permission: PagePermission, *, now: float) -> str:
        """A ticket that can be exchanged once, within `TICKET_SECONDS`."""
        while len(self._open) >= _MAX_TICKETS:
            self._open.pop(next(iter(self._open)))
        ticket = secrets.token_urlsafe(24)
        self._open[_digest(ticket)] = (permission, now + TICKET_SECONDS)
        return ticket

    def redeem(self, ticket: str, *, now: float) -> str:
        """Exchange a ticket for a key.

        Raises:
            CallerError: It was used, is too old, or was never issued.
        """
        permission, until = self._open.pop(_digest(ticket), (None, 0.0))
        if permission is None:
            raise CallerError("this link was used before", code="ticket_used", help=_HELP)
        if now > until:
            raise CallerError("this link is too old", code="ticket_expired", help=_HELP)
        key = secrets.token_urlsafe(32)
        self._permissions[_digest(key)] = permission
        return key

    def find_permission(self, key: str) -> PagePermission | None:
        """What the holder of a key may do; None where this process did not issue the key."""
        return self._permissions.get(_digest(key))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
