"""One-time tickets, kept where the journal is; of their secrets only the digests are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import anyio

MAX_OF_TENANT = 100  # so that no tenant can use up the tickets of the others


class Ticket(NamedTuple):
    """What its holder may do."""

    tenant: str
    subject: str
    """What it is for, such as the name of a file."""
    valid_until: float
    """By the clock of its store."""


class TicketStore(Protocol):
    """Keeps tickets by the digests of their secrets."""

    async def add(self, digest: bytes, tenant: str, subject: str, seconds: float) -> None:
        """Keep a ticket; the tenant's oldest may go."""

    async def find(self, digest: bytes) -> Ticket | None:
        """The ticket; None where it was used, is too old, or never was."""

    async def claim(self, digest: bytes) -> Ticket | None:
        """Remove the ticket, and give it to one caller alone."""

    async def give_back(self, digest: bytes, ticket: Ticket) -> None:
        """Let a ticket that was claimed be valid again, for as long as it was."""


class MemoryTickets:
    """The tickets of a process that serves alone."""

    def __init__(self, now: Callable[[], float] = anyio.current_time) -> None:
        self._now = now
        self._open: dict[bytes, Ticket] = {}

    async def add(self, digest: bytes, tenant: str, subject: str, seconds: float) -> None:
        now = self._now()
        self._open = {key: each for key, each in self._open.items() if each.valid_until > now}
        own = [key for key, each in self._open.items() if each.tenant == tenant]
        for key in own[: max(0, len(own) + 1 - MAX_OF_TENANT)]:
            del self._open[key]
        self._open[digest] = Ticket(tenant, subject, now + seconds)

    async def find(self, digest: bytes) -> Ticket | None:
        found = self._open.get(digest)
        return found if found and found.valid_until > self._now() else None

    async def claim(self, digest: bytes) -> Ticket | None:
        found = await self.find(digest)
        if found:
            del self._open[digest]
        return found

    async def give_back(self, digest: bytes, ticket: Ticket) -> None:
        self._open[digest] = ticket
