"""Tickets of uploads, in the memory of one process and in the database of all replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from ih_mcp.http_server import upload_tickets
from ih_mcp.http_server.upload_tickets import UploadTickets
from ih_mcp.journal.tickets import MAX_OF_TENANT, MemoryTickets


@pytest.fixture(params=["memory", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    if kind == "postgres":
        pytest.importorskip("psycopg", reason="the extra `team` is not installed")
    return kind


@pytest.fixture
async def both(
    kind: str, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[UploadTickets, ...]]:
    """The tickets as two replicas see them; of one process these are the same."""
    if kind == "memory":
        yield (UploadTickets(MemoryTickets()),) * 2
        return
    from ih_mcp.journal.postgres import open_engine  # noqa: PLC0415 - it needs the driver

    database: str = request.getfixturevalue("database")
    async with open_engine(database) as one, open_engine(database) as other:
        yield UploadTickets(one.tickets), UploadTickets(other.tickets)


async def test_a_ticket_of_one_replica_is_used_at_another_once(
    both: tuple[UploadTickets, ...],
) -> None:
    one, other = both
    ticket = await one.issue("acme", "talk.mp4")
    found = await other.find(ticket)
    assert found
    assert (found.tenant, found.subject) == ("acme", "talk.mp4")
    async with other.using(ticket) as claimed:
        assert claimed
        assert await one.find(ticket) is None
        async with one.using(ticket) as again:
            assert again is None
    for tickets in both:
        assert await tickets.find(ticket) is None
        assert await tickets.find("") is None
        assert await tickets.find("\udc80") is None


async def test_a_ticket_is_valid_again_where_the_upload_fails(
    both: tuple[UploadTickets, ...],
) -> None:
    one, other = both
    ticket = await one.issue("acme", "talk.mp4")

    async def upload_that_fails() -> None:
        async with one.using(ticket):
            raise OSError("cut off")

    before = await one.find(ticket)
    with pytest.raises(OSError, match="cut off"):
        await upload_that_fails()
    assert await other.find(ticket) == before


async def test_two_uploads_at_once_do_not_both_begin(both: tuple[UploadTickets, ...]) -> None:
    ticket, begun = await both[0].issue("acme", "talk.mp4"), list[bool]()

    async def upload(tickets: UploadTickets) -> None:
        async with tickets.using(ticket) as claimed:
            begun.append(claimed is not None)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(upload, both[number % 2])
    assert sorted(begun) == [False] * 7 + [True]


async def test_a_tenant_s_oldest_tickets_go_and_another_tenant_s_stay(
    both: tuple[UploadTickets, ...],
) -> None:
    one, other = both
    theirs, oldest = await one.issue("beta", "b.mp4"), await one.issue("acme", "a.mp4")
    newer = [await one.issue("acme", "a.mp4") for _ in range(MAX_OF_TENANT)]
    assert await other.find(oldest) is None
    for ticket in (theirs, newer[0], newer[-1]):
        assert await other.find(ticket)


async def test_a_ticket_that_is_too_old_is_none(
    both: tuple[UploadTickets, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_tickets, "TICKET_SECONDS", 0.0)
    ticket = await both[0].issue("acme", "talk.mp4")
    assert await both[1].find(ticket) is None
    async with both[1].using(ticket) as claimed:
        assert claimed is None


@pytest.mark.parametrize("kind", ["postgres"], indirect=True)
async def test_the_database_has_digests_alone_and_shows_no_ticket_without_its_secret(
    both: tuple[UploadTickets, ...], database: str
) -> None:
    import psycopg  # noqa: PLC0415 - where there is a server, there is its driver

    ticket = await both[0].issue("acme", "talk.mp4")
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT * FROM tickets").fetchall() == []  # row security
        connection.execute("SELECT set_config('ih.tenant', '=acme', true)")
        rows = connection.execute("SELECT * FROM tickets").fetchall()
        assert len(rows) == 1
        assert ticket not in repr(rows)
        connection.execute("SELECT set_config('ih.tenant', '=beta', true)")
        assert connection.execute("SELECT * FROM tickets").fetchall() == []
