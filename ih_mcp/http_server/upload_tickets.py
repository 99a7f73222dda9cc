"""Addresses to which a file can be sent once, without a key.

A model hands one to whoever has the file: it cannot carry a video in the arguments of a call, and
does not know the key of its host.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from ih_mcp.journal.tickets import Ticket, TicketStore

TICKET_SECONDS = 900.0


class UploadTickets:
    """One-time tickets for the upload of a file of some name.

    Args:
        store: Of this process, or of all replicas.
    """

    def __init__(self, store: TicketStore) -> None:
        self._store = store

    async def issue(self, tenant: str, file_name: str) -> str:
        """A ticket for one upload, valid for `TICKET_SECONDS`; the tenant's oldest may go."""
        ticket = secrets.token_urlsafe(24)
        await self._store.add(_digest(ticket), tenant, file_name, TICKET_SECONDS)
        return ticket

    async def find(self, ticket: str) -> Ticket | None:
        """What a ticket allows; None where it was used, is too old, or was never issued."""
        return await self._store.find(_digest(ticket))

    @asynccontextmanager
    async def using(self, ticket: str) -> AsyncIterator[Ticket | None]:
        """Void it at once, so that no other upload begins with it; valid again where this fails.

        Gives None as `find` does, also where another upload has begun with it.
        """
        digest = _digest(ticket)
        found = await self._store.claim(digest)
        try:
            yield found
        except BaseException:
            if found:
                with anyio.CancelScope(shield=True):
                    await self._store.give_back(digest, found)
            raise


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
