"""Addresses to which a file can be sent once, without a key.

A model hands one to whoever has the file: it cannot carry a video in the arguments of a call, and
does not know the key of its host.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TICKET_SECONDS = 900.0
_MAX_OF_TENANT = 100  # so that no tenant can use up the tickets of the others


@dataclass(frozen=True, slots=True)
class UploadTicket:
    """What its holder may do."""

    tenant: str
    file_name: str
    valid_until: float


class UploadTickets:
    """One-time tickets. They are in memory only, and are found by their digest."""

    def __init__(self) -> None:
        self._open: dict[bytes, UploadTicket] = {}

    def issue(self, tenant: str, file_name: str, *, now: float) -> str:
        """A ticket for one upload, valid for `TICKET_SECONDS`; the tenant's oldest may go."""
        self._open = {key: each for key, each in self._open.items() if each.valid_until > now}
        own = [key for key, each in self._open.items() if each.tenant == tenant]
        for key in own[: max(0, len(own) + 1 - _MAX_OF_TENANT)]:
            del self._open[key]
        ticket = secrets.token_urlsafe(24)
        self._open[_digest(ticket)] = UploadTicket(tenant, file_name, now + TICKET_SECONDS)
        return ticket

    def find(self, ticket: str, *, now: float) -> UploadTicket | None:
        """What a ticket allows; None where it was used, is too old, or was never issued."""
        found = self._open.get(_digest(ticket))
        return found if found and found.valid_until > now else None

    @contextmanager
    def using(self, ticket: str) -> Iterator[None]:
        """Void it at once, so that no other upload begins with it; valid again where this fails."""
        key = _digest(ticket)
        found = self._open.pop(key)
        try:
            yield
        except BaseException:
            self._open[key] = found
            raise


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
