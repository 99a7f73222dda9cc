from __future__ import annotations

import pytest

from ih_mcp.capture.tickets import TICKET_SECONDS, PagePermission, Tickets
from ih_mcp.errors import CallerError

GRANTED = PagePermission("st_1", may_record=True)


def test_a_ticket_becomes_a_key_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue(GRANTED, now=0.0)
    key = tickets.redeem(ticket, now=1.0)
    assert tickets.find_permission(key) == GRANTED
    with pytest.raises(CallerError, match="this link was used before") as caught:
        tickets.redeem(ticket, now=2.0)
    assert "start_capture" in caught.value.help


def test_an_old_ticket_is_refused() -> None:
    tickets = Tickets()
    ticket = tickets.issue(GRANTED, now=0.0)
    with pytest.raises(CallerError, match="too old"):
        tickets.redeem(ticket, now=TICKET_SECONDS + 1)


def test_a_key_that_was_never_given_opens_nothing() -> None:
    tickets = Tickets()
    tickets.issue(GRANTED, now=0.0)
    assert tickets.find_permission("guess") is None


def test_tickets_that_nobody_uses_do_not_pile_up() -> None:
    tickets = Tickets()
    first = tickets.issue(GRANTED, now=0.0)
    *_, last = [tickets.issue(GRANTED, now=0.0) for _ in range(300)]
    with pytest.raises(CallerError):
        tickets.redeem(first, now=1.0)
    assert tickets.redeem(last, now=1.0)
