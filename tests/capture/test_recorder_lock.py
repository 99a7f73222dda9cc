from __future__ import annotations

import pytest

from ih_mcp.capture.recorder_lock import Seat
from ih_mcp.errors import CallerError


def test_chunks_are_taken_once_and_in_order() -> None:
    seat = Seat()
    assert seat.expects("a", 0)
    seat.took("a", 0)
    assert not seat.expects("a", 0)
    assert seat.expects("a", 1)
    with pytest.raises(CallerError, match="chunk 3 came, but 1 is next"):
        seat.expects("a", 3)


def test_a_new_recording_begins_at_0_and_the_one_before_is_over() -> None:
    seat = Seat()
    seat.took("a", 0)
    seat.took("a", 1)
    with pytest.raises(CallerError, match="but 0 is next"):
        seat.expects("b", 1)
    seat.took("b", 0)
    assert not seat.expects("a", 2)
    assert seat.expects("b", 1)


def test_a_second_page_needs_to_say_that_it_takes_over() -> None:
    seat, left = Seat(), list[str]()
    seat.claim("p1", left.append, takes_over=False)
    with pytest.raises(CallerError, match="another page records") as caught:
        seat.claim("p2", print, takes_over=False)
    assert caught.value.code == "busy"
    seat.claim("p2", print, takes_over=True)
    assert left == ["taken_over"]


def test_a_page_that_comes_back_has_its_own_seat() -> None:
    seat, left = Seat(), list[str]()
    seat.claim("p1", left.append, takes_over=False)
    seat.claim("p1", print, takes_over=False)
    assert left == ["came_back"]
    seat.free(left.append)  # the old visit ends late: the seat stays taken
    assert seat.page == "p1"
    seat.free(print)
    assert not seat.page
