"""Who may open the page: a link works once, and what it gives lasts as long as the process.

Secrets are kept and looked up by their digest, so that the time of a look says nothing about them.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from ih_mcp.errors import CallerError

TICKET_SECONDS = 600.0
_MAX_TICKETS = 200
_AGAIN = "Ask for a new link with start_capture, or ih-mcp watch STREAM --page."


@dataclass(frozen=True, slots=True)
class Pass:
    """What the holder of a key may do."""

    stream_id: str
    may_record: bool


class Tickets:
    """One-time tickets, and the keys they were exchanged for. Nothing is written down."""

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[Pass, float]] = {}
        self._passes: dict[bytes, Pass] = {}

    def issue(self, granted: Pass, *, now: float) -> str:
        """A ticket that can be exchanged once, within `TICKET_SECONDS`."""
        while len(self._open) >= _MAX_TICKETS:
            self._open.pop(next(iter(self._open)))
        ticket = secrets.token_urlsafe(24)
        self._open[_digest(ticket)] = (granted, now + TICKET_SECONDS)
        return ticket

    def redeem(self, ticket: str, *, now: float) -> str:
        """The key a ticket is worth.

        Raises:
            CallerError: It was used, is too old, or was never issued.
        """
        granted, until = self._open.pop(_digest(ticket), (None, 0.0))
        if granted is None:
            raise CallerError("this link was used before", code="ticket_used", help=_AGAIN)
        if now > until:
            raise CallerError("this link is too old", code="ticket_expired", help=_AGAIN)
        key = secrets.token_urlsafe(32)
        self._passes[_digest(key)] = granted
        return key

    def look(self, key: str) -> Pass | None:
        """What the holder of a key may do; None where it is none of this process."""
        return self._passes.get(_digest(key))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
