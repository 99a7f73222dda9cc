from __future__ import annotations

import pytest

from ih_mcp.capture.recorder_lock import RecorderLock
from ih_mcp.errors import CallerError


def test_chunks_are_taken_once_and_in_order() -> None:
    lock = RecorderLock()
    assert lock.expects("a", 0)
    lock.confirm("a", 0)
    assert not lock.expects("a", 0)
    assert lock.expects("a", 1)
    with pytest.raises(CallerError, match="chunk 3 came, but 1 is next"):
        lock.expects("a", 3)


def test_a_new_recording_begins_at_0_and_the_one_before_is_over() -> None:
    lock = RecorderLock()
    lock.confirm("a", 0)
    lock.confirm("a", 1)
    with pytest.raises(CallerError, match="but 0 is next"):
        lock.expects("b", 1)
    lock.confirm("b", 0)
    assert not lock.expects("a", 2)
    assert lock.expects("b", 1)


def test_a_second_page_needs_to_say_that_it_takes_over() -> None:
    lock, left = RecorderLock(), list[str]()
    lock.acquire("p1", left.append, takes_over=False)
    with pytest.raises(CallerError, match="another page records") as caught:
        lock.acquire("p2", print, takes_over=False)
    assert caught.value.code == "busy"
    lock.acquire("p2", print, takes_over=True)
    assert left == ["taken_over"]


def test_a_page_that_comes_back_has_its_own_seat() -> None:
    lock, left = RecorderLock(), list[str]()
    lock.acquire("p1", left.append, takes_over=False)
    lock.acquire("p1", print, takes_over=False)
    assert left == ["came_back"]
    lock.release(left.append)  # the old connection ends late: the page keeps the lock
    assert lock.holder == "p1"
    lock.release(print)
    assert not lock.holder
