"""Tickets of uploads as one process keeps them."""

from __future__ import annotations

from ih_mcp.journal.tickets import MAX_OF_TENANT, MemoryTickets


async def test_the_oldest_ticket_of_a_tenant_makes_room_for_the_newest() -> None:
    tickets = MemoryTickets(now=lambda: 0.0)
    await tickets.add(b"theirs", "other", "a.mp4", 60.0)
    names = [str(number).encode() for number in range(MAX_OF_TENANT + 1)]
    for name in names:
        await tickets.add(name, "acme", "a.mp4", 60.0)
    assert [name for name in names if not await tickets.find(name)] == names[:1]
    assert await tickets.find(b"theirs")
